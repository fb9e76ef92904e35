"""A reading room that says canaries wherever it may: in drafts, notes and comments, and in the headers of its labels."""

import io
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset

from radloop.errors import RadloopError
from radloop.imaging import Volume, read_nifti, write_nifti
from standalone.client import Client
from tests.privacy.canaries import Canaries

_SEG_TEXTS = (
    "ContentCreatorName",
    "ContentDescription",
    "ContentLabel",
    "SeriesDescription",
    "PatientName",
    "PatientID",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceSerialNumber",
    "InstitutionName",
    "OperatorsName",
)


def drawn_on(image: bytes) -> bytes:
    """Return a label as NIfTI: two boxes, one for each segment."""
    volume = read_nifti(image)
    mask = np.zeros(volume.array.shape, dtype=np.uint8)
    mask[4:9, 4:12, 3:9], mask[9:13, 4:12, 3:9] = 1, 2
    return write_nifti(Volume(mask, volume.affine_lps))


def with_header(label: bytes, canaries: Canaries, name: str) -> bytes:
    """Return a NIfTI label whose header and extension hold canaries."""
    image = nib.Nifti1Image.from_bytes(label)
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        image.header[field] = canaries.text(f"{name}, NIfTI header, {field}")[
            : image.header[field].dtype.itemsize
        ].encode()
    comment = nib.nifti1.Nifti1Extension("comment", canaries.text(f"{name}, NIfTI extension").encode())
    image.header.extensions.append(comment)
    return image.to_bytes()


def seg_with_texts(seg: bytes, canaries: Canaries, name: str) -> bytes:
    """Return a DICOM SEG whose texts are canaries; what its segments are stays."""
    ds = pydicom.dcmread(io.BytesIO(seg))
    for keyword in _SEG_TEXTS:
        setattr(ds, keyword, canaries.text(f"{name}, SEG, {keyword}"))
    for segment in ds.SegmentSequence:
        segment.SegmentDescription = canaries.text(f"{name}, SEG, SegmentDescription")
        segment.SegmentAlgorithmName = canaries.text(f"{name}, SEG, SegmentAlgorithmName")
        segment.TrackingID = canaries.text(f"{name}, SEG, TrackingID")
        segment.TrackingUID = canaries.uid(f"{name}, SEG, TrackingUID")
    return _written(ds)


def seg_of_unknown(seg: bytes, canaries: Canaries, name: str) -> bytes:
    """Return a DICOM SEG whose segments the project does not know, by their labels."""
    ds = pydicom.dcmread(io.BytesIO(seg))
    for segment in ds.SegmentSequence:
        segment.SegmentLabel = canaries.text(f"{name}, SEG, SegmentLabel")
        code = segment.SegmentedPropertyTypeCodeSequence[0]
        code.CodeValue, code.CodeMeaning = (canaries.text(f"{name}, SEG, {what}") for what in ("code", "meaning"))
    return _written(ds)


def _written(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


class ReadingRoom:
    """One reader and what they send.

    Parameters
    ----------
    client
        With the reader's token.
    canaries
        What to say.
    project_id
        Where to read.
    """

    def __init__(self, client: Client, canaries: Canaries, project_id: str) -> None:
        self._client, self._canaries, self._project_id = client, canaries, project_id
        self.submitted: list[str] = []
        """Label versions."""

    def read_next(self, *, skip: bool = False) -> bool:
        """Take a task, write a draft, report its case, and submit; return whether there was one."""
        task = self._client.post("/labeling/v1/tasks/next", {"project_id": self._project_id})
        if task is None:
            return False
        say, path = self._canaries.text, f"/labeling/v1/tasks/{task['task_id']}"
        lease = {"lease_id": task["lease"]["lease_id"]}
        entries = [{say("field in a draft"): say("draft"), "name": say("name in a draft")}, say("draft of text")]
        known = self._client.get(f"{path}/draft")["sequence"]  # a label that came back has a draft already
        self._client.post(f"{path}/draft", {**lease, "after_sequence": known, "entries": entries})
        report = {"reason": "other", "note": say("note of a report")}
        self._client.post(f"/labeling/v1/cases/{task['case_id']}/report", report)
        if skip:
            self._client.post(f"{path}/skip", {**lease, "reason": "no-time"})
            return True
        label = drawn_on(self._client.get_bytes(f"{path}/image"))
        self._refused(f"{path}/submit", lease, label)
        name = say("file name of a label")
        files = {"label": (f"{name}.nii", with_header(label, self._canaries, "submitted label"), f"image/{name}")}
        made = self._client.post(f"{path}/submit", {**lease, "format": "nifti"}, files=files)
        self.submitted.append(made["label_version_id"])
        return True

    def _refused(self, path: str, lease: dict[str, Any], label: bytes) -> None:
        """Send what is no label of the case."""
        say = self._canaries.text
        cut = with_header(label, self._canaries, "label that is cut")
        wrong_magic = cut[:344] + b"QXCN" + cut[348:]
        for name, form, content in (
            ("bytes", {"format": "nifti"}, say("label that is no NIfTI").encode() * 40),
            ("cut", {"format": "nifti"}, cut[: len(cut) // 2]),
            ("magic", {"format": "nifti"}, wrong_magic),
            ("geometry", {"format": "raw", "geometry": f'{{"{say("geometry")}": 1}}'}, label[352:]),
            ("format", {"format": say("format of a label")}, label),
            ("segments", {"format": "nifti", "segments": f'[{{"value": "{say("segment value")}"}}]'}, label),
            ("SEG", {"format": "dicom-seg"}, say("label that is no SEG").encode() * 40),
            ("time", {"format": "nifti", "active_time_s": say("active time")}, label),
        ):
            files = {"label": (say(f"file name of a label that is refused for its {name}"), content)}
            try:
                self._client.post(path, lease | form, files=files)
            except RadloopError:
                continue
            raise AssertionError(f"taken in spite of its {name}")
