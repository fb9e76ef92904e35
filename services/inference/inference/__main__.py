"""Run the service: ``python -m inference``."""

from inference.app import build
from inference.settings import InferenceSettings
from radloop.service import run
from radloop.settings import load


def main() -> None:
    """Load the settings, build the service, run it until it is told to stop."""
    run(build, load(InferenceSettings))


if __name__ == "__main__":
    main()
