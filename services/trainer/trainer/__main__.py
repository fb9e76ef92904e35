"""Start the service: ``python -m trainer``."""

from radloop.service import run
from radloop.settings import load
from trainer.app import build
from trainer.settings import TrainerSettings


def main() -> None:
    """Load settings, build, run."""
    settings = load(TrainerSettings)
    run(build(settings), settings.shared)


if __name__ == "__main__":
    main()
