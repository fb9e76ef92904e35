"""Two sites of one cloud, which goes away while they work: the sites go on, the cloud catches up, and no id of one is the other's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TWIN = Path(__file__).with_name("two_sites.py")


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.skipif("RADLOOP_TWO_PLANES" not in os.environ, reason="minutes of three planes: make planes runs it")
def test_two_sites_go_on_without_their_cloud(engines_folder):
    folder = engines_folder / "twins"
    folder.mkdir(mode=0o711)
    done = subprocess.run([sys.executable, str(TWIN), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
    seen = json.loads((folder / "verdict.json").read_text())
    assert seen["faults"] == {}
    assert seen["models"] == [2, 2] and seen["in_catalogue"] == 4 and seen["labels"] > 0
