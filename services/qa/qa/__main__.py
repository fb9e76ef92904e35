"""Start the service: ``python -m qa``."""

from qa.app import build
from qa.settings import QaSettings
from radloop.service import run
from radloop.settings import load


def main() -> None:
    """Load settings, build, run."""
    run(build, load(QaSettings))


if __name__ == "__main__":
    main()
