"""The short form of ``make chaos``: two planes on real engines under fire; and the checker finds what it must find."""

import runpy
from pathlib import Path

import pytest
from rich.console import Console

FIRE = Path(__file__).with_name("planes_under_fire.py")
SEED, STUDIES, KILLS = 20261126, 40, 24


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_two_planes_under_fire_lose_and_double_nothing(engines_folder):
    run = runpy.run_path(str(FIRE))["run"]
    folder = engines_folder / "fire"
    folder.mkdir(mode=0o711)
    verdict = run(folder, studies=STUDIES, kills=KILLS, rounds=1, seed=SEED, out=Console(stderr=True))
    assert verdict.faults == {}, f"seed {SEED}, killed {dict(verdict.kills)}"
    assert verdict.kills.total() == KILLS and verdict.studies == STUDIES and verdict.labels > 0
