"""`python tests/lab …`: the folder as a program, from any working directory."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put the folder itself there

from lab.cli import main  # noqa: E402

sys.exit(main())
