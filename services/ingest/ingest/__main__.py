"""Run the service: ``python -m ingest``."""

from ingest.app import build
from ingest.settings import IngestSettings
from radloop.service import run
from radloop.settings import load


def main() -> None:
    """Read the settings, build, run."""
    run(build, load(IngestSettings))


if __name__ == "__main__":
    main()
