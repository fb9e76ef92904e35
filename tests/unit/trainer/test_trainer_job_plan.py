"""The task file: read strictly, refused with a reason, before torch is even imported."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training_job.errors import EXIT_BAD_PLAN, BadPlan
from training_job.files import canonical, digest_of
from training_job.plan import Reference, read_task

ITEM: dict[str, Any] = {
    "case_id": "c1",
    "patient_key": "p1",
    "split": "train",
    "arm": "mined",
    "weight": 2.0,
    "images": [{"key": "i1", "digest": "sha256:1"}],
    "label": {"key": "l1", "digest": "sha256:2"},
    "segments": [{"value": 1, "state": "annotated"}, {"value": 2, "state": "not-annotated"}],
}
PLAN: dict[str, Any] = {
    "format": 1,
    "model_name": "m",
    "run_number": 1,
    "dataset_version": "sha256:3",
    "segments": [{"value": 1, "name": "anterior"}, {"value": 2, "name": "posterior"}],
    "items": [ITEM],
    "serving": None,
    "warm_start": False,
    "seed": 1,
    "steps": 10,
    "epoch_steps": 5,
    "batch_size": 2,
    "learning_rate": 0.001,
    "patch": [16, 24, 16],
    "spacing_mm": [],
    "members": 1,
    "inner_patients": [],
    "threads": 2,
}


def write(folder: Path, plan: dict[str, Any], objects: dict[str, str] | None = None) -> Path:
    path = folder / "task.json"
    path.write_text(
        json.dumps({"plan": plan, "plan_digest": digest_of(canonical(plan)), "objects": objects or {}, "output": "."})
    )
    return path


def test_a_good_plan_is_read(tmp_path: Path):
    task = read_task(write(tmp_path, PLAN))
    (item,) = task.plan.of_split("train")
    assert item.is_edge_case and item.states == {1: "annotated", 2: "not-annotated"}
    assert task.plan.spacing_mm is None and task.plan.patch == (16, 24, 16)
    assert task.output == tmp_path and task.plan_digest == digest_of(canonical(PLAN))


def test_outputs_are_classes_or_one_for_each_overlapping_segment(tmp_path: Path):
    plan = read_task(write(tmp_path, PLAN)).plan
    assert not plan.overlapping_segments
    assert (plan.outputs, plan.output_of(1), plan.output_of(2)) == (3, 1, 2)
    largest = [*PLAN["segments"], {"value": 32, "name": "last"}]
    overlapping = read_task(write(tmp_path, PLAN | {"overlapping_segments": True, "segments": largest})).plan
    assert overlapping.overlapping_segments
    assert (overlapping.outputs, overlapping.output_of(1), overlapping.output_of(32)) == (32, 0, 31)


def second_case(**changes: Any) -> list[dict[str, Any]]:
    return [ITEM, {**ITEM, "case_id": "c2", **changes}]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"format": 2}, "format"),
    ({"patch": [16, 20, 16]}, "multiples of 8"),
    ({"patch": [16, 16]}, "multiples of 8"),
    ({"patch": [8, 16, 16]}, "multiples of 8"),
    ({"steps": 0}, "steps"),
    ({"learning_rate": 0}, "learning rate"),
    ({"members": 0}, "members"),
    ({"processes": 0}, "share evenly"),
    ({"processes": 3}, "share evenly"),
    ({"segments": []}, "segment"),
    ({"segments": [{"value": 256, "name": "x"}]}, "1..255"),
    ({"segments": [{"value": 33, "name": "x"}], "overlapping_segments": True}, "1..32"),
    ({"items": []}, "training case"),
    ({"items": [{**ITEM, "split": "test"}]}, "training case"),
    ({"items": [{**ITEM, "split": "other"}]}, "training case"),
    ({"inner_patients": ["p1"]}, "training case"),
    ({"items": second_case(weight=0)}, "weights"),
    ({"items": second_case(case_id="c1")}, "each case once"),
    ({"items": second_case(images=[])}, "channel counts"),
    ({"items": second_case(segments=[{"value": 1, "state": "perhaps"}])}, "segment states"),
    ({"spacing_mm": [1.0, 1.0]}, "spacing"),
    ({"warm_start": True}, "serving model"),
    ({"seed": "x"}, "ValueError"),
    ({"items": [{}]}, "KeyError"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD, ids=[f"{n}-{reason}" for n, (_, reason) in enumerate(BAD)])
def test_a_bad_plan_is_refused_with_a_reason(tmp_path: Path, changes: dict[str, Any], reason: str):
    with pytest.raises(BadPlan, match=reason):
        read_task(write(tmp_path, {**copy.deepcopy(PLAN), **changes}))


def test_a_plan_of_another_digest_is_refused(tmp_path: Path):
    path = write(tmp_path, PLAN)
    content = json.loads(path.read_text())
    content["plan"]["seed"] = 2
    path.write_text(json.dumps(content))
    with pytest.raises(BadPlan, match="digest"):
        read_task(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plan": {}}'])
def test_what_is_no_task_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "task.json"
    path.write_text(text)
    with pytest.raises(BadPlan):
        read_task(path)


def test_objects_are_checked_against_their_digest(tmp_path: Path):
    (tmp_path / "volume").write_bytes(b"pixels")
    task = read_task(write(tmp_path, PLAN, {"i1": str(tmp_path / "volume")}))
    assert task.read(Reference("i1", digest_of(b"pixels"))) == b"pixels"
    with pytest.raises(BadPlan, match="digest"):
        task.read(Reference("i1", "sha256:1"))
    with pytest.raises(BadPlan, match="not there"):
        task.read(Reference("l1", "sha256:2"))


def test_the_program_says_why_and_exits_with_its_code(tmp_path: Path):
    path = write(tmp_path, {**PLAN, "steps": 0})
    done = subprocess.run([sys.executable, "-m", "training_job", str(path)], capture_output=True, text=True)
    assert done.returncode == EXIT_BAD_PLAN
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["outcome"] == "failed" and result["reason"] == "bad-plan" and "steps" in result["detail"]


def test_a_wrong_call_is_no_bad_plan():
    done = subprocess.run([sys.executable, "-m", "training_job"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage" in done.stderr


def test_an_error_nobody_foresaw_is_told_by_kind_and_place_and_not_by_its_text(tmp_path: Path):
    path = write(tmp_path, PLAN)
    content = json.loads(path.read_text())
    (tmp_path / "CANARY").touch()  # a file where the job makes its folder: the error's text names it
    path.write_text(json.dumps(content | {"output": "CANARY"}))
    done = subprocess.run(
        [sys.executable, "-m", "training_job", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "FileExistsError" in done.stderr and "__main__.py" in done.stderr
    assert "CANARY" not in done.stdout + done.stderr
