"""Run the service: ``python -m inference``."""

from inference.app import MIGRATIONS, NAME, build
from inference.settings import InferenceSettings
from radloop import service
from radloop.settings import load


def main() -> None:
    """Load the settings, build the service, run it until it is told to stop."""
    service.main(NAME, MIGRATIONS, build, load(InferenceSettings))


if __name__ == "__main__":
    main()
