"""Runs the service: ``python -m labeling``."""

from labeling.app import MIGRATIONS, NAME, build
from labeling.settings import LabelingSettings
from radloop import service
from radloop.settings import load


def main() -> None:
    """Load the settings, build, run."""
    service.main(NAME, MIGRATIONS, build, load(LabelingSettings))


if __name__ == "__main__":
    main()
