"""A command of Flower's, by its name and with its arguments: `python fast_rounds.pyz flower-supernode …`."""

import sys
from importlib import import_module

from fast_rounds import launch


def main() -> None:
    """Run the command that is named."""
    launch.archive = sys.argv.pop(0)
    import_module(launch.COMMANDS[sys.argv[0]]).main()


if __name__ == "__main__":
    main()
