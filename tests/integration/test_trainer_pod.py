"""The training program where it shares nothing but the object store: killed at any moment, its successor goes on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from radloop.objects import Objects, open_objects
from radloop.objects.shelf import Shelf
from tests.integration.test_trainer_job import command, result_of, write_task
from tests.integration.training_pods import LIMIT_S, children_of, hold_in_mid_training, let_go

pytestmark = pytest.mark.integration

PREFIX = "trainer/balls/runs/r"


STARTED: list[int] = []


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """End what a failed test left behind."""
    yield
    while STARTED:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(STARTED.pop(), signal.SIGKILL)


class Run:
    """A run on a shelf, and the pods that carry it out, each in a folder of its own."""

    def __init__(self, folder: Path, task: Path, objects_url: str) -> None:
        self.folder, self.url = folder, objects_url
        self.objects: Objects = open_objects(objects_url, folder / "cache")
        self.shelf = Shelf(self.objects, PREFIX)
        content = json.loads(task.read_text())
        stored = [self.objects.put(key, Path(place).read_bytes()) for key, place in content["objects"].items()]
        content["objects"] = [{"key": ref.key, "digest": ref.digest} for ref in stored]
        self.shelf.put("task.json", json.dumps(content).encode())
        self.pods = 0

    def pod(self) -> "subprocess.Popen[bytes]":
        """Start a pod: nothing of an earlier one is there."""
        self.pods += 1
        place = self.folder / f"pod-{self.pods}"
        place.mkdir()
        environment = os.environ | {"RADLOOP_OBJECTS_URL": self.url}
        argv = [sys.executable, "-m", "training_job.pod", PREFIX]
        process = subprocess.Popen(argv, cwd=place, env=environment, start_new_session=True)
        STARTED.append(process.pid)
        return process

    def until_shelved(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + LIMIT_S
        while not self.shelf.names(name):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)

    def read(self, name: str) -> Any:
        return json.loads(self.shelf.get(name) or b"null")


@pytest.mark.timeout(900)
def test_killed_and_evicted_and_still_the_same_bits(tmp_path: Path, objects_url: str) -> None:
    undisturbed = write_task(tmp_path / "undisturbed", steps=16, epoch_steps=1, threads=1)
    subprocess.run(command(undisturbed), check=True, timeout=LIMIT_S)
    run = Run(tmp_path, undisturbed, objects_url)

    first = run.pod()
    reached = hold_in_mid_training(first.pid, run.folder / "pod-1")
    run.until_shelved(f"checkpoints/epoch-{reached:05d}", first)
    os.killpg(first.pid, signal.SIGKILL)  # the machine is gone
    assert first.wait() == -signal.SIGKILL
    assert run.shelf.get("result.json") is None and 1 <= reached < 16
    assert run.read("progress.json")["steps"] == 16

    second = run.pod()
    further = hold_in_mid_training(second.pid, run.folder / "pod-2")
    assert reached < further < 16  # it did not begin anew
    second.terminate()  # evicted: it has time to bring away what it has
    let_go(second.pid)
    assert second.wait(timeout=LIMIT_S) == 128 + signal.SIGTERM
    assert run.shelf.names(f"checkpoints/epoch-{further:05d}") and run.shelf.get("result.json") is None

    third = run.pod()
    assert third.wait(timeout=LIMIT_S) == 0
    result, expected = run.read("result.json"), result_of(undisturbed)
    for name in ("bundle_digest", "losses", "chosen_epochs", "validation_dice", "test_dice"):
        assert result[name] == expected[name], name
    assert run.shelf.get("bundle.zip") == (undisturbed.parent / "bundle.zip").read_bytes()
    assert run.read("progress.json")["phase"] == "done"

    fourth = run.pod()  # a run that is done is left as it is
    assert fourth.wait(timeout=LIMIT_S) == 0 and run.read("result.json") == result


def test_an_object_that_is_gone_is_a_bad_plan(tmp_path: Path) -> None:
    run = Run(tmp_path, write_task(tmp_path / "task"), f"file://{tmp_path / 'objects'}")
    run.objects.delete("label-3.nii")
    assert run.pod().wait(timeout=LIMIT_S) == 3
    result = run.read("result.json")
    assert (result["outcome"], result["reason"], result["plan_digest"]) == ("failed", "bad-plan", "")


def test_a_plan_that_cannot_be_carried_out_is_told_by_the_exit_code(tmp_path: Path) -> None:
    run = Run(tmp_path, write_task(tmp_path / "task", patch=[20, 20, 20]), f"file://{tmp_path / 'objects'}")
    assert run.pod().wait(timeout=LIMIT_S) == 3
    assert run.read("result.json")["detail"] == "expected a patch of multiples of 8"


def test_without_a_task_it_is_a_bad_plan(tmp_path: Path) -> None:
    run = Run(tmp_path, write_task(tmp_path / "task"), f"file://{tmp_path / 'objects'}")
    run.shelf.remove("task.json")
    assert run.pod().wait(timeout=LIMIT_S) == 3


def test_the_training_holds_no_keys_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key-of-the-store")
    run = Run(tmp_path, write_task(tmp_path / "task", steps=100_000), f"file://{tmp_path / 'objects'}")
    pod = run.pod()
    try:
        run.until_shelved("progress.json", pod)
        (training,) = children_of(pod.pid)
        assert b"key-of-the-store" not in Path(f"/proc/{training}/environ").read_bytes()
        assert b"RADLOOP_OBJECTS_URL" not in Path(f"/proc/{training}/environ").read_bytes()
    finally:
        pod.terminate()
        assert pod.wait(timeout=LIMIT_S) == 128 + signal.SIGTERM


def test_a_wrong_call_is_none_that_is_tried_again(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RADLOOP_OBJECTS_URL"}
    call = [sys.executable, "-m", "training_job.pod", PREFIX]
    assert subprocess.run(call, check=False, env=environment, cwd=tmp_path, capture_output=True).returncode == 2
