"""A real labeling service (database, event log, objects, HTTP) with a clock that stands still, and one oblique MR series."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from labeling.app import build
from labeling.settings import LabelingSettings
from radloop.auth import Role, open_authenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.imaging import Volume, write_nifti
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.settings import SharedSettings
from radloop.wire import event_option

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
SHAPE = (11, 9, 5)
"""Columns, rows, slices."""


class Clock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def pass_(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def oblique_affine() -> np.ndarray:
    """Return an affine of a series turned about two axes: no direction cosine is 0 or 1."""
    a, b = np.deg2rad(25.0), np.deg2rad(-17.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_y @ np.diag([0.7, 0.9, 3.3])
    affine[:3, 3] = [-41.3, 17.9, -103.7]
    return affine


def write_series(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> list[Dataset]:
    """Return de-identified MR slices in order of k; birth date and study id are gone, as in a de-identified object."""
    series, study, frame = "2.25.1", "2.25.2", "2.25.3"
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    slices = []
    for k in range(shape[2]):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = MR_IMAGE_STORAGE
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"2.25.{1000 + k}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.PatientID, ds.PatientName = "pseudonym-1", "pseudonym-1"
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "MR", 1, k + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY"]
        ds.ImageOrientationPatient = [float(f"{x:.12g}") for x in directions[:, :2].T.ravel()]
        ds.ImagePositionPatient = [float(f"{x:.12g}") for x in (affine @ [0, 0, k, 1])[:3]]
        ds.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        ds.SliceThickness = float(spacing[2])
        ds.Columns, ds.Rows = shape[0], shape[1]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = np.zeros((shape[1], shape[0]), np.uint16).tobytes()
        slices.append(ds)
    return slices


def stored_bytes(ds: Dataset) -> bytes:
    """Return a data set as a DICOM file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


class Site:
    """The service and what surrounds it: other services are played by writing their events."""

    def __init__(self, folder: Path, database_url: str, objects_url: str) -> None:
        self.clock = Clock()
        self.folder = folder
        self.shared = shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder}/events.db",
            database_url=database_url,
            objects_url=objects_url,
            auth_url=f"token:{folder}/secret",
        )
        self.objects = open_objects(shared.objects_url)
        self.service = build(LabelingSettings(shared=shared), clock=self.clock)
        self.authenticator = open_authenticator(shared.auth_url)
        self.http = TestClient(self.service.http, raise_server_exceptions=False)
        self.workers = {worker.name: worker for worker in self.service.workers}

    def close(self) -> None:
        self.http.close()
        self.service.consumer.close()
        self.service.event_log.close()
        self.service.database.close()

    # --- people -----------------------------------------------------------------------------------------------------------

    def headers(self, subject: str, *roles: Role, project: str = "p") -> dict[str, str]:
        token = self.authenticator.issue(subject, {project: roles} if roles else {}, lifetime_s=600)
        return {"Authorization": f"Bearer {token}"}

    def person(self, subject: str, *roles: Role) -> "Person":
        return Person(self, subject, *(roles or (Role.READER,)))

    # --- events -----------------------------------------------------------------------------------------------------------

    def hear(self, *events: Any) -> None:
        """Publish events as their producers would, and let the service handle them."""
        records = []
        for event in events:
            option = event_option(type(event))
            key = getattr(event, option.key)
            envelope = Envelope.new(option.topic, source="/site-1/test", subject=key)
            records.append(Record(option.topic, key, event.SerializeToString(), envelope.headers()))
        self.service.event_log.append(records)
        while self.service.consumer.step(0.01):
            pass

    def said(self, topic: str, cls: Any) -> list[Any]:
        """Return what the service has said on a topic."""
        while self.service.relay.step():
            pass
        return [cls.FromString(stored.record.value) for stored in self.service.event_log.read(topic, {}, 10_000)]

    def submitted(self) -> list[labeling_pb2.LabelSubmitted]:
        return self.said("label-submitted", labeling_pb2.LabelSubmitted)

    def dead_letters(self) -> list[str]:
        return [topic for topic in self.service.event_log.topics() if topic.endswith(".dlq")]

    # --- one of each ------------------------------------------------------------------------------------------------------

    def ref(self, key: str, data: bytes) -> references_pb2.ObjectRef:
        put = self.objects.put(key, data)
        return references_pb2.ObjectRef(key=put.key, digest=put.digest, size_bytes=put.size_bytes)

    def project(self, version: int = 1, **changes: Any) -> control_plane_pb2.ProjectConfigured:
        event = control_plane_pb2.ProjectConfigured(project_id="p", project_version=version, model_name="m")
        for value, name, code in ((1, "anterior", "ant-1"), (2, "posterior", "post-1")):
            event.segments.add(
                value=value,
                name=name,
                color="#ff8800",
                type={"value": code, "scheme": "99RADLOOP", "meaning": f"Hippocampus, {name}"},
                category={"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
                always_present=True,
            )
        event.reading.lease_s = 600
        for name, value in changes.items():
            if isinstance(value, (list, tuple)):
                getattr(event, name).extend(value)
            else:
                setattr(event, name, value)
        return event

    def study(
        self,
        case_id: str = "c1",
        study_key: str = "s1",
        split: str = "TRAIN",
        affine: np.ndarray | None = None,
        series: list[Dataset] | None = None,
        image: np.ndarray | None = None,
        phase: int = 0,
        phase_count: int = 1,
        channels: int = 1,
    ) -> ingest_pb2.StudyIngested:
        """Store a series with manifest and volumes as ingest does, and say so."""
        affine = oblique_affine() if affine is None else affine
        series = series or write_series(affine)
        shape = (int(series[0].Columns), int(series[0].Rows), len(series))
        prefix = f"ingest/{study_key}/{case_id}"
        slices = []
        for k, ds in enumerate(series):
            ref = self.ref(f"{prefix}/{k}.dcm", stored_bytes(ds))
            place = {"key": ref.key, "digest": ref.digest, "size_bytes": ref.size_bytes}
            slices.append({"sop_instance_uid": str(ds.SOPInstanceUID), "frame": 1, "object": place})
        series_key = str(series[0].SeriesInstanceUID)
        manifest = {"case_id": case_id, "shape": shape, "slices": slices, "channels": [{"slices": slices}] * channels}
        manifest |= {"study_key": study_key, "series_keys": [series_key], "phase": phase, "phase_count": phase_count}
        if image is None:
            image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape, order="F")
        event = ingest_pb2.StudyIngested(
            study_key=study_key,
            site="site-1",
            project_id="p",
            project_version=1,
            revision=1,
            patient_key="patient-1",
            split=references_pb2.Split.Value(f"SPLIT_{split}"),
        )
        event.cases.add(
            case_id=case_id,
            series_keys=[series_key],
            phase=phase,
            phase_count=phase_count,
            manifest=self.ref(f"{prefix}/manifest.json", json.dumps(manifest).encode()),
            volumes=[
                self.ref(f"{prefix}/channel-{n}.nii", write_nifti(Volume(image + image.dtype.type(n), affine)))
                for n in range(channels)
            ],
            modality=str(series[0].Modality),
            shape=shape,
            spacing_mm=np.linalg.norm(affine[:3, :3], axis=0),
            affine_lps=affine.ravel(),
            quantity="HU" if series[0].Modality == "CT" else "arbitrary",
        )
        return event

    def prediction(
        self,
        case_id: str = "c1",
        study_key: str = "s1",
        prediction_id: str = "",
        mask: np.ndarray | None = None,
        entropy: np.ndarray | None = None,
    ) -> inference_pb2.PredictionMade:
        """Store a mask, and an entropy map where there is one, as inference does, and say so."""
        prediction_id = prediction_id or f"pred-{case_id}"
        folder = f"inference/{study_key}/{case_id}/{prediction_id}"
        mask = label_of(seed=7) if mask is None else mask
        event = inference_pb2.PredictionMade(
            prediction_id=prediction_id,
            case_id=case_id,
            study_key=study_key,
            project_id="p",
            mask=self.ref(f"{folder}/mask.nii", write_nifti(Volume(mask, oblique_affine()))),
        )
        if entropy is not None:
            ref = self.ref(f"{folder}/entropy.nii", write_nifti(Volume(entropy, oblique_affine())))
            event.uncertainty.CopyFrom(ref)
        return event

    def flag(
        self, case_id: str = "c1", study_key: str = "s1", round_number: int = 1, **changes: Any
    ) -> edge_miner_pb2.EdgeCaseFlagged:
        fields = {
            "round_id": f"round-{round_number}",
            "round_number": round_number,
            "case_id": case_id,
            "study_key": study_key,
            "project_id": "p",
            "arm": references_pb2.ARM_MINED,
            "rank": 1,
            "reasons": [edge_miner_pb2.FLAG_REASON_UNCERTAIN],
            "prediction_id": f"pred-{case_id}",
            "show_proposal": True,
        }
        return edge_miner_pb2.EdgeCaseFlagged(**(fields | changes))

    def second(self, case_id: str = "c1", study_key: str = "s1", **changes: Any) -> qa_pb2.ReadingRequested:
        fields = {
            "request_id": f"second-{case_id}",
            "review_id": f"review-{case_id}",
            "case_id": case_id,
            "study_key": study_key,
            "project_id": "p",
            "reading": labeling_pb2.READING_SECOND,
            "round_id": "round-1",
            "arm": references_pb2.ARM_MINED,
        }
        return qa_pb2.ReadingRequested(**(fields | changes))

    def returned(self, label: labeling_pb2.LabelSubmitted) -> qa_pb2.LabelReturned:
        return qa_pb2.LabelReturned(
            review_id=f"review-{label.case_id}",
            label_version_id=label.label_version_id,
            task_id=label.task_id,
            case_id=label.case_id,
            study_key=label.study_key,
            project_id="p",
            reader=label.reader,
            reasons=[qa_pb2.RETURN_REASON_MISSING_SEGMENT],
        )

    def approved(self, label: labeling_pb2.LabelSubmitted) -> qa_pb2.LabelApproved:
        return qa_pb2.LabelApproved(
            review_id=f"review-{label.case_id}",
            label_version_id=label.label_version_id,
            task_id=label.task_id,
            case_id=label.case_id,
            study_key=label.study_key,
            project_id="p",
            mask=label.mask,
            sequence=1,
        )

    def ready(self, *case_ids: str, **flag: Any) -> None:
        """Set up a project with flagged cases c1, c2, ... in studies s1, s2, ..."""
        events: list[Any] = [self.project()]
        for rank, case_id in enumerate(case_ids or ("c1",), start=1):
            study_key = f"s{case_id[1:]}"
            events += [self.study(case_id, study_key), self.prediction(case_id, study_key)]
            events.append(self.flag(case_id, study_key, rank=rank, **flag))
        self.hear(*events)


def label_of(seed: int = 1, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Return a label without any symmetry, so that no flip or transposition goes unseen: uint8, values 0..2."""
    return np.random.default_rng(seed).choice([0, 0, 1, 2], shape).astype(np.uint8)


class Person:
    """Somebody who talks to the API with a token."""

    def __init__(self, site: Site, subject: str, *roles: Role) -> None:
        self.site, self.subject = site, subject
        self._headers = site.headers(subject, *roles)

    def ask(self, method: str, path: str, **request: Any) -> Any:
        return self.site.http.request(method, path, headers=self._headers | request.pop("headers", {}), **request)

    def next(self) -> dict[str, Any] | None:
        """Lease the next task."""
        response = self.ask("POST", "/v1/tasks/next", json={"project_id": "p"})
        assert response.status_code in (200, 204), response.text
        return response.json() if response.status_code == 200 else None

    def submit(self, task: dict[str, Any], label: bytes | np.ndarray | None = None, **fields: Any) -> Any:
        """Submit a label for a task by the lease it shows; an array goes as NIfTI in the case's geometry."""
        if not isinstance(label, bytes):
            array = label_of() if label is None else label
            label = write_nifti(Volume(array, np.array(task["case"]["affine_lps"]).reshape(4, 4)))
        data = {"lease_id": task["lease"]["lease_id"], "format": "nifti", "active_time_s": "3.5"} | fields
        path = f"/v1/tasks/{task['task_id']}/submit"
        return self.ask("POST", path, data=data, files={"label": ("label.nii", label)})


@pytest.fixture(scope="session")
def site_on() -> type[Site]:
    """Makes a site in a folder, on a database and an object store: for tests that share one."""
    return Site


@pytest.fixture
def site(tmp_path: Path, database_url: str, objects_url: str) -> Iterator[Site]:
    site = Site(tmp_path, database_url, objects_url)
    yield site
    site.close()


@pytest.fixture
def ada(site: Site) -> Person:
    return site.person("ada")


@pytest.fixture
def ben(site: Site) -> Person:
    return site.person("ben")


@pytest.fixture
def eve(site: Site) -> Person:
    """A reviewer who reads too."""
    return site.person("eve", Role.READER, Role.REVIEWER)


@pytest.fixture
def lead(site: Site) -> Person:
    return site.person("lead", Role.PROJECT_LEAD)


@pytest.fixture
def a_label():  # type: ignore[no-untyped-def]
    return label_of


@pytest.fixture
def oblique_series() -> tuple[np.ndarray, list[Dataset]]:
    """The affine (to LPS, mm) and the slices of an oblique series, in order of k."""
    return oblique_affine(), write_series(oblique_affine())
