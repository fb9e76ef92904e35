"""Several processes that train together on the CPU, as several GPUs of a pod do: one writes, and all have the same weights."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.test_trainer_job import command, result_of, weights_in, write_task
from tests.integration.training_pods import LIMIT_S, children_of

pytestmark = pytest.mark.integration

TWO = {"processes": 2, "threads": 1, "steps": 12, "epoch_steps": 2, "members": 2}


def until_checkpoint(task: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + LIMIT_S
    while not list((task.parent / "checkpoints").glob("*.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)


@pytest.mark.timeout(900)
def test_two_processes_give_one_model_and_the_same_again_when_killed(tmp_path: Path) -> None:
    task = write_task(tmp_path / "undisturbed", **TWO, inner_patients=["patient-3"])
    run = subprocess.run(command(task), check=True, timeout=LIMIT_S, capture_output=True, text=True)
    assert run.stdout.count('"plan"') == 1  # one of them speaks
    result = result_of(task)
    assert result["outcome"] == "model" and len(result["losses"]) == 6 and len(result["chosen_epochs"]) == 2
    assert set(weights_in(task.parent / "bundle.zip")) == {"models/model.pt", "models/model_1.pt"}
    assert result["plan_digest"] == json.loads(task.read_text())["plan_digest"]
    assert {row["case_id"] for row in result["validation_dice"]} == {"case-4"}

    killed = write_task(tmp_path / "killed", **TWO, inner_patients=["patient-3"])
    process = subprocess.Popen(command(killed), start_new_session=True)
    until_checkpoint(killed, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command(killed), check=True, timeout=LIMIT_S)
    for name in ("bundle_digest", "losses", "chosen_epochs", "validation_dice", "test_dice"):
        assert result_of(killed)[name] == result[name], name


@pytest.mark.timeout(400)
def test_when_one_dies_all_end_and_none_is_left(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", **TWO | {"steps": 100_000})
    process = subprocess.Popen(command(task), start_new_session=True)
    until_checkpoint(task, process)
    first, second = children_of(process.pid)
    os.kill(second, signal.SIGKILL)
    assert process.wait(timeout=LIMIT_S) not in (0, 2, 3, 4)  # worth another start
    assert not Path(f"/proc/{first}").exists() and not (task.parent / "result.json").exists()


@pytest.mark.timeout(400)
def test_when_they_are_told_to_end_none_is_left(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", **TWO | {"steps": 100_000})
    process = subprocess.Popen(command(task), start_new_session=True)
    until_checkpoint(task, process)
    team = children_of(process.pid)
    process.terminate()
    assert process.wait(timeout=LIMIT_S) == 128 + signal.SIGTERM
    assert not [pid for pid in team if Path(f"/proc/{pid}").exists()]


@pytest.mark.timeout(400)
def test_a_loss_that_is_not_finite_is_told_by_one(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", **TWO | {"learning_rate": 1e30})
    assert subprocess.run(command(task), check=False, timeout=LIMIT_S).returncode == 4
    assert result_of(task)["reason"] == "diverged"


def test_a_batch_that_cannot_be_shared_evenly_is_a_bad_plan(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", processes=3)
    assert subprocess.run(command(task), check=False, timeout=LIMIT_S).returncode == 3
    assert result_of(task)["detail"] == "expected a batch that its processes can share evenly"
