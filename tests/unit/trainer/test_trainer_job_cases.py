"""Cases: which masks are taken, and what they are in the network's space."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from radloop.imaging import SEGMENT_BITS, Volume, segment_bit, write_nifti
from training_job.cases import Case, Sample, prepare, read_case
from training_job.errors import BadPlan
from training_job.files import digest_of
from training_job.plan import Item, Plan, Reference, Task

SHAPE = (4, 5, 6)
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS


def item_of(mask: np.ndarray, states: dict[int, str], folder: Path) -> tuple[Item, dict[str, Path]]:
    paths, references = {}, {}
    for name, array in (("image", np.arange(120, dtype=np.float32).reshape(SHAPE)), ("mask", mask)):
        data = write_nifti(Volume(array, AFFINE))
        paths[name] = folder / f"{name}.nii"
        paths[name].write_bytes(data)
        references[name] = Reference(name, digest_of(data))
    item = Item("case", "patient", "train", "", 1.0, (references["image"],), references["mask"], states)
    return item, paths


def plan_of(item: Item, values: tuple[int, ...], *, overlapping: bool, spacing_mm=None) -> Plan:
    return Plan(
        model_name="m",
        run_number=1,
        dataset_version="sha256:0",
        segments={value: f"segment {value}" for value in values},
        overlapping_segments=overlapping,
        items=(item,),
        serving=None,
        warm_start=False,
        seed=1,
        steps=1,
        epoch_steps=1,
        batch_size=1,
        learning_rate=1e-3,
        patch=(16, 16, 16),
        spacing_mm=spacing_mm,
        members=1,
        inner_patients=(),
        threads=1,
    )


def read(folder: Path, mask: np.ndarray, values=(1, 2), *, overlapping=True, **states: str) -> tuple[Case, Plan]:
    item, paths = item_of(mask, {int(name[1:]): state for name, state in states.items()}, folder)
    plan = plan_of(item, values, overlapping=overlapping)
    return read_case(item, Task(plan=plan, plan_digest="", paths=paths, output=folder)), plan


def bits(*values_of_voxels: tuple[int, ...]) -> np.ndarray:
    """Return segment bits whose first voxels are of these segments."""
    mask = np.zeros(SHAPE, SEGMENT_BITS)
    for place, values in enumerate(values_of_voxels):
        for value in values:
            mask.flat[place] |= segment_bit(value)
    return mask


def first_voxels(sample: Sample, count: int) -> list[list[float]]:
    """Return of each layer the values of the first voxels: the geometry is upside down in none of the tests."""
    return sample.label.flatten(1)[:, :count].tolist()


def test_each_segment_is_a_layer_of_its_own(tmp_path: Path) -> None:
    mask = bits((1,), (1, 2), (2,), ())
    case, plan = read(tmp_path, mask)
    assert case.label.dtype == SEGMENT_BITS and np.array_equal(case.label, mask)
    sample = prepare(case, plan)
    assert sample.label.dtype == torch.float32 and sample.label.shape == (2, *SHAPE)
    assert first_voxels(sample, 4) == [[1, 1, 0, 0], [0, 1, 1, 0]]
    assert sample.known.tolist() == [True, True]


def test_the_largest_value_survives_resampling_and_unused_outputs_are_empty(tmp_path: Path) -> None:
    case, plan = read(tmp_path, bits((1, 32), (32,)), values=(1, 32))
    sample = prepare(case, replace(plan, spacing_mm=(1.0, 1.0, 0.5)))
    assert sample.label.shape[:3] == (32, 4, 5) and sample.label.shape[3] > 6
    assert set(sample.label.unique().tolist()) == {0.0, 1.0}
    voxels = sample.label.flatten(1).sum(dim=1)
    assert voxels[0] > 0 and voxels[31] > voxels[0] and voxels[1:31].sum() == 0
    assert sample.known.all()  # what is no segment is taught to be empty


def test_a_segment_nobody_looked_for_is_unknown_and_the_others_stay(tmp_path: Path) -> None:
    sample = prepare(*read(tmp_path, bits((1, 2), (2,)), s1="not-annotated", s2="absent"))
    assert sample.known.tolist() == [False, True]
    assert first_voxels(sample, 2) == [[0, 0], [1, 1]]


def test_a_label_map_stays_one_layer(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask.flat[:3] = (1, 2, 1)
    case, plan = read(tmp_path, mask, overlapping=False, s2="not-annotated")
    sample = prepare(case, plan)
    assert case.label.dtype == np.uint8 and sample.label.shape == (1, *SHAPE)
    assert first_voxels(sample, 3) == [[1, 0, 1]] and sample.known.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("mask", "overlapping", "reason"),
    [
        (np.ones(SHAPE, np.uint8), True, "no segment bits"),
        (bits((1,), (3,)), True, "no segment of the project"),
        (np.full(SHAPE, 3, np.uint8), False, "no segment of the project"),
        (bits((1,))[:3], True, "another shape"),
    ],
)
def test_masks_that_do_not_fit_are_a_bad_plan(tmp_path: Path, mask: np.ndarray, overlapping: bool, reason: str) -> None:
    with pytest.raises(BadPlan, match=reason):
        read(tmp_path, mask, overlapping=overlapping)
