"""Load settings, build, run."""

from edge_miner.app import MIGRATIONS, NAME, build
from edge_miner.settings import EdgeMinerSettings
from radloop import service
from radloop.settings import load


def main() -> None:
    """Run edge-miner until it is told to stop."""
    service.main(NAME, MIGRATIONS, build, load(EdgeMinerSettings))


if __name__ == "__main__":
    main()
