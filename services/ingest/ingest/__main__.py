"""Run the service: ``python -m ingest``."""

from ingest.app import MIGRATIONS, NAME, build
from ingest.settings import IngestSettings
from radloop import service
from radloop.settings import load


def main() -> None:
    """Read the settings, build, run."""
    service.main(NAME, MIGRATIONS, build, load(IngestSettings))


if __name__ == "__main__":
    main()
