"""With the real `ingest` before it: an oblique series goes in as DICOM, its label comes out as SEG on the de-identified instances."""

import dataclasses
import io
import json

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient

from ingest.app import build
from ingest.settings import IngestSettings
from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.imaging import read_nifti

pytestmark = pytest.mark.integration


@dataclasses.dataclass
class Ingest:
    """A real `ingest` on the site's event log and object store, turned by hand."""

    site: object

    def __post_init__(self) -> None:
        settings = IngestSettings(
            shared=self.site.shared, site_key_file=self.site.folder / "site-key", dicom_port=0, quiet_s=0
        )
        self.service = build(settings)
        self.http = TestClient(self.service.http, client=("127.0.0.1", 50000))

    def close(self) -> None:
        self.http.close()
        self.service.consumer.close()
        self.service.event_log.close()
        self.service.database.close()

    def take_in(self, slices) -> None:
        """Take slices from a folder, form what they make, and let labeling hear of it."""
        folder = self.site.folder / "incoming"
        folder.mkdir()
        for n, ds in enumerate(slices):
            pydicom.dcmwrite(folder / f"{n}.dcm", ds, enforce_file_format=True)
        while self.service.consumer.step(0.01):
            pass
        everywhere = self.site.headers("admin", Role.SITE_ADMIN, project="*")
        taken = self.http.post("/v1/uploads", headers=everywhere, json={"folder": str(folder)})
        assert taken.status_code == 200 and taken.json()["stored"] == len(slices), taken.text
        for _ in range(50):
            busy = [worker.step() for worker in self.service.workers]
            if not any(busy):
                break
        while self.service.relay.step():
            pass
        while self.site.service.consumer.step(0.01):
            pass


@pytest.fixture
def ingest(site):
    ingest = Ingest(site)
    yield ingest
    ingest.close()


def test_from_dicom_to_seg_and_back(site, ingest, ada, oblique_series) -> None:
    project = site.project(routing=[control_plane_pb2.RoutingRule(modality="MR")])
    project.phases = control_plane_pb2.PHASE_RULE_SPLIT
    project.selection.strategy, project.training.new_labels = "random", 1
    project.promotion.mode = control_plane_pb2.PROMOTION_MODE_AUTOMATIC
    project.split.SetInParent()
    site.hear(project)
    affine, slices = oblique_series
    for ds in slices:
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Roe^Jane", "4711", "19700101"
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = "20260105", "080000", "A1", "S1"
    ingest.take_in(slices[::-1])
    (said,) = site.said("study-ingested", type(site.study()))
    (case,) = said.cases
    site.hear(site.flag(case.case_id, said.study_key, show_proposal=False))
    task = ada.next()
    assert np.abs(np.array(task["case"]["affine_lps"]).reshape(4, 4) - affine).max() < 1e-6
    assert tuple(task["case"]["shape"]) == (11, 9, 5)
    image = read_nifti(ada.ask("GET", f"/v1/tasks/{task['task_id']}/image").content)
    manifest = ada.ask("GET", f"/v1/tasks/{task['task_id']}/manifest").json()
    assert len(manifest["slices"]) == 5
    assert "Roe" not in json.dumps(manifest) and "4711" not in json.dumps(manifest)

    array = np.random.default_rng(3).choice([0, 1, 2], image.array.shape).astype(np.uint8)
    label = ada.submit(task, array).json()["label_version_id"]
    seg = ada.ask("GET", f"/v1/labels/{label}?format=dicom-seg").content
    assert b"Roe" not in seg and b"4711" not in seg
    ds = pydicom.dcmread(io.BytesIO(seg))
    assert ds.StudyInstanceUID == said.study_key
    sources = {
        image.ReferencedSOPInstanceUID
        for group in ds.PerFrameFunctionalGroupsSequence
        for image in group.DerivationImageSequence[0].SourceImageSequence
    }
    assert sources == {item["sop_instance_uid"] for item in manifest["slices"]}
    lead = site.person("lead", Role.PROJECT_LEAD)
    back = lead.ask(
        "POST",
        f"/v1/cases/{case.case_id}/labels",
        data={"project_id": "p", "format": "dicom-seg"},
        files={"label": ("seg.dcm", seg)},
    )
    assert back.status_code == 200, back.text
    found = lead.ask("GET", f"/v1/labels/{back.json()['label_version_id']}")
    assert (read_nifti(found.content).array == array).all()
