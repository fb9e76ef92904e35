"""`inference` with its real parts and a real Triton, or several; the other services are records in its event log."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from bundle_runner.bundle import open_bundle
from bundle_runner.predict import PredictionSettings as RunnerSettings
from bundle_runner.predict import predict
from bundle_runner.server import triton_command
from inference.adapters.triton import TritonServer
from inference.app import build
from inference.domain.model import PredictionSettings, seed_of
from inference.settings import InferenceSettings
from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.events import open_event_log
from radloop.imaging import Volume, read_nifti, write_nifti
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.references import ObjectRef
from radloop.settings import SharedSettings
from radloop.wire import event_option

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0
THREADS = 2
# Oblique, left-handed, anisotropic: whatever is forgotten about geometry shows.
AFFINE_LPS = np.array([[0.9, 0.2, 0.0, -30], [-0.2, 0.9, 0.1, 12], [0.0, -0.1, -1.6, 5], [0, 0, 0, 1]])


class TritonProcess:
    """The bundled server as a process of the test; `start` again after `kill` takes the same ports."""

    def __init__(self, work_dir: Path, ports: list[int]) -> None:
        self._work_dir, self._ports = work_dir, ports
        self.url = f"127.0.0.1:{ports[1]}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        http, grpc, metrics = self._ports
        wheel = Path(os.environ.get("RADLOOP_TRITON_WHEEL", ROOT / ".triton"))
        arguments, environment = triton_command(
            wheel, self._work_dir, http_port=http, grpc_port=grpc, metrics_port=metrics, threads=THREADS
        )
        with (self._work_dir / "triton.log").open("ab") as log:
            self._process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
        self.client = TritonServer(self.url, predict_timeout_s=60, load_timeout_s=60)
        wait_until(self.client.is_ready, "Triton is ready")

    def predictions(self, name: str) -> int:
        """Return how often a model has been asked since it was loaded."""
        statistics = self.client._client.get_inference_statistics(name)
        return statistics.model_stats[0].inference_count

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def wait_until(condition, what: str, patience_s: float = PATIENCE_S):
    """Return the first true value of `condition`, asked again and again."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {patience_s} s: {what}")


class Site:
    """The service running with all its threads, and everybody else as records in its event log."""

    def __init__(self, folder: Path, triton_url: str, objects_url: str, **own: Any) -> None:
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder / 'events.db'}",
            database_url=f"sqlite:///{folder / 'state'}",
            objects_url=objects_url,
            auth_url=f"token:{folder / 'secret'}",
            triton_url=triton_url,
            work_dir=folder / "work",
        )
        self.folder = folder
        self.log = open_event_log(shared.events_url)
        self.objects = open_objects(shared.objects_url)
        self.service = build(InferenceSettings(shared=shared, wait_s=60, **own))
        self.client = TestClient(self.service.http)
        self.images: dict[str, np.ndarray] = {}
        self.bundles: dict[str, Path] = {}
        self.service.start()

    def headers(self, *roles: Role) -> dict[str, str]:
        token = self.service.http.state.authenticator.issue("somebody", {"*": roles}, lifetime_s=600)
        return {"Authorization": f"Bearer {token}"}

    def hear(self, payload) -> None:
        option = event_option(type(payload))
        key = getattr(payload, option.key)
        envelope = Envelope.new(option.topic, source="/site-1/others", subject=key, cause=None)
        self.log.append([Record(option.topic, key, payload.SerializeToString(), envelope.headers())])

    def said(self, kind, **fields) -> list:
        records = self.log.read(event_option(kind).topic, {}, 10_000)
        payloads = [kind.FromString(stored.record.value) for stored in records]
        return [p for p in payloads if all(getattr(p, name) == value for name, value in fields.items())]

    def waits_for(self, kind, **fields):
        return wait_until(lambda: self.said(kind, **fields), f"{kind.__name__} {fields}")[-1]

    def store(self, key: str, data: bytes) -> references_pb2.ObjectRef:
        ref = self.objects.put(key, data)
        return references_pb2.ObjectRef(key=ref.key, digest=ref.digest, size_bytes=ref.size_bytes)

    def configure(self, project_id: str, overlapping: bool = False) -> None:
        mode = control_plane_pb2.PROMOTION_MODE_AUTOMATIC
        self.hear(
            control_plane_pb2.ProjectConfigured(
                project_id=project_id,
                project_version=1,
                model_name=f"{project_id}-model",
                segments=[control_plane_pb2.Segment(value=value) for value in (1, 2)],
                overlapping_segments=overlapping,
                promotion=control_plane_pb2.PromotionPolicy(mode=mode),
            )
        )

    def train(self, project_id: str, archive: Path, compared_with: str = "", passes: bool = True) -> str:
        bundle = self.store(f"trainer/{project_id}/{archive.stem}.zip", archive.read_bytes())
        self.bundles[bundle.digest] = archive
        self.hear(
            trainer_pb2.ModelTrained(
                model_name=f"{project_id}-model",
                model_digest=bundle.digest,
                project_id=project_id,
                run_id=f"run-of-{archive.stem}",
                bundle=bundle,
                comparison=trainer_pb2.Comparison(serving_digest=compared_with, passes=passes),
            )
        )
        return bundle.digest

    def ingest(self, project_id: str, name: str, *channels: np.ndarray) -> None:
        volumes = [
            self.store(f"ingest/{name}/{name}-case/channel-{number}.nii", write_nifti(Volume(array, AFFINE_LPS)))
            for number, array in enumerate(channels)
        ]
        self.images[f"{name}-case"] = np.stack(channels)
        case = ingest_pb2.Case(case_id=f"{name}-case", volumes=volumes)
        self.hear(ingest_pb2.StudyIngested(study_key=name, project_id=project_id, cases=[case]))

    def bare(self, case_id: str, digest: str, bits: bool):
        """Predict in this process with plain torch, as the service should have."""
        bundle = open_bundle(self.bundles[digest])
        # As it comes out of the file: a NIfTI header keeps an affine in single precision.
        stored = read_nifti(write_nifti(Volume(self.images[case_id][0], AFFINE_LPS)))
        affine_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ stored.affine_lps
        seed = seed_of(case_id, digest, PredictionSettings(segment_bits=bits).digest)
        prediction = predict(bundle, self.images[case_id], affine_ras, seed, RunnerSettings(segment_bits=bits))
        bundle.close()
        return prediction


def picture(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


def object_of(ref) -> ObjectRef:
    return ObjectRef(ref.key, ref.digest, ref.size_bytes)
