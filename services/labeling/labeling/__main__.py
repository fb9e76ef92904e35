"""Runs the service: ``python -m labeling``."""

from labeling.app import build
from labeling.settings import LabelingSettings
from radloop.service import run
from radloop.settings import load


def main() -> None:
    """Load the settings, build, run."""
    settings = load(LabelingSettings)
    run(build(settings), settings.shared)


if __name__ == "__main__":
    main()
