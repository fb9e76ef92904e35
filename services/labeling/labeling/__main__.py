"""Runs the service: ``python -m labeling``."""

from labeling.app import build
from labeling.settings import LabelingSettings
from radloop.service import run
from radloop.settings import load


def main() -> None:
    """Load the settings, build, run."""
    run(build, load(LabelingSettings))


if __name__ == "__main__":
    main()
