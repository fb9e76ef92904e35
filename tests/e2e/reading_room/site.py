"""A whole platform of its own for the browser: real services behind the door, real DICOM in, tasks ready for readers.

What the model says is played: its mask and its entropy are written into the object store and announced as `inference` and
`edge-miner` announce them, so that a test knows every voxel of the proposal. All else is the platform itself.
"""

import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from scipy import ndimage

from radloop.auth import Role
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.events import open_event_log
from radloop.imaging import SEGMENT_BITS, Volume, read_nifti, write_nifti
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.wire import event_option
from standalone.association import associate
from standalone.client import Client, issue_token, operator_token
from standalone.layout import Layout, Platform, read_platform

SITE = "site-1"
READY_WITHIN_S = 180.0


def until(look: Callable[[], Any], within_s: float = 60.0, every_s: float = 0.1) -> Any:
    """Return what a look finds, as soon as it finds something."""
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing found within {within_s} s"
        pause.wait(every_s)


@dataclass(frozen=True)
class CaseOfSite:
    """A case that ingest has formed.

    Attributes
    ----------
    shape : tuple of int
        Voxels along (i, j, k).
    image : Volume
        What ingest has formed, affine in LPS mm.
    """

    case_id: str
    study_key: str
    image: Volume
    phase: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.image.array.shape)


class ReadingSite:
    """A platform started for tests of the reading room.

    Parameters
    ----------
    folder : Path
        Its data folder, made when missing; a platform that was there goes on.
    settings : Mapping[str, str]
        Settings of services, as ``radloop up --set`` takes them.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.layout = Layout(folder)
        chosen = {"INGEST_QUIET_S": "1", **(settings or {})}
        options = [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "standalone", "up", "--data", str(folder), "--port", "0", "--dicom-port", "0"]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.platform: Platform = until(self._ready, READY_WITHIN_S)
        self.url = self.platform.url
        self.operator = Client(self.url, operator_token(self.layout))
        self._objects = open_objects(self.layout.objects_url)
        self._log = open_event_log(self.layout.events_url)

    def close(self) -> None:
        """End the platform as Ctrl-C does."""
        self.operator.close()
        self._log.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ready(self) -> Platform | None:
        assert self._process.poll() is None, (self.layout.folder / "up.log").read_text()[-2000:]
        try:
            platform = read_platform(self.layout)
        except Exception:  # not written yet
            return None
        return platform if platform.ready else None

    # --- people -----------------------------------------------------------------------------------------------------------

    def token(self, subject: str, roles: Mapping[str, tuple[Role, ...]] | None = None) -> str:
        """Sign a token; what a project's members list gives comes on top."""
        return issue_token(self.layout, subject, roles or {})

    def client(self, subject: str, roles: Mapping[str, tuple[Role, ...]] | None = None) -> Client:
        """Return the HTTP API with a person's token."""
        return Client(self.url, self.token(subject, roles))

    # --- what comes in ----------------------------------------------------------------------------------------------------

    def configure(self, project_id: str, body: Mapping[str, Any]) -> None:
        """Set a project up, and wait until ingest and labeling know of it."""
        body = {**body, "model_name": project_id}
        answer = self.operator.put(f"/control-plane/v1/projects/{project_id}", body)
        version = answer.get("project_version", answer.get("version"))

        def known() -> bool:
            projects = self.operator.get("/ingest/v1/status")["projects"]
            at_ingest = any(p["project_id"] == project_id and p["project_version"] >= version for p in projects)
            try:
                segments = self.operator.get(f"/labeling/v1/projects/{project_id}/segments")
            except Exception:  # not heard yet
                return False
            return at_ingest and segments["project_version"] >= version

        until(known)

    def send(self, instances: Iterable[Dataset], *, expected: int = 0x0000, break_off: bool = False) -> None:
        """Send instances by C-STORE over one association (PS3.4 Annex B).

        Each is to be answered with the status ``expected``; ``break_off`` aborts where a release is due.
        """
        instances = list(instances)
        entity = AE("TESTPACS")
        entity.dimse_timeout = READY_WITHIN_S  # a machine may be busy with much else
        for sop_class in {ds.SOPClassUID for ds in instances}:
            syntaxes = {ds.file_meta.TransferSyntaxUID for ds in instances if ds.SOPClassUID == sop_class}
            entity.add_requested_context(sop_class, sorted(syntaxes | {ExplicitVRLittleEndian}))
        platform = self.platform
        association = associate(entity, platform.dicom_host, platform.dicom_port, ae_title=platform.dicom_ae_title)
        assert association.is_established
        try:
            for ds in instances:
                status = association.send_c_store(ds)
                assert status.Status == expected, f"C-STORE answered {status.Status:#06x}"
        finally:
            (association.abort if break_off else association.release)()

    def cases(self, project_id: str, series_instance_uid: str, count: int = 1) -> list[CaseOfSite]:
        """Return the cases formed from a series that was sent, by its original UID, once there are so many."""

        def formed() -> list[dict[str, Any]]:
            body = {"project_id": project_id, "series": [series_instance_uid]}
            found = self.operator.post("/ingest/v1/cases/resolve", body)["cases"]
            return found if len(found) >= count else []

        self.operator.post("/ingest/v1/complete")
        found = sorted(until(formed), key=lambda case: case["phase"])
        return [
            CaseOfSite(
                case["case_id"],
                case["study_key"],
                read_nifti(self.operator.get_bytes(f"/ingest/v1/cases/{case['case_id']}/volumes/0")),
                case["phase"],
            )
            for case in found
        ]

    # --- what the model and the miner say ---------------------------------------------------------------------------------

    def predict(self, project_id: str, case: CaseOfSite, mask: np.ndarray, entropy: np.ndarray | None = None) -> str:
        """Announce a prediction with this mask, of the case's shape, and entropy in nats; returns its id.

        The mask is a label map of any integer type, or segment bits where it is uint32.
        """
        prediction_id = str(uuid.uuid4())
        folder = f"inference/{case.study_key}/{case.case_id}/{prediction_id}"
        event = inference_pb2.PredictionMade(
            prediction_id=prediction_id,
            case_id=case.case_id,
            study_key=case.study_key,
            project_id=project_id,
            model_name="played",
            model_digest="sha256:" + "0" * 64,
            settings_digest="sha256:" + "1" * 64,
            mask=self._ref(f"{folder}/mask.nii", mask if mask.dtype == SEGMENT_BITS else mask.astype(np.uint8), case),
            scores=[references_pb2.Score(name="foreground-entropy", value=0.42)],
        )
        if entropy is not None:
            event.uncertainty.CopyFrom(self._ref(f"{folder}/entropy.nii", entropy.astype(np.float32), case))
        self._say("inference", event)
        return prediction_id

    def flag(self, project_id: str, case: CaseOfSite, prediction_id: str = "", **values: Any) -> None:
        """Announce a case as worth a reader's time; labeling makes a task of it."""
        shown: dict[str, Any] = {
            "round_id": f"round-{values.get('round_number', 1)}",
            "round_number": 1,
            "arm": references_pb2.ARM_MINED,
            "rank": 1,
            "batch_size": 1,
            "pool_size": 10,
            "reasons": [edge_miner_pb2.FLAG_REASON_UNCERTAIN],
            "scores": [references_pb2.Score(name="foreground-entropy", value=0.42)],
            "show_proposal": bool(prediction_id),
            "seed": 1,
        }
        event = edge_miner_pb2.EdgeCaseFlagged(
            case_id=case.case_id,
            study_key=case.study_key,
            project_id=project_id,
            prediction_id=prediction_id,
            **(shown | values),
        )
        self._say("edge-miner", event)

    def task_of(self, project_id: str, case: CaseOfSite, reading: str = "first") -> str:
        """Return the id of the case's newest task of a reading, once there is one."""

        def found() -> str | None:
            page = self.operator.get("/labeling/v1/tasks", project_id=project_id, limit=200)
            tasks = [task for task in page["tasks"] if (task["case_id"], task["reading"]) == (case.case_id, reading)]
            return tasks[-1]["task_id"] if tasks else None

        return until(found)

    # --- what readers made ------------------------------------------------------------------------------------------------

    def versions(self, task_id: str) -> list[dict[str, Any]]:
        """Return the versions of a task's label, oldest first."""
        return self.operator.get(f"/labeling/v1/tasks/{task_id}/versions")["versions"]

    def submit(self, subject: str, task_id: str, label: np.ndarray, case: CaseOfSite) -> None:
        """Answer a task by the REST API, as the readers' own programs do."""
        client = self.client(subject)
        lease = client.post(f"/labeling/v1/tasks/{task_id}/lease")["lease"]["lease_id"]
        geometry = {"shape": case.shape, "affine_lps": case.image.affine_lps.ravel().tolist()}
        form = {"format": "raw", "geometry": json.dumps(geometry), "lease_id": lease}
        raw = label.astype(np.uint8).tobytes(order="F")
        client.post(f"/labeling/v1/tasks/{task_id}/submit", form, files={"label": ("label.raw", raw)})
        client.close()

    def review_of(self, project_id: str, case: CaseOfSite, state: str) -> dict[str, Any]:
        """Return a case's review in a state, once there is one."""

        def found() -> dict[str, Any] | None:
            reviews = self.operator.get("/qa/v1/reviews", project_id=project_id, state=state, search=case.case_id)
            return next(iter(reviews["reviews"]), None)

        return until(found)

    def label(self, label_version_id: str) -> np.ndarray:
        """Return a stored mask as it is in its NIfTI file, axes (i, j, k)."""
        stored = self.operator.get_bytes(f"/labeling/v1/labels/{label_version_id}", format="nifti")
        return np.asarray(read_nifti(stored).array)

    def _ref(self, key: str, array: np.ndarray, case: CaseOfSite) -> references_pb2.ObjectRef:
        stored = self._objects.put(key, write_nifti(Volume(np.asfortranarray(array), case.image.affine_lps)))
        return references_pb2.ObjectRef(key=stored.key, digest=stored.digest, size_bytes=stored.size_bytes)

    def _say(self, service: str, event: Any) -> None:
        option = event_option(type(event))
        key = getattr(event, option.key)
        envelope = Envelope.new(option.topic, source=f"/{SITE}/{service}", subject=key)
        self._log.append([Record(option.topic, key, event.SerializeToString(), envelope.headers())])


def entropy_around(mask: np.ndarray, width: float = 1.5, most_nats: float = 0.69) -> np.ndarray:
    """Return an entropy map that is high at the boundaries of a mask: float32 in nats, shape of the mask."""
    distance = np.full(mask.shape, np.inf)
    for value in np.unique(mask[mask > 0]):
        inside = mask == value
        to_edge = np.where(inside, ndimage.distance_transform_edt(inside), ndimage.distance_transform_edt(~inside))
        distance = np.minimum(distance, to_edge)
    return (most_nats * np.exp(-((distance / width) ** 2))).astype(np.float32)
