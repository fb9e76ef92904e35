"""The training program itself, on tiny volumes: same plan, same bits; killed and resumed, same bits; a bundle that predicts."""

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle_runner.bundle import open_bundle
from bundle_runner.predict import PredictionSettings, predict
from bundle_runner.sample import write_sample_bundle
from radloop.imaging import SEGMENT_BITS, Volume, bits_of, dice, lps_from_ras, segment_bit, segment_voxels, write_nifti
from training_job.errors import BadPlan, Diverged
from training_job.files import canonical, digest_of
from training_job.job import run
from training_job.plan import read_task

pytestmark = pytest.mark.integration

SHAPE = (20, 22, 18)
LIMIT_S = 90.0


def volume(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image and label map: a bright ball, its lower half segment 1, its upper half segment 2."""
    rng = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1)
    centre = np.array(SHAPE) / 2 + rng.uniform(-2, 2, 3)
    ball = np.linalg.norm(grid - centre, axis=-1) < rng.uniform(5, 7)
    label = np.where(ball, np.where(grid[..., 1] < centre[1], 1, 2), 0).astype(np.uint8)
    image = 100 * label + rng.normal(0, 20, SHAPE)
    return image.astype(np.int16), label


def organ_with_lesion(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image and segment bits: a ball, the organ (segment 1), and a brighter ball inside it, its lesion (segment 2)."""
    rng = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1)
    centre = np.array(SHAPE) / 2 + rng.uniform(-1, 1, 3)
    organ = np.linalg.norm(grid - centre, axis=-1) < rng.uniform(6, 7)
    lesion = np.linalg.norm(grid - centre - rng.uniform(-1.5, 1.5, 3), axis=-1) < rng.uniform(3, 4)
    image = 100 * organ + 100 * lesion + rng.normal(0, 20, SHAPE)
    return image.astype(np.int16), bits_of(organ.astype(np.uint8)) | lesion * segment_bit(2)


def write_task(folder: Path, phantom: Callable[[int], tuple[np.ndarray, np.ndarray]] = volume, **changes: Any) -> Path:
    """Write six cases (four train, one validation, one test) and a task on them."""
    folder.mkdir(parents=True, exist_ok=True)
    objects: dict[str, str] = {}

    def reference(key: str, array: np.ndarray) -> dict[str, str]:
        if array.dtype == SEGMENT_BITS:
            data = write_nifti(Volume(array, lps_from_ras(np.eye(4))))
        else:
            data = nib.Nifti1Image(array, np.diag([1.0, 1.0, 1.0, 1.0])).to_bytes()
        (folder / key).write_bytes(data)
        objects[key] = str(folder / key)
        return {"key": key, "digest": digest_of(data)}

    items = []
    for number, split in enumerate(["train"] * 4 + ["validation", "test"]):
        image, label = phantom(number)
        items.append(
            {
                "case_id": f"case-{number}",
                "patient_key": f"patient-{number}",
                "split": split,
                "arm": "mined" if number == 1 else "",
                "weight": 2.0 if number == 1 else 1.0,
                "images": [reference(f"image-{number}.nii", image)],
                "label": reference(f"label-{number}.nii", label),
                "segments": [{"value": 1, "state": "annotated"}, {"value": 2, "state": "annotated"}],
            }
        )
    serving_file: Path | None = changes.pop("serving_file", None)
    serving = None
    if serving_file is not None:
        objects["serving.zip"] = str(serving_file)
        serving = {"key": "serving.zip", "digest": digest_of(serving_file.read_bytes())}
    plan = {
        "format": 1,
        "model_name": "balls",
        "run_number": 1,
        "dataset_version": "sha256:0",
        "segments": [{"value": 1, "name": "lower"}, {"value": 2, "name": "upper"}],
        "items": items,
        "serving": serving,
        "warm_start": serving is not None,
        "seed": 5,
        "steps": 16,
        "epoch_steps": 4,
        "batch_size": 2,
        "learning_rate": 5e-3,
        "patch": [16, 16, 16],
        "spacing_mm": [],
        "members": 2,
        "inner_patients": [],
        "threads": 2,
    } | changes
    path = folder / "task.json"
    task = {"plan": plan, "plan_digest": digest_of(canonical(plan)), "objects": objects, "output": "."}
    path.write_text(json.dumps(task))
    return path


def command(task: Path) -> list[str]:
    return [sys.executable, "-m", "training_job", str(task)]


def result_of(task: Path) -> dict[str, Any]:
    return json.loads((task.parent / "result.json").read_text())


def weights_in(bundle: Path) -> dict[str, dict[str, torch.Tensor]]:
    with zipfile.ZipFile(bundle) as archive:
        names = [name for name in archive.namelist() if name.endswith(".pt")]
        return {name: torch.load(BytesIO(archive.read(name)), weights_only=True) for name in names}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task file of a plan that was carried out without interruption."""
    task = write_task(tmp_path_factory.mktemp("trained"))
    subprocess.run(command(task), check=True, timeout=LIMIT_S)
    return task


@pytest.fixture
def torch_as_before() -> Iterator[None]:
    """Undo what a training in this process sets for the whole of torch."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.timeout(300)
def test_killed_in_the_middle_and_resumed_gives_the_same_bits(trained: Path, tmp_path: Path):
    task = write_task(tmp_path / "killed")
    process = subprocess.Popen(command(task))
    deadline = time.monotonic() + LIMIT_S
    while not list((task.parent / "checkpoints").glob("epoch-00001-*.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
    process.kill()
    assert process.wait() == -9
    assert not (task.parent / "result.json").exists()
    assert not list((task.parent / "checkpoints").glob("epoch-00004-*.pt"))

    subprocess.run(command(task), check=True, timeout=LIMIT_S)
    undisturbed, resumed = (weights_in(file.parent / "bundle.zip") for file in (trained, task))
    assert undisturbed.keys() == resumed.keys() == {"models/model.pt", "models/model_1.pt"}
    for member, weights in undisturbed.items():
        for name, tensor in weights.items():
            assert torch.equal(tensor, resumed[member][name]), (member, name)
    first, second = result_of(trained), result_of(task)
    assert first["bundle_digest"] == second["bundle_digest"] == digest_of((task.parent / "bundle.zip").read_bytes())
    assert first["losses"] == second["losses"]
    assert first["validation_dice"] == second["validation_dice"]


def test_another_seed_gives_another_model(trained: Path, tmp_path: Path, torch_as_before: None):
    task = write_task(tmp_path / "other", seed=6, steps=2)
    again = write_task(tmp_path / "again", seed=6, steps=2)
    for path in (task, again):
        run(read_task(path))
    assert result_of(task)["bundle_digest"] == result_of(again)["bundle_digest"]
    assert result_of(task)["bundle_digest"] != result_of(trained)["bundle_digest"]


def test_the_result_names_what_was_measured(trained: Path):
    result = result_of(trained)
    assert result["outcome"] == "model" and result["plan_digest"] == json.loads(trained.read_text())["plan_digest"]
    assert result["chosen_epochs"] == [4, 3] and len(result["losses"]) == 4
    assert result["losses"][-1] < result["losses"][0]
    measured = {name: [(row["case_id"], row["segment"]) for row in result[name]] for name in result if "dice" in name}
    assert measured == {
        "validation_dice": [("case-4", 1), ("case-4", 2)],
        "serving_validation_dice": [],
        "test_dice": [("case-5", 1), ("case-5", 2)],
    }
    assert all(0 <= row["dice"] <= 1 for row in result["test_dice"])
    progress = json.loads((trained.parent / "progress.json").read_text())
    assert (progress["phase"], progress["step"], progress["steps"]) == ("done", 16, 16)


def test_a_finished_task_is_left_as_it_is(trained: Path, torch_as_before: None):
    before = (trained.parent / "result.json").stat().st_mtime_ns
    run(read_task(trained))
    assert (trained.parent / "result.json").stat().st_mtime_ns == before


def test_the_bundle_predicts_in_the_geometry_of_the_image(trained: Path):
    bundle = open_bundle(trained.parent / "bundle.zip")
    try:
        image, _ = volume(5)
        prediction = predict(bundle, image[None].astype(np.float32), np.diag([-1.0, 1.0, 1.0, 1.0]), seed=0)
        assert prediction.mask.shape == SHAPE and prediction.members == 2
        assert {"foreground-entropy", "pairwise-dice"} & set(prediction.scores)
        assert bundle.metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] == "lower"
    finally:
        bundle.close()


def test_the_bundle_asks_for_nothing_but_torch_and_monai(trained: Path):
    with zipfile.ZipFile(trained.parent / "bundle.zip") as archive:
        assert {"LICENSE", "docs/README.md", "configs/metadata.json", "configs/inference.json"} <= set(
            archive.namelist()
        )
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert "$" not in archive.read("configs/inference.json").decode()
        assert not [name for name in archive.namelist() if name.endswith(".py")]


def test_a_run_goes_on_from_the_serving_model_and_measures_it_too(trained: Path, tmp_path: Path, torch_as_before: None):
    serving = trained.parent / "bundle.zip"
    task = write_task(tmp_path / "update", serving_file=serving, steps=2, epoch_steps=2, learning_rate=1e-6)
    run(read_task(task))
    result = result_of(task)
    assert result["serving_validation_dice"] == result_of(trained)["validation_dice"]
    begun, ended = (weights_in(file)["models/model.pt"] for file in (serving, task.parent / "bundle.zip"))
    assert all(torch.allclose(begun[name], ended[name], atol=1e-4) for name in begun)
    assert any(not torch.equal(begun[name], ended[name]) for name in begun)


def test_weights_of_another_network_are_a_bad_plan(trained: Path, tmp_path: Path, torch_as_before: None):
    task = write_task(
        tmp_path / "misfit",
        serving_file=trained.parent / "bundle.zip",
        segments=[{"value": value, "name": f"s{value}"} for value in (1, 2, 3)],
    )
    with pytest.raises(BadPlan, match="do not fit"):
        run(read_task(task))


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path, torch_as_before: None):
    task = write_task(tmp_path / "diverged", learning_rate=1e30)
    with pytest.raises(Diverged, match="the loss of step"):
        run(read_task(task))
    assert not (task.parent / "bundle.zip").exists()


def test_inner_patients_choose_the_checkpoint_and_are_not_trained_on(tmp_path: Path, torch_as_before: None):
    task = write_task(tmp_path / "inner", inner_patients=["patient-0"], steps=4, epoch_steps=2, members=1)
    run(read_task(task))
    chosen = result_of(task)["chosen_epochs"]
    assert len(chosen) == 1 and chosen[0] in (1, 2)


OVERLAPPING = {
    "phantom": organ_with_lesion,
    "overlapping_segments": True,
    "segments": [{"value": 1, "name": "organ"}, {"value": 2, "name": "lesion"}],
    "members": 1,
}


@pytest.mark.timeout(300)
def test_an_organ_and_the_lesion_inside_it_are_both_learned(tmp_path: Path, torch_as_before: None):
    # What serves is a bundle of classes that somebody brought: it is compared on the same bits.
    serving = {"serving_file": write_sample_bundle(tmp_path / "brought.zip"), "warm_start": False}
    task = write_task(tmp_path / "overlapping", **OVERLAPPING, **serving, steps=40, epoch_steps=20, learning_rate=1e-2)
    run(read_task(task))
    result = result_of(task)
    measured = {
        (row["case_id"], row["segment"]): row["dice"] for row in result["test_dice"] + result["validation_dice"]
    }
    assert measured.keys() == {(case, segment) for case in ("case-4", "case-5") for segment in (1, 2)}
    # Everything, called a segment, would have a Dice of about 0.25 with the organ and 0.04 with the lesion.
    assert min(measured.values()) > 0.6, measured
    assert [(row["case_id"], row["segment"]) for row in result["serving_validation_dice"]] == [
        ("case-4", 1),
        ("case-4", 2),
    ]

    bundle = open_bundle(task.parent / "bundle.zip")
    try:
        assert bundle.regions and bundle.metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {
            "0": "organ",
            "1": "lesion",
        }
        image, label = organ_with_lesion(5)
        settings = PredictionSettings(segment_bits=True)
        mask = predict(bundle, image[None].astype(np.float32), np.eye(4), seed=0, settings=settings).mask.numpy()
    finally:
        bundle.close()
    assert [dice(mask, label, value) for value in (1, 2)] == [measured["case-5", value] for value in (1, 2)]
    organ, lesion = (segment_voxels(mask, value) for value in (1, 2))
    assert (organ & lesion).sum() > 0.9 * lesion.sum() > 0


def test_overlapping_segments_resumed_give_the_same_bits(tmp_path: Path, torch_as_before: None):
    task = write_task(tmp_path / "resumed", **OVERLAPPING, steps=4, epoch_steps=2, inner_patients=["patient-0"])
    run(read_task(task))
    undisturbed = result_of(task)
    assert not bool(np.isnan(undisturbed["losses"]).any())
    (task.parent / "result.json").unlink()
    (last,) = (task.parent / "checkpoints").glob("epoch-00002-*.pt")
    last.unlink()  # as if killed in the second epoch
    run(read_task(task))
    for name in ("bundle_digest", "losses", "chosen_epochs", "validation_dice"):
        assert result_of(task)[name] == undisturbed[name]


def test_a_label_map_is_no_mask_of_overlapping_segments(tmp_path: Path):
    task = write_task(tmp_path / "label-map", overlapping_segments=True)
    with pytest.raises(BadPlan, match="no segment bits"):
        run(read_task(task))
