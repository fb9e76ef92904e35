"""Run the control plane: ``python -m control_plane``."""

from control_plane.app import build
from control_plane.settings import ControlPlaneSettings
from radloop.service import run
from radloop.settings import load


def main() -> None:
    """Read the settings, build the service, run it until it is told to stop."""
    run(build, load(ControlPlaneSettings))


if __name__ == "__main__":
    main()
