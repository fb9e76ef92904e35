"""Start the service: ``python -m qa``."""

from qa.app import MIGRATIONS, NAME, build
from qa.settings import QaSettings
from radloop import service
from radloop.settings import load


def main() -> None:
    """Load settings, build, run."""
    service.main(NAME, MIGRATIONS, build, load(QaSettings))


if __name__ == "__main__":
    main()
