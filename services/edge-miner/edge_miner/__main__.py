"""Load settings, build, run."""

from edge_miner.app import build
from edge_miner.settings import EdgeMinerSettings
from radloop.service import run
from radloop.settings import load


def main() -> None:
    """Run edge-miner until it is told to stop."""
    run(build, load(EdgeMinerSettings))


if __name__ == "__main__":
    main()
