"""The short form of ``make chaos``: two planes on real engines under fire."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FIRE = Path(__file__).with_name("planes_under_fire.py")
SEED, STUDIES, KILLS = 20261126, 24, 10


@pytest.mark.chaos
@pytest.mark.timeout(2400)
def test_two_planes_under_fire_lose_and_double_nothing(engines_folder):
    folder = engines_folder / "fire"
    folder.mkdir(mode=0o711)
    options = ["--studies", str(STUDIES), "--kills", str(KILLS), "--rounds", "1", "--seed", str(SEED)]
    # A process of its own: clients of brokers that die leave sockets to the garbage collector, which is theirs to answer for.
    command = [sys.executable, str(FIRE), *options, "--keep", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    verdict = json.loads((folder / "verdict.json").read_text())
    assert sum(verdict["kills"].values()) == KILLS and verdict["studies"] == STUDIES
    assert verdict["labels"] > 0 and verdict["faults"] == {}
