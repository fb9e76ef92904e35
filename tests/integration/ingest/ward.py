"""A site with an archive it came from and one labelled case, for the tests of what goes back."""

import io
import json

import numpy as np
import pydicom

from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.references.v1 import references_pb2 as refs
from radloop.dicom.files import written
from radloop.imaging import Volume, write_nifti
from radloop.messages import Envelope, Record
from radloop.objects import open_objects

SLICES, ROWS, COLUMNS = 5, 24, 32
STUDY = "1.2.826.4242"
WHY = {"reason": "tumour board"}
ANNOTATED, ABSENT = refs.SEGMENT_STATE_ANNOTATED, refs.SEGMENT_STATE_ABSENT


def coded(value: str, meaning: str) -> cp.CodedTerm:
    return cp.CodedTerm(value=value, scheme="SCT", meaning=meaning)


CATEGORY = coded("123037004", "Anatomical structure")
SEGMENTS = [
    cp.Segment(value=1, name="liver", color="#dd8265", type=coded("10200004", "Liver"), category=CATEGORY),
    cp.Segment(value=4, name="spleen", color="#9d6ca2", type=coded("78961009", "Spleen"), category=CATEGORY),
]


def label_map() -> np.ndarray:
    """A ring with a hole (1) and a block (4); uint8, (columns, rows, slices)."""
    mask = np.zeros((COLUMNS, ROWS, SLICES), np.uint8)
    mask[4:16, 4:18, 1:4] = 1
    mask[8:11, 8:12, 1:4] = 0
    mask[20:27, 5:9, 2:] = 4
    return mask


NUMBERS = np.array([0, 1, 0, 0, 2], np.uint8)
"""Segment number in a SEG by value."""


class Ward:
    """A site with an archive it came from and one labelled case."""

    def __init__(self, site, archive, slice_of) -> None:
        self.site, self.archive = site, archive
        self.objects = open_objects(site.settings.shared.objects_url)
        pixels = np.zeros((ROWS, COLUMNS), "<u2").tobytes()
        named = {
            "PatientName": "Müller^Jörg",
            "SpecificCharacterSet": "ISO_IR 100",
            "FrameOfReferenceUID": "1.2.826.4242.9",
            "PatientSex": "M",
            "StudyTime": "101112",
            "StudyID": "7",
        }
        self.slices = [
            slice_of(n, Rows=ROWS, Columns=COLUMNS, PixelData=pixels, InstanceNumber=n + 1, **named)
            for n in range(SLICES)
        ]

    def receive(self, send, instances=None, **changes) -> "Ward":
        """Let the site and the archive have the study."""
        self.site.configure(**{"segments": SEGMENTS, **changes})
        self.slices = instances or self.slices
        assert {answer.Status for answer in send(self.slices)} == {0}
        self.site.settle()
        ((self.case_id, self.study_key),) = self.site.rows("SELECT case_id, study_key FROM cases")
        for ds in self.slices:
            self.archive.store(written(ds))
        return self

    def say(self, topic: str, event) -> None:
        envelope = Envelope.new(topic, source="/site-1/test", subject=self.study_key)
        self.site.service.event_log.append(
            [Record(topic, self.study_key, event.SerializeToString(), envelope.headers())]
        )

    def mask(self, array: np.ndarray, key: str) -> refs.ObjectRef:
        affine = np.array(json.loads(self.site.http.get(f"/v1/cases/{self.case_id}").content)["affine_lps"])
        ref = self.objects.put(
            f"labeling/{key}.nii", write_nifti(Volume(np.asfortranarray(array), affine.reshape(4, 4)))
        )
        return refs.ObjectRef(key=ref.key, digest=ref.digest, size_bytes=ref.size_bytes)

    def approve(
        self, array: np.ndarray, label: str = "label-1", sequence: int = 1, states=(ANNOTATED, ANNOTATED)
    ) -> None:
        event = qa_pb2.LabelApproved(
            review_id="r",
            label_version_id=label,
            case_id=self.case_id,
            study_key=self.study_key,
            project_id="p",
            project_version=1,
            mask=self.mask(array, label),
            segments=[refs.SegmentStatus(value=v, state=s) for v, s in zip((1, 4), states, strict=True)],
            sequence=sequence,
        )
        self.say("label-approved", event)
        self.site.until(lambda: (label,) in self.site.rows("SELECT source_id FROM export_sources"))

    def predict(self, array: np.ndarray, prediction: str = "prediction-1") -> None:
        event = inference_pb2.PredictionMade(
            prediction_id=prediction,
            case_id=self.case_id,
            study_key=self.study_key,
            project_id="p",
            model_name="organs",
            model_digest="sha256:0123456789abcdef",
            mask=self.mask(array, prediction),
        )
        self.say("prediction-made", event)
        self.site.until(lambda: (prediction,) in self.site.rows("SELECT source_id FROM export_sources"))

    def ask(self, destination: str = "pacs", *forms: str, **changes):
        body = {"case_id": self.case_id, "destination": destination, "forms": forms, **WHY, **changes}
        return self.site.http.post("/v1/exports", json=body)

    def states(self) -> dict[tuple[str, str], str]:
        found = self.site.http.get("/v1/exports").json()["exports"]
        return {(each["destination"], each["form"]): each["state"] for each in found}

    def sent(self, number: int) -> dict[str, pydicom.Dataset]:
        """Wait until so many exports are sent; return what the archive has beside the slices, by modality."""
        self.site.until(lambda: list(self.states().values()).count("sent") == number)
        read = [pydicom.dcmread(io.BytesIO(file)) for file in self.archive.files()]
        return {str(ds.Modality): ds for ds in read if ds.Modality != "MR"}
