"""The plan of a run: a pure function of the dataset version, the policy, the serving model and the run's number.

The same arguments give the same plan, the same plan gives the same weights (the job's promise on CPU). The format is the
job's: `services/trainer/job/training_job/plan.py` reads it strictly.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from radloop.references import ObjectRef, Split
from trainer.domain.messages import DatasetItem, ProjectConfigured
from trainer.domain.model import ApprovedLabel, ServingModel, TrainingCase

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the site decides about every training; measured in `services/trainer/README.md`."""

    batch_size: int
    epoch_steps: int
    """Steps between two checkpoints."""
    initial_learning_rate: float
    update_learning_rate: float
    threads: int
    processes: int = 1
    """How many train together."""


def plan_of(
    project: ProjectConfigured,
    items: Iterable[DatasetItem],
    labels: dict[str, tuple[TrainingCase, ApprovedLabel]],
    *,
    dataset_version: str,
    serving: ServingModel | None,
    warm_start: bool,
    run_number: int,
    recipe: Recipe,
) -> dict[str, Any]:
    """Build the plan of a run.

    Parameters
    ----------
    project
        Its segments and training policy.
    items
        The dataset version, in its order.
    labels
        Case and label behind each item, by case id.
    dataset_version
        Digest of the dataset version.
    serving
        The model to compare with; None when none serves.
    warm_start
        Whether to start from the serving model's weights.
    run_number
        From 1; the seed of the run is the policy's plus this.
    recipe
        The site's own parameters.

    Returns
    -------
    dict
        JSON values only; keys as the training job reads them.
    """
    policy = project.training
    bundle = serving.bundle if serving else None
    is_update = warm_start and bundle is not None
    plan = {
        "format": FORMAT,
        "model_name": project.model_name,
        "run_number": run_number,
        "dataset_version": dataset_version,
        "segments": [{"value": segment.value, "name": segment.name} for segment in project.segments],
        "items": [_item(item, *labels[item.case_id]) for item in items],
        "serving": _reference(bundle) if bundle else None,
        "warm_start": is_update,
        "seed": policy.seed * 1000 + run_number,
        "steps": policy.update_steps if is_update else policy.initial_steps,
        "epoch_steps": recipe.epoch_steps,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.update_learning_rate if is_update else recipe.initial_learning_rate,
        "patch": list(policy.patch),
        "spacing_mm": list(policy.spacing_mm),
        "members": max(1, policy.members),
        "inner_patients": [],
        "threads": recipe.threads,
    }
    if recipe.processes > 1:  # as below
        plan["processes"] = recipe.processes
    if project.overlapping_segments:  # only then: every other plan keeps the digest it had before there was the choice
        plan["overlapping_segments"] = True
    return plan


def _item(item: DatasetItem, case: TrainingCase, label: ApprovedLabel) -> dict[str, Any]:
    return {
        "case_id": item.case_id,
        "patient_key": case.patient_key,
        "split": item.split.value,
        "arm": item.arm.value if item.arm else "",
        "weight": item.weight,
        "images": [_reference(volume) for volume in case.volumes],
        "label": _reference(label.mask),
        "segments": [{"value": status.value, "state": status.state.value} for status in label.segments],
    }


def _reference(ref: ObjectRef) -> dict[str, str]:
    return {"key": ref.key, "digest": ref.digest}


def has_outputs_for(plan: dict[str, Any], project: ProjectConfigured) -> bool:
    """Whether the network a plan gives has an output for each value of a project: only then do its weights load.

    The network's outputs are the values up to the highest one, and the background where segments do not overlap.
    """
    return max(segment["value"] for segment in plan["segments"]) == max(each.value for each in project.segments)


def train_patient_count(plan: dict[str, Any]) -> int:
    """Return the number of patients with a training label in a plan."""
    return len({item["patient_key"] for item in plan["items"] if item["split"] == Split.TRAIN.value})
