"""What the job says at its end, without needing torch: a bad plan is told before torch is imported."""

import json
from pathlib import Path
from typing import Any

from training_job.errors import TrainingError
from training_job.files import write_json
from training_job.plan import Task

RESULT = "result.json"


def write_failure(output: Path, plan_digest: str, error: TrainingError) -> None:
    """Write why there is no model."""
    content = {"plan_digest": plan_digest, "outcome": "failed", "reason": error.reason, "detail": str(error)}
    write_json(output / RESULT, content)


def is_done(result_file: Path, plan_digest: str) -> bool:
    """Whether the plan was carried out before: its result stands and names a model."""
    if not result_file.is_file():
        return False
    result = json.loads(result_file.read_bytes())
    return bool(result["plan_digest"] == plan_digest and result["outcome"] == "model")


def describe(task: Task) -> dict[str, Any]:
    """Return what a person may want to see in the job's log."""
    plan = task.plan
    counts = {split: len(plan.of_split(split)) for split in ("train", "validation", "test")}
    return {"plan": task.plan_digest, "steps": plan.steps, "warm_start": plan.warm_start, "cases": counts}
