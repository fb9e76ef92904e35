"""All studies of a patient are withdrawn from a whole platform by the command line, and the page says what is left, and where."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from radloop.auth import Role
from standalone.layout import Layout
from tests.integration.ingest.conftest import make_slice, write_file
from tests.privacy.running import client_for, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
SERVICES = {"ingest", "inference", "edge-miner", "labeling", "qa", "trainer", "control-plane"}


def radloop(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command as a person would; nothing of the patient may be in its output."""
    command = [sys.executable, "-m", "standalone", *words, "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    assert "CANARY" not in done.stdout + done.stderr
    return done.stdout


def slices(folder: Path, number: int) -> None:
    """Write a study of three slices."""
    folder.mkdir(parents=True)
    root = f"1.2.826.88.{number}"
    for index in range(3):
        uids = {"StudyInstanceUID": root, "SeriesInstanceUID": f"{root}.1", "SOPInstanceUID": f"{root}.1.{index}"}
        (folder / f"{index}.dcm").write_bytes(write_file(make_slice(index, **uids)))


def test_a_patient_is_forgotten_and_the_page_says_so(tmp_path):
    folder, backups = tmp_path / "site", tmp_path / "backups"
    patient, passphrase = tmp_path / "patient", tmp_path / "passphrase"
    patient.write_text("CANARY-ID\n\n")
    passphrase.write_text("a passphrase that is long enough\n")
    for number in (1, 2):
        slices(tmp_path / "scans" / str(number), number)
    with running(Layout(folder)), contextlib.ExitStack() as stack:
        project = json.loads((ROOT / "docs" / "examples" / "project.json").read_text())
        mine = {"project_id": "p", "routing": [{"modality": "MR"}]}
        (tmp_path / "project.json").write_text(json.dumps(project | mine))
        radloop(folder, "project", "apply", str(tmp_path / "project.json"))
        operator = client_for(Layout(folder), "operator", Role.SITE_ADMIN, Role.AUDITOR)
        stack.callback(operator.close)
        wait_for(lambda: operator.get("/ingest/v1/status")["projects"])
        radloop(folder, "ingest", str(tmp_path / "scans"))
        wait_for(lambda: operator.get("/ingest/v1/status")["studies"].get("ingested") == 2)
        radloop(folder, "backup", "create", "--to", str(backups / "monday"), "--passphrase-file", str(passphrase))

        words = ("withdraw", "--reason", "consent", "--patient-id", "--from-file", str(patient), "--json")
        listed = json.loads(radloop(folder, *words, "--dry-run"))
        keys = [study["study_key"] for study in listed["studies"]]
        assert len(keys) == 2 and all(study["cases"] for study in listed["studies"])
        proof = ("withdrawn", "proof", keys[0], "--json")
        assert "not-withdrawn" in radloop_fails(folder, *proof)

        done = json.loads(radloop(folder, *words, "--refuse-future", "--yes"))
        assert {study["study_key"] for study in done["studies"]} == set(keys) and done["refused_from_now_on"]
        found = wait_for(lambda: complete(folder, *proof, "--backups", str(backups)), 60)
        assert {one["service"] for one in found["services"] if one["done"] and one["forgets"]} == SERVICES
        (backup,) = found["backups"]
        assert backup["name"] == "monday" and backup["may_contain_it"] and "ingest" in backup["holds"]
        page = tmp_path / "proof.md"
        radloop(folder, "withdrawn", "proof", keys[1], "--backups", str(backups), "--to", str(page))
        assert "Nothing of the study is left in any service." in page.read_text()
        assert "monday" in page.read_text() and "let it expire" in page.read_text()
        assert {one["study_key"] for one in json.loads(radloop(folder, "withdrawn", "list", "--json"))} == set(keys)
        # Another study of the patient is refused from the first instance on.
        slices(tmp_path / "more" / "3", 3)
        refused = json.loads(radloop(folder, "ingest", str(tmp_path / "more"), "--json", code=1))
        assert (refused["stored"], refused["rejected"]) == (0, {"withdrawn": 3})
    for log in Layout(folder).logs_folder.rglob("*"):
        assert not log.is_file() or b"CANARY" not in log.read_bytes(), log


def radloop_fails(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "standalone", *words, "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    return done.stderr


def complete(folder: Path, *words: str) -> dict | None:
    """Return the proof once nothing is left."""
    command = [sys.executable, "-m", "standalone", *words, "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout)
    assert (done.returncode == 0) is found["complete"]
    return found if found["complete"] else None
