"""A step of the training program and a prediction of a whole CT, on a GPU and on this machine's processor.

Prints two Markdown tables. The network, the augmentation and the bundle are the trainer's own; the volumes are noise, which takes
as long as anatomy. Reading and storing of objects is not in it.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from bundle_runner.bundle import open_bundle
from bundle_runner.predict import predict
from training_job.bundle import pack
from training_job.cases import Sample
from training_job.checkpoints import Checkpoints
from training_job.network import build, network_definition
from training_job.plan import Plan
from training_job.progress import Progress
from training_job.team import Team
from training_job.training import Training, epochs_of

CASE = (512, 512, 100)
MEMBERS = 3
PATCHES = (48, 96, 128)
BATCH = 2
OUTPUTS = 3
PREDICTION_ROUNDS = 3


def plan_of(patch: int, steps: int) -> Plan:
    """Return a plan of one epoch."""
    return Plan(
        model_name="benchmark",
        run_number=1,
        dataset_version="",
        segments={1: "one", 2: "two"},
        overlapping_segments=False,
        items=(),
        serving=None,
        warm_start=False,
        seed=1,
        steps=steps,
        epoch_steps=steps,
        batch_size=BATCH,
        learning_rate=1e-3,
        patch=(patch, patch, patch),
        spacing_mm=None,
        members=MEMBERS,
        inner_patients=(),
        threads=torch.get_num_threads(),
    )


def samples() -> list[Sample]:
    """Return two cases as the training holds them."""
    rng = np.random.default_rng(0)
    known = torch.ones(OUTPUTS, dtype=torch.bool)
    return [
        Sample(
            torch.from_numpy(rng.standard_normal((1, *CASE), dtype=np.float32)),
            torch.from_numpy(rng.integers(0, OUTPUTS, (1, *CASE)).astype(np.float32)),
            known,
            1.0,
            is_edge_case=False,
        )
        for _ in range(2)
    ]


def training_s(device: torch.device, patch: int, steps: int, cases: list[Sample]) -> float:
    """Return the seconds of a training of so many steps."""
    plan = plan_of(patch, steps)
    network = build(network_definition(1, OUTPUTS))
    with tempfile.TemporaryDirectory() as folder:
        progress = Progress.begin(Path(folder) / "progress.json", steps, epochs_of(plan), is_writer=True)
        training = Training(
            plan, cases, [], network, Checkpoints(Path(folder), "benchmark"), progress, Team(0, 1, device)
        )
        started = time.perf_counter()
        training.run()
        return time.perf_counter() - started


def step_s(device: torch.device, patch: int, cases: list[Sample]) -> float:
    """Return the seconds of one step, without what a training costs once."""
    few, many = (3, 23) if device.type == "cuda" else (1, 3)
    training_s(device, patch, few, cases)
    return (training_s(device, patch, many, cases) - training_s(device, patch, few, cases)) / (many - few)


def prediction_s(device: torch.device, window: int) -> float:
    """Return the median seconds of predicting the case."""
    network = build(network_definition(1, OUTPUTS))
    image = np.random.default_rng(0).standard_normal((1, *CASE), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bundle.zip"
        file.write_bytes(
            pack(plan_of(window, 1), "", channels=1, window=(window,) * 3, members=[network.state_dict()] * MEMBERS)
        )
        bundle = open_bundle(file, device)
        times = []
        for _ in range(PREDICTION_ROUNDS + 1 if device.type == "cuda" else 1):
            started = time.perf_counter()
            predict(bundle, image, np.eye(4), seed=0)
            times.append(time.perf_counter() - started)
        bundle.close()
    return statistics.median(times[1:] or times)


def table(what: str, edges: Sequence[int], seconds_on: Callable[[torch.device, int], float]) -> None:
    """Print a table with a row for each edge of a cube."""
    print(f"| {what} | GPU, s | most memory of the GPU, GiB | processor, s | processor / GPU |")
    print("|---|---|---|---|---|")
    for edge in edges:
        torch.cuda.reset_peak_memory_stats()
        on_gpu = seconds_on(torch.device("cuda", 0), edge)
        memory = torch.cuda.max_memory_allocated() / 2**30
        on_processor = seconds_on(torch.device("cpu"), edge)
        cells = f"**{on_gpu:.3f}** | {memory:.1f} | {on_processor:.2f} | {on_processor / on_gpu:.0f}"
        print(f"| {edge} x {edge} x {edge} | {cells} |", flush=True)


def main() -> None:
    """Measure and print."""
    if not torch.cuda.is_available():
        sys.exit("gpu: expected a GPU that torch can use, found none")
    cases = samples()
    name, threads = torch.cuda.get_device_name(0), torch.get_num_threads()
    print(f"{name}, and {threads} threads of its machine's processor; torch {torch.__version__}.\n")
    table("training step, patch", PATCHES, lambda device, patch: step_s(device, patch, cases))
    print()
    table(f"prediction of {' x '.join(map(str, CASE))}, window", PATCHES[1:], prediction_s)
    print(
        f"\nThe trainer's network, batch of {BATCH}, cases of {' x '.join(map(str, CASE))} voxels, augmentation in the step; "
        f"{MEMBERS} members predict, entropy, scores and embedding included. A step: a training of 23 steps less one of 3 "
        f"(processor: 3 less 1). A prediction: median of {PREDICTION_ROUNDS} after the first (processor: one)."
    )


if __name__ == "__main__":
    main()
