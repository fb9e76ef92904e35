"""Start the service: ``python -m trainer``."""

from radloop.service import run
from radloop.settings import load
from trainer.app import build
from trainer.settings import TrainerSettings


def main() -> None:
    """Load settings, build, run."""
    run(build, load(TrainerSettings))


if __name__ == "__main__":
    main()
