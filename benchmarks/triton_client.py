"""Triton through the service's own client, against the same torch code in this process, on three sizes of image.

Prints a Markdown table. Bare torch and Triton take turns, so that a busy moment of the machine hits both; the medians are
compared. Every answer of Triton is checked to be equal, bit by bit.
"""

import os

# As the launcher of Triton does; it must stand in the environment before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

import hashlib  # noqa: E402
import socket  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from bundle_runner.bundle import open_bundle  # noqa: E402
from bundle_runner.predict import predict  # noqa: E402
from bundle_runner.sample import write_sample_bundle  # noqa: E402
from bundle_runner.server import triton_command  # noqa: E402
from inference.adapters.triton import TritonServer  # noqa: E402
from inference.domain.model import PredictionSettings, triton_name  # noqa: E402

SIZES = ((48, 64, 48), (96, 96, 96), (128, 128, 128))
ROUNDS = 5
START_S = 60.0


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def seconds_of(call) -> tuple[float, object]:
    """Return how long a call took, and what it returned."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def measure(server: TritonServer, name: str, bundle, size: tuple[int, int, int]) -> str:
    """Return one row of the table."""
    image = np.random.default_rng(0).normal(100, 20, (1, *size)).astype(np.float32)
    affine, settings = np.eye(4), PredictionSettings()
    window = torch.from_numpy(image)[None]

    def network() -> torch.Tensor:
        with torch.no_grad():
            return bundle.inferer(window, bundle.members[0])

    times: dict[str, list[float]] = {"network": [], "bare": [], "triton": []}
    for number in range(ROUNDS + 1):
        network_s, _ = seconds_of(network)
        bare_s, bare = seconds_of(lambda: predict(bundle, image, affine, 0))
        triton_s, answer = seconds_of(lambda: server.predict(name, image, affine, 0, settings))
        if not np.array_equal(answer.mask, bare.mask.numpy()) or answer.scores != bare.scores:
            raise SystemExit("Triton and bare torch differ")
        if number > 0:  # the first one warms up
            for kind, value in (("network", network_s), ("bare", bare_s), ("triton", triton_s)):
                times[kind].append(value)
    network_s, bare_s, triton_s = (statistics.median(values) for values in times.values())
    megabytes = (image.nbytes + answer.mask.nbytes + answer.uncertainty.nbytes) / 1e6
    return (
        f"| {' x '.join(map(str, size))} | {megabytes:.1f} | {network_s:.3f} | {bare_s:.3f} | {triton_s:.3f} "
        f"| **{triton_s / bare_s:.2f}** | {triton_s / network_s:.2f} |"
    )


def main() -> None:
    """Start Triton, load a model, measure, print."""
    torch.set_num_threads(THREADS)
    wheel = Path(os.environ.get("RADLOOP_TRITON_WHEEL", Path(__file__).parents[1] / ".triton"))
    http, grpc, metrics = free_ports(3)
    with tempfile.TemporaryDirectory() as folder:
        archive = write_sample_bundle(Path(folder) / "bundle.zip", window=(64, 64, 64), features=(16, 32, 64))
        arguments, environment = triton_command(
            wheel, Path(folder) / "triton", http_port=http, grpc_port=grpc, metrics_port=metrics, threads=THREADS
        )
        with (Path(folder) / "triton.log").open("wb") as log:
            process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
        try:
            server = TritonServer(f"127.0.0.1:{grpc}", predict_timeout_s=300, load_timeout_s=300)
            deadline = time.monotonic() + START_S
            while not server.is_ready():
                if time.monotonic() > deadline:
                    raise SystemExit("Triton did not start")
                time.sleep(0.1)
            content = archive.read_bytes()
            name = triton_name("benchmark", f"sha256:{hashlib.sha256(content).hexdigest()}")
            load_s, _ = seconds_of(lambda: server.load(name, content))
            bundle = open_bundle(archive)
            rows = [measure(server, name, bundle, size) for size in SIZES]
            bundle.close()
        finally:
            process.terminate()
            process.wait(30)
    print("| voxels | MB over gRPC | network alone, s | bare torch, s | Triton, s | Triton / bare | Triton / network |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(
        f"\nU-Net (16, 32, 64), window 64 x 64 x 64, {THREADS} threads on both sides, median of {ROUNDS} turns. Network alone: "
        "sliding window and nothing else. Bare torch: the whole program (pre-processing, sliding window, entropy, scores, "
        f"embedding) in this process. Triton: the same through the service's client. Loading the model took {load_s:.1f} s."
    )


if __name__ == "__main__":
    main()
