"""The plan: a pure function, read without complaint by the training program itself."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest

from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus, Split, digest_of
from trainer.domain.dataset import canonical, items_of, manifest_of
from trainer.domain.messages import (
    ProjectConfigured,
    PromotionMode,
    PromotionPolicy,
    Segment,
    TrainingPolicy,
)
from trainer.domain.model import ApprovedLabel, ServingModel, TrainingCase
from trainer.domain.plan import Recipe, plan_of, train_patient_count
from training_job.errors import BadPlan
from training_job.plan import Plan, read_task

RECIPE = Recipe(batch_size=2, epoch_steps=5, initial_learning_rate=2e-3, update_learning_rate=1e-3, threads=2)
PROJECT = ProjectConfigured(
    project_id="p",
    project_version=1,
    model_name="hippocampus",
    segments=(Segment(1, "anterior"), Segment(2, "posterior")),
    training=TrainingPolicy(4, 2, 0, 100, 50, 3.0, 2, 7, (1.0, 1.0, 2.0), (16, 24, 16), 0),
    promotion=PromotionPolicy(PromotionMode.AUTOMATIC, -0.01, 0.05),
    members=(),
)
SERVING = ServingModel("sha256:" + "a" * 64, ObjectRef("trainer/p/models/a.zip", "sha256:" + "a" * 64, 9), 3)
SPLITS = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)


def kept(channels: int = 1) -> dict[str, tuple[TrainingCase, ApprovedLabel]]:
    labels = {}
    for number, split in enumerate(SPLITS):
        case_id, study_key = f"case-{number}", f"study-{number}"
        # Cases 0 and 1 are of one patient.
        patient = f"patient-{max(1, number)}"
        volumes = tuple(
            ObjectRef(f"ingest/{case_id}-{channel}.nii", f"sha256:v{number}{channel}", 5) for channel in range(channels)
        )
        states = (SegmentStatus(1, SegmentState.ANNOTATED), SegmentStatus(2, SegmentState.NOT_ANNOTATED))
        mask = ObjectRef(f"labeling/{case_id}.nii", f"sha256:m{number}", 5)
        labels[case_id] = (
            TrainingCase(case_id, study_key, "p", patient, split, volumes),
            ApprovedLabel(
                case_id, study_key, "p", f"label-{number}", mask, states, Arm.MINED if not number else None, 1
            ),
        )
    return labels


def plan(
    project: ProjectConfigured = PROJECT,
    *,
    serving: ServingModel | None = None,
    warm_start: bool = False,
    run_number: int = 1,
    recipe: Recipe = RECIPE,
    labels: dict[str, tuple[TrainingCase, ApprovedLabel]] | None = None,
) -> dict:
    labels = kept() if labels is None else labels
    items = items_of(labels.values(), {}, project.training.edge_case_weight)
    return plan_of(
        project,
        items,
        labels,
        dataset_version=digest_of(manifest_of(items)),
        serving=serving,
        warm_start=warm_start,
        run_number=run_number,
        recipe=recipe,
    )


def read(folder: Path, content: dict) -> Plan:
    """Have the training program read the plan."""
    task = {"plan": content, "plan_digest": digest_of(canonical(content)), "objects": {}, "output": "."}
    (folder / "task.json").write_text(json.dumps(task))
    return read_task(folder / "task.json").plan


def with_training(**changes: object) -> ProjectConfigured:
    return dataclasses.replace(PROJECT, training=dataclasses.replace(PROJECT.training, **changes))


def test_the_same_arguments_give_the_same_plan() -> None:
    labels = kept()
    before = copy.deepcopy(labels)
    first, second = plan(labels=labels), plan(labels=dict(reversed(labels.items())))
    assert digest_of(canonical(first)) == digest_of(canonical(second))
    assert labels == before


def test_the_digest_is_pinned() -> None:
    # A changed digest means other plans for the same labels: that needs a new format number.
    assert digest_of(canonical(plan(serving=SERVING, warm_start=True))) == DIGEST


def test_only_overlapping_segments_are_said(tmp_path: Path) -> None:
    assert "overlapping_segments" not in plan()  # every plan of before keeps its digest
    overlapping = dataclasses.replace(PROJECT, overlapping_segments=True)
    assert read(tmp_path, plan(overlapping)).overlapping_segments
    assert not read(tmp_path, plan()).overlapping_segments


def test_processes_are_said_only_where_there_are_several(tmp_path: Path) -> None:
    assert "processes" not in plan()  # as above
    assert read(tmp_path, plan()).processes == 1
    assert read(tmp_path, plan(recipe=dataclasses.replace(RECIPE, processes=2))).processes == 2


@pytest.mark.parametrize(
    "other",
    [
        {"run_number": 2},
        {"project": dataclasses.replace(PROJECT, overlapping_segments=True)},
        {"serving": SERVING},
        {"recipe": dataclasses.replace(RECIPE, threads=1)},
        {"recipe": dataclasses.replace(RECIPE, processes=2)},
        {"project": with_training(seed=8)},
        {"project": with_training(patch=(16, 16, 16))},
    ],
)
def test_what_changes_the_weights_changes_the_digest(other: dict) -> None:
    assert digest_of(canonical(plan(**other))) != digest_of(canonical(plan()))


def test_the_first_run_begins_from_random_weights() -> None:
    content = plan()
    assert (content["serving"], content["warm_start"]) == (None, False)
    assert (content["steps"], content["learning_rate"]) == (100, 2e-3)


def test_a_run_goes_on_from_our_own_model() -> None:
    content = plan(serving=SERVING, warm_start=True, run_number=2)
    assert content["serving"] == {"key": "trainer/p/models/a.zip", "digest": "sha256:" + "a" * 64}
    assert (content["warm_start"], content["steps"], content["learning_rate"]) == (True, 50, 1e-3)


def test_a_brought_model_is_only_compared_with() -> None:
    content = plan(serving=SERVING, warm_start=False)
    assert content["serving"] == {"key": "trainer/p/models/a.zip", "digest": "sha256:" + "a" * 64}
    assert (content["warm_start"], content["steps"], content["learning_rate"]) == (False, 100, 2e-3)


def test_serving_nothing_is_a_start_from_random_weights() -> None:
    content = plan(serving=ServingModel("", None, 5), warm_start=True)
    assert (content["serving"], content["warm_start"], content["steps"]) == (None, False, 100)


def test_every_run_has_a_seed_of_its_own() -> None:
    assert [plan(run_number=number)["seed"] for number in (1, 2)] == [7001, 7002]


def test_patients_are_counted_not_cases() -> None:
    assert train_patient_count(plan()) == 2


@pytest.mark.parametrize(
    ("serving", "warm_start"), [(None, False), (SERVING, True), (SERVING, False), (ServingModel("", None, 1), True)]
)
def test_the_training_program_reads_it(tmp_path: Path, serving: ServingModel | None, warm_start: bool) -> None:
    read_plan = read(tmp_path, plan(serving=serving, warm_start=warm_start, labels=kept(channels=2)))
    assert [item.split for item in read_plan.items] == [split.value for split in SPLITS]
    assert read_plan.segments == {1: "anterior", 2: "posterior"}
    assert read_plan.items[0].is_edge_case and read_plan.items[0].weight == 3.0
    assert not read_plan.items[1].is_edge_case and read_plan.items[1].arm == ""
    assert read_plan.items[3].states == {1: "annotated", 2: "not-annotated"}
    assert [len(item.images) for item in read_plan.items] == [2] * 5
    assert (read_plan.patch, read_plan.spacing_mm, read_plan.members) == ((16, 24, 16), (1.0, 1.0, 2.0), 2)


def test_the_images_own_spacing_and_no_members(tmp_path: Path) -> None:
    read_plan = read(tmp_path, plan(with_training(spacing_mm=(), members=0)))
    assert (read_plan.spacing_mm, read_plan.members) == (None, 1)


@pytest.mark.parametrize("changes", [{"patch": (20, 20, 20)}, {"initial_steps": 0}, {"edge_case_weight": 0.0}])
def test_a_policy_that_cannot_train_is_told_by_the_training_program(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(BadPlan):
        read(tmp_path, plan(with_training(**changes)))


DIGEST = "sha256:fb7defb53e58c3c3c904b27f9f5840c649c2794cea1103068440978121e40dd4"
