"""Start the service: ``python -m trainer``."""

from radloop import service
from radloop.settings import load
from trainer.app import MIGRATIONS, NAME, build
from trainer.settings import TrainerSettings


def main() -> None:
    """Load settings, build, run."""
    service.main(NAME, MIGRATIONS, build, load(TrainerSettings))


if __name__ == "__main__":
    main()
