"""Run the control plane: ``python -m control_plane``."""

from control_plane.app import MIGRATIONS, NAME, build
from control_plane.settings import ControlPlaneSettings
from radloop import service
from radloop.settings import load


def main() -> None:
    """Read the settings, build the service, run it until it is told to stop."""
    service.main(NAME, MIGRATIONS, build, load(ControlPlaneSettings))


if __name__ == "__main__":
    main()
