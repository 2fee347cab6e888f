"""What telemetry tells of this machine is not gathered where telemetry is off.

Stock gathers it, starting programs for it twice a message, and then tells it to nobody.
"""

from __future__ import annotations

from flwr.supercore import telemetry


def install() -> None:
    """Leave that out where nobody is told, and no log either."""
    if telemetry.FLWR_TELEMETRY_ENABLED != "1" and telemetry.FLWR_TELEMETRY_LOGGING != "1":
        vars(telemetry)["create_event"] = lambda *_: "disabled"
