"""On a GPU: a plan is carried out and resumed, overlapping segments too, and Triton puts a model there and agrees with the CPU."""

import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle_runner.bundle import open_bundle
from bundle_runner.predict import predict
from bundle_runner.repository import write_model_repository
from bundle_runner.server import triton_command
from radloop.imaging import dice
from tests.integration.test_trainer_job import OVERLAPPING, command, result_of, volume, write_task
from training_job.augmentation import random_view

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]

LIMIT_S = 180.0
TRITON_WHEEL = Path(os.environ.get("RADLOOP_TRITON_WHEEL", Path(__file__).parents[2] / ".triton"))
LONG = {"steps": 60, "epoch_steps": 20, "learning_rate": 1e-2}


def train(task: Path) -> dict:
    subprocess.run(command(task), check=True, timeout=LIMIT_S)
    return result_of(task)


def worst(rows: list[dict]) -> float:
    return min(row["dice"] for row in rows)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task file of a plan that was carried out."""
    task = write_task(tmp_path_factory.mktemp("trained"), **LONG, inner_patients=["patient-3"])
    result = train(task)
    assert result["precision"] == "bf16" and len(result["chosen_epochs"]) == 2
    assert result["losses"][-1] < result["losses"][0] and worst(result["test_dice"]) > 0.7, result
    return task


def test_killed_it_goes_on_from_its_checkpoint(trained: Path, tmp_path: Path):
    task = write_task(tmp_path / "killed", **LONG, inner_patients=["patient-3"])
    process = subprocess.Popen(command(task), stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + LIMIT_S
    while not list((task.parent / "checkpoints").glob("epoch-00001-*.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = subprocess.run(command(task), check=True, timeout=LIMIT_S, capture_output=True, text=True)
    assert '"goes_on_after_epoch"' in again.stdout
    result = result_of(task)
    assert len(result["losses"]) == 3 and worst(result["test_dice"]) > 0.7
    # Some operations of a GPU have no deterministic form: near, not equal.
    assert np.allclose(result["losses"], result_of(trained)["losses"], atol=0.2)


def test_it_goes_on_from_a_serving_model_and_measures_it(trained: Path, tmp_path: Path):
    serving = trained.parent / "bundle.zip"
    result = train(write_task(tmp_path / "update", serving_file=serving, steps=2, epoch_steps=2, learning_rate=1e-6))
    before = result_of(trained)["validation_dice"]
    assert [row["dice"] for row in result["serving_validation_dice"]] == pytest.approx(
        [row["dice"] for row in before], abs=0.01
    )


def test_an_organ_and_the_lesion_inside_it_are_both_learned(tmp_path: Path):
    result = train(write_task(tmp_path / "overlapping", **OVERLAPPING, **LONG))
    assert worst(result["test_dice"]) > 0.6, result


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU: NCCL wants one for each process")
def test_two_gpus_train_together(tmp_path: Path):
    result = train(write_task(tmp_path / "two", **LONG, processes=2))
    assert worst(result["test_dice"]) > 0.7, result


def test_more_processes_than_gpus_train_on_the_cpu(tmp_path: Path):
    count = torch.cuda.device_count() + 1
    result = train(write_task(tmp_path / "cpu", steps=4, processes=count, batch_size=count, threads=1))
    assert result["outcome"] == "model"


def test_a_view_of_a_case_is_the_same_on_both():
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.standard_normal((2, 70, 33, 12)).astype(np.float32))
    label = torch.from_numpy(rng.integers(0, 3, (1, 70, 33, 12)).astype(np.float32))
    for seed in range(20):
        patch = (16, 24, 16)  # thicker than the case in k, thinner in i
        (on_cpu, drawn), (on_gpu, drawn_on_gpu) = (
            random_view(image, label, patch, np.random.default_rng(seed), device=torch.device(device))
            for device in ("cpu", "cuda")
        )
        assert on_gpu.device.type == drawn_on_gpu.device.type == "cuda"
        assert torch.allclose(on_cpu, on_gpu.cpu(), atol=2e-3)
        # A position half-way between two voxels may be nearest to either.
        assert (drawn != drawn_on_gpu.cpu()).sum() <= drawn.numel() // 1000


def test_a_bundle_says_the_same_on_both(trained: Path):
    image, _ = volume(5)
    masks = []
    for device in ("cpu", "cuda"):
        bundle = open_bundle(trained.parent / "bundle.zip", device)
        prediction = predict(bundle, image[None].astype(np.float32), np.diag([-1.0, 1.0, 1.0, 1.0]), seed=0)
        assert prediction.mask.device.type == prediction.uncertainty.device.type == "cpu"
        masks.append(prediction.mask.numpy())
        bundle.close()
    assert min(dice(masks[0], masks[1], value) for value in (1, 2)) > 0.97


def test_triton_puts_a_model_on_the_gpu(trained: Path, tmp_path: Path):
    grpc = pytest.importorskip("tritonclient.grpc")
    from standalone.supervisor.ports import free_ports

    bundle_zip = trained.parent / "bundle.zip"
    http_port, grpc_port, metrics_port = free_ports(3)
    folder = write_model_repository(bundle_zip, tmp_path / "models", "balls")
    assert folder.name.endswith(hashlib.sha256(bundle_zip.read_bytes()).hexdigest()[:12])
    arguments, environment = triton_command(
        TRITON_WHEEL,
        tmp_path / "triton",
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        repository=tmp_path / "models",
        load=(folder.name,),
    )
    with (tmp_path / "triton.log").open("wb") as log:
        process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
    try:
        client = grpc.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                if client.is_model_ready(folder.name):
                    break
            except grpc.InferenceServerException:
                pass
            log_text = (tmp_path / "triton.log").read_text(errors="replace")
            assert process.poll() is None and time.monotonic() < deadline, log_text[-3000:]
            time.sleep(0.2)
        groups = client.get_model_config(folder.name, as_json=True)["config"]["instance_group"]
        assert [group["kind"] for group in groups] == ["KIND_GPU"], groups

        image, label = volume(5)
        image = image[None].astype(np.float32)
        affine = np.diag([-1.0, 1.0, 1.0, 1.0])
        inputs = []
        for name, array, kind in (("image", image, "FP32"), ("affine", affine, "FP64")):
            inputs.append(grpc.InferInput(name, list(array.shape), kind))
            inputs[-1].set_data_from_numpy(array)
        answer = client.infer(
            folder.name,
            inputs,
            outputs=[grpc.InferRequestedOutput(name) for name in ("mask", "uncertainty", "embedding", "report")],
            parameters={"seed": 0, "members": 0, "overlap": "", "segment_bits": False},
        )
        mask = answer.as_numpy("mask")
        assert min(dice(mask, label, value) for value in (1, 2)) > 0.7
        bundle = open_bundle(bundle_zip, "cuda")
        bare = predict(bundle, image, affine, seed=0).mask.numpy()
        bundle.close()
        assert min(dice(mask, bare, value) for value in (1, 2)) > 0.99
    finally:
        process.terminate()
        process.wait(30)
