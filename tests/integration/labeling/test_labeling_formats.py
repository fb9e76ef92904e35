"""Labels up and down on an oblique series, voxel for voxel, and what is refused."""

import dataclasses
import gzip
import io
import json
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest

from labeling.adapters.formats.seg_reader import read_seg
from labeling.adapters.formats.seg_writer import write_seg
from labeling.domain.messages import CodedTerm, Segment
from labeling.domain.model import Case, LabelVersion, Project
from labeling.domain.vocabulary import LabelSource, Reading
from radloop.errors import Invalid
from radloop.imaging import Volume, read_nifti, segment_voxels, write_nifti
from radloop.references import ObjectRef, SegmentState, SegmentStatus, Split
from radloop.testing.databases import ONE_ENGINE

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))


def geometry(task) -> str:
    return json.dumps({"shape": task["case"]["shape"], "affine_lps": task["case"]["affine_lps"]})


def affine_of(task) -> np.ndarray:
    return np.array(task["case"]["affine_lps"]).reshape(4, 4)


def as_nifti(array, task) -> bytes:
    return write_nifti(Volume(array, affine_of(task)))


UPLOADS = {
    "nifti": lambda array, task: (as_nifti(array, task), {"format": "nifti"}),
    "nifti.gz": lambda array, task: (gzip.compress(as_nifti(array, task)), {"format": "nifti"}),
    "nifti of int16": lambda array, task: (as_nifti(array.astype(np.int16), task), {"format": "nifti"}),
    "nifti of float32": lambda array, task: (as_nifti(array.astype(np.float32), task), {"format": "nifti"}),
    "raw": lambda array, task: (array.tobytes(order="F"), {"format": "raw", "geometry": geometry(task)}),
    "raw.gz": lambda array, task: (
        gzip.compress(array.tobytes(order="F")),
        {"format": "raw", "geometry": geometry(task)},
    ),
}


@pytest.mark.parametrize("kind", UPLOADS)
def test_up_in_any_format_down_in_every_format(site, ada, a_label, kind) -> None:
    site.ready()
    task = ada.next()
    array = a_label()
    data, fields = UPLOADS[kind](array, task)
    response = ada.submit(task, data, **fields)
    assert response.status_code == 200, response.text
    path = f"/v1/labels/{response.json()['label_version_id']}"

    nifti = read_nifti(ada.ask("GET", path).content)
    assert (nifti.array == array).all() and nifti.array.dtype == np.uint8
    assert np.abs(nifti.affine_lps - affine_of(task)).max() < 1e-4

    raw = ada.ask("GET", path, params={"format": "raw"})
    shape = tuple(int(n) for n in raw.headers["X-Shape"].split(","))
    assert (np.frombuffer(raw.content, np.uint8).reshape(shape, order="F") == array).all()
    assert [float(x) for x in raw.headers["X-Affine-LPS"].split(",")] == task["case"]["affine_lps"]
    assert raw.headers["Content-Encoding"] == "gzip"
    plain = ada.ask("GET", path, params={"format": "raw"}, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers and plain.content == raw.content

    seg = ada.ask("GET", path, params={"format": "dicom-seg"}).content
    assert ada.ask("GET", path, params={"format": "png"}).json()["error"] == "format-unknown"

    # The SEG goes up for another task and is the same label.
    site.hear(site.study("c2", "s2"), site.flag("c2", "s2", show_proposal=False))
    again = ada.submit(ada.next(), seg, format="dicom-seg")
    assert again.status_code == 200, again.text
    second = read_nifti(ada.ask("GET", f"/v1/labels/{again.json()['label_version_id']}").content)
    assert (second.array == array).all()
    assert again.json()["digest"] == response.json()["digest"]


def test_a_seg_is_a_good_dicom_object(site, ada, a_label) -> None:
    site.ready()
    task = ada.next()
    label = ada.submit(task, a_label(), started_from_model="true").json()["label_version_id"]
    path = f"/v1/labels/{label}?format=dicom-seg"
    ds = pydicom.dcmread(io.BytesIO(ada.ask("GET", path).content))
    assert (ds.SegmentationType, ds.Modality, ds.PatientID) == ("BINARY", "SEG", "pseudonym-1")
    assert (ds.StudyInstanceUID, ds.FrameOfReferenceUID) == ("2.25.2", "2.25.3")
    names = [(s.SegmentNumber, s.SegmentLabel, s.SegmentAlgorithmType) for s in ds.SegmentSequence]
    assert names == [(1, "anterior", "SEMIAUTOMATIC"), (2, "posterior", "SEMIAUTOMATIC")]
    assert ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "ant-1"
    # Every frame names the source instance it lies on.
    source = {}
    for group in ds.PerFrameFunctionalGroupsSequence:
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        source[image.ReferencedSOPInstanceUID] = group.PlanePositionSequence[0].ImagePositionPatient
    assert set(source) == {f"2.25.{1000 + k}" for k in range(5)}
    # Exported again: the same object, by its UIDs.
    again = pydicom.dcmread(io.BytesIO(ada.ask("GET", path).content))
    assert again.SOPInstanceUID == ds.SOPInstanceUID


def test_an_empty_seg_comes_back_empty(site, ada) -> None:
    site.ready()
    label = ada.submit(ada.next(), np.zeros((11, 9, 5), np.uint8)).json()["label_version_id"]
    seg = ada.ask("GET", f"/v1/labels/{label}?format=dicom-seg").content
    site.hear(site.study("c2", "s2"), site.flag("c2", "s2", show_proposal=False))
    again = ada.submit(ada.next(), seg, format="dicom-seg")
    assert again.status_code == 200
    assert {s["state"] for s in again.json()["segments"]} == {"absent"}


def fractional(seg: bytes) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(seg))
    ds.SegmentationType = "FRACTIONAL"
    return saved(ds)


def saved(ds) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()


def renamed(seg: bytes, code: str, label: str) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(seg))
    ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = code
    ds.SegmentSequence[0].SegmentLabel = label
    return saved(ds)


def moved(seg: bytes, mm: float) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(seg))
    for group in ds.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [float(f"{x + mm:.10g}") for x in place.ImagePositionPatient]
    return saved(ds)


def overlapping(seg: bytes) -> bytes:
    """Let every frame of segment 2 lie where segment 1 lies."""
    ds = pydicom.dcmread(io.BytesIO(seg))
    frames = ds.pixel_array.copy()
    numbers = [
        int(g.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for g in ds.PerFrameFunctionalGroupsSequence
    ]
    places = [tuple(g.PlanePositionSequence[0].ImagePositionPatient) for g in ds.PerFrameFunctionalGroupsSequence]
    first = {place: n for n, (number, place) in enumerate(zip(numbers, places, strict=True)) if number == 1}
    for n, (number, place) in enumerate(zip(numbers, places, strict=True)):
        if number == 2:
            frames[n] = frames[first[place]]
    ds.PixelData = pydicom.pixels.pack_bits(frames.ravel())
    return saved(ds)


@pytest.fixture
def seg(site, ada, a_label) -> bytes:
    """A SEG of case c1, exported; the next task is of c2, on the same series."""
    site.ready("c1", "c2")
    label = ada.submit(ada.next(), a_label()).json()["label_version_id"]
    return ada.ask("GET", f"/v1/labels/{label}?format=dicom-seg").content


@ONE_ENGINE
@pytest.mark.parametrize(
    "spoil, code",
    [
        (fractional, "label-values"),
        (overlapping, "label-overlap"),
        (lambda seg: moved(seg, 0.4), "label-geometry"),
        (lambda seg: moved(seg, 0.01), "label-geometry"),
        (lambda seg: renamed(seg, "other", "tumour"), "segment-unknown"),
        (lambda seg: renamed(seg, "post-1", "posterior"), "segment-ambiguous"),
        (lambda seg: seg[: len(seg) // 2], "label-unreadable"),
        (lambda seg: b"not DICOM at all", "label-unreadable"),
        (lambda seg: b"", "label-unreadable"),
    ],
)
def test_segs_that_are_refused(site, ada, seg, spoil, code) -> None:
    task = ada.next()
    refused = ada.submit(task, spoil(seg), format="dicom-seg")
    assert (refused.status_code, refused.json()["error"]) == (422, code)
    assert ada.submit(task, seg, format="dicom-seg").status_code == 200  # nothing was lost by it


def test_segments_are_found_by_code_or_by_label(site, ada, seg, a_label) -> None:
    task = ada.next()
    by_label = renamed(seg, "vendor-code", "Anterior")
    label = ada.submit(task, by_label, format="dicom-seg").json()["label_version_id"]
    assert (read_nifti(ada.ask("GET", f"/v1/labels/{label}").content).array == a_label()).all()


def shifted(task, mm: float) -> np.ndarray:
    affine = affine_of(task)
    affine[:3, 3] += mm
    return affine


@ONE_ENGINE
@pytest.mark.parametrize(
    "make, fields, code",
    [
        (lambda a, t: write_nifti(Volume(a, shifted(t, 0.5))), {}, "label-geometry"),
        (lambda a, t: write_nifti(Volume(a[:-1], affine_of(t))), {}, "label-geometry"),
        (lambda a, t: write_nifti(Volume(a[::-1], np.diag([-1.0, 1, 1, 1]))), {}, "label-geometry"),
        (lambda a, t: as_nifti(a * 4, t), {}, "label-value-unknown"),
        (lambda a, t: as_nifti(a * np.float32(0.5), t), {}, "label-values"),
        (lambda a, t: as_nifti(a, t)[:300], {}, "nifti-unreadable"),
        (lambda a, t: gzip.compress(as_nifti(a, t))[:-9], {}, "label-unreadable"),
        (lambda a, t: gzip.compress(bytes(50_000_000)), {}, "label-too-large"),
        (lambda a, t: b"junk", {}, "nifti-unreadable"),
        (lambda a, t: b"", {}, "nifti-unreadable"),
        (lambda a, t: a.tobytes(), {"format": "raw"}, "geometry-missing"),
        (lambda a, t: a.tobytes(), {"format": "raw", "geometry": "{}"}, "geometry-unreadable"),
        (lambda a, t: a.tobytes()[:-1], {"format": "raw", "geometry": geometry}, "label-size"),
        (lambda a, t: as_nifti(a, t), {"format": "nrrd"}, "format-unknown"),
        (lambda a, t: as_nifti(a, t), {"segments": "[3]"}, "segments-unreadable"),
        (lambda a, t: as_nifti(a, t), {"segments": '[{"value":1,"state":"absent"}]'}, "segment-contradiction"),
        (lambda a, t: as_nifti(a, t), {"segments": '[{"value":9,"state":"absent"}]'}, "segment-unknown"),
        (lambda a, t: as_nifti(a, t), {"started_from_model": "perhaps"}, "flag-unreadable"),
        (lambda a, t: as_nifti(a, t), {"active_time_s": "-1"}, "seconds-unreadable"),
    ],
)
def test_labels_that_are_refused_say_what_to_do(site, ada, a_label, make, fields, code) -> None:
    site.ready()
    task = ada.next()
    fields = {name: value(task) if callable(value) else value for name, value in fields.items()}
    refused = ada.submit(task, make(a_label(), task), **fields)
    body = refused.json()
    assert (refused.status_code, body["error"]) == (422, code), body
    assert body["expected"] and body["got"]
    assert site.submitted() == []
    assert ada.submit(task).status_code == 200


def test_forms_that_are_none(site, ada) -> None:
    site.ready()
    path = f"/v1/tasks/{ada.next()['task_id']}/submit"
    assert ada.ask("POST", path, json={}).json()["error"] == "form-missing"
    assert ada.ask("POST", path, data={"a": "b"}, files={"other": b"x"}).json()["error"] == "label-missing"
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert ada.ask("POST", path, content=b"--x\r\nnonsense", headers=broken).json()["error"] == "form-unreadable"


def test_no_upload_touches_the_disk(site, ada, a_label, monkeypatch) -> None:
    """A SEG from outside has names in its header; the framework would spool it to a temporary file."""
    import tempfile

    def refuse(*_args, **_kwargs):
        raise AssertionError("a temporary file")

    site.ready()
    task = ada.next()
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    data = as_nifti(a_label(), task)
    padded = data + bytes(3_000_000 - len(data))  # what follows a NIfTI's voxels is nobody's business
    assert ada.submit(task, padded).status_code == 200


# --- other people's SEG -----------------------------------------------------------------------------------------------------


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one of the NRRD masks beside the SEG: int16, gzip, LPS."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    shape = [int(n) for n in fields["sizes"].split()]
    affine = np.eye(4)
    for axis, direction in enumerate(fields["space directions"].split()):
        affine[:3, axis] = [float(x) for x in direction.strip("()").split(",")]
    affine[:3, 3] = [float(x) for x in fields["space origin"].strip("()").split(",")]
    return np.frombuffer(gzip.decompress(body), "<i2").reshape(shape, order="F"), affine


REF = ObjectRef("k", "sha256:0", 1)
SEGMENT = CodedTerm("123037004", "SCT", "Anatomical Structure")


def case_in(shape, affine) -> Case:
    numbers = tuple(float(x) for x in affine.ravel())
    return Case("c", "s", "p", Split.TRAIN, REF, (REF,), "CT", tuple(shape), (1.0, 1.0, 1.0), numbers, "HU")


def project_of(*segments: Segment) -> Project:
    return Project("p", 1, segments, False, 60, ())


def label_version(project: Project) -> LabelVersion:
    from datetime import UTC, datetime

    return LabelVersion(
        label_version_id="l",
        task_id="t",
        case_id="c",
        study_key="s",
        project_id="p",
        project_version=1,
        reader="r",
        source=LabelSource.READER,
        reading=Reading.FIRST,
        mask=REF,
        segments=tuple(SegmentStatus(v, SegmentState.ANNOTATED) for v in project.values),
        started_from_model=False,
        prediction_id="",
        round_id="",
        arm=None,
        attempt=1,
        active_time_s=0.0,
        made_at=datetime(2026, 1, 5, tzinfo=UTC),
    )


@pytest.fixture
def dicom_seg() -> Path:
    if not DATA.is_dir():
        pytest.skip("no ../shared/data: the SEG of dcmqi's tests are not here")
    return DATA / "dicom_seg"


def liver(value: int) -> Segment:
    return Segment(value, "liver", "#cc0000", CodedTerm("10200004", "SCT", "Liver"), SEGMENT, True)


@pytest.mark.parametrize(
    "seg_name, nrrd_name",
    [
        ("liver.dcm", "liver_seg.nrrd"),
        ("sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd"),
        ("sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd"),
    ],
)
def test_reads_what_dcmqi_wrote(dicom_seg, seg_name, nrrd_name) -> None:
    expected, affine = read_nrrd(dicom_seg / nrrd_name)
    found = read_seg((dicom_seg / seg_name).read_bytes(), case_in(expected.shape, affine), project_of(liver(7)))
    # The NRRD of ppv5 holds the padding value 5 where no frame is.
    assert ((found.array == 7) == (expected == 1)).all()
    assert (expected == 1).any()


def test_reads_a_seg_into_the_geometry_of_its_own_source(dicom_seg) -> None:
    """The slices run downwards in the files, upwards in the NRRD: the same voxels, k turned round."""
    files = sorted((dicom_seg / "ct-3slice").glob("*.dcm"))
    sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    columns, rows, *_ = sources[0].Columns, sources[0].Rows
    affine = np.eye(4)
    affine[0, 0] = affine[1, 1] = float(sources[0].PixelSpacing[0])
    affine[:3, 3] = [float(x) for x in sources[0].ImagePositionPatient]
    affine[2, 2] = float(sources[1].ImagePositionPatient[2]) - affine[2, 3]
    assert affine[2, 2] < 0
    case, project = case_in((columns, rows, 3), affine), project_of(liver(1))
    found = read_seg((dicom_seg / "liver.dcm").read_bytes(), case, project)
    expected, _ = read_nrrd(dicom_seg / "liver_seg.nrrd")
    assert (found.array == expected[:, :, ::-1]).all()
    # And back: our own SEG on the real CT is read voxel for voxel.
    written = write_seg(found.array, sources, [1, 1, 1], label_version(project), project)
    assert (read_seg(written, case, project).array == found.array).all()


def test_a_seg_of_slices_that_do_not_say_thickness_or_frame_of_reference(dicom_seg) -> None:
    """Both may be empty or differ in what a modality sends; a case was formed of it, so its label must be exportable."""
    files = sorted((dicom_seg / "ct-3slice").glob("*.dcm"))
    sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    for ds in sources:
        del ds.SliceThickness
    sources[1].FrameOfReferenceUID = "1.2.3"
    del sources[2].FrameOfReferenceUID
    project = project_of(liver(1))
    array = np.ones((sources[0].Columns, sources[0].Rows, 3), dtype=np.uint8)
    seg = pydicom.dcmread(io.BytesIO(write_seg(array, sources, [1, 1, 1], label_version(project), project)))
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    apart = abs(sources[1].ImagePositionPatient[2] - sources[0].ImagePositionPatient[2])
    assert measures.SliceThickness == pytest.approx(apart)
    assert seg.FrameOfReferenceUID == sources[0].FrameOfReferenceUID


def test_overlapping_segments_need_a_project_that_has_them_and_unknown_ones_are_listed(dicom_seg) -> None:
    data = (dicom_seg / "partial_overlaps.dcm").read_bytes()
    _, affine = read_nrrd(dicom_seg / "liver_seg.nrrd")
    case = case_in((512, 512, 3), affine)
    with pytest.raises(Invalid, match="7 liver"):
        read_seg(data, case, project_of(liver(7)))
    names = ("GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE")
    segments = [
        dataclasses.replace(liver(n), name=name.lower(), type=CodedTerm(str(n), "99X", name))
        for n, name in enumerate(names, start=1)
    ]
    with pytest.raises(Invalid, match="label-overlap"):
        read_seg(data, case, project_of(*segments))
    # Where they may overlap, each is read whole.
    project = dataclasses.replace(project_of(*segments), overlapping_segments=True)
    found = read_seg(data, case, project).array
    counts = {segment.value: int(segment_voxels(found, segment.value).sum()) for segment in segments}
    ds = pydicom.dcmread(io.BytesIO(data))
    painted = dict.fromkeys(counts, 0)
    for frame, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        painted[int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)] += int(frame.sum())
    assert counts == painted
    assert sum(counts.values()) > np.count_nonzero(found)


def test_frames_of_one_enhanced_instance(site, a_label) -> None:
    """Slices that are frames of one multi-frame instance, and not all of them: one phase of two."""
    event = site.study()
    affine = np.array(event.cases[0].affine_lps).reshape(4, 4)
    slices = [pydicom.dcmread(io.BytesIO(site.objects.get(ref))) for ref in stored_slices(site)]
    ds = slices[0]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    shared, measures, orientation = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = ds.PixelSpacing, ds.SliceThickness
    orientation.ImageOrientationPatient = ds.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    groups = []
    for one in [*slices, *slices]:
        group, place = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = one.ImagePositionPatient
        group.PlanePositionSequence = [place]
        groups.append(group)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], groups
    ds.NumberOfFrames = len(groups)
    del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing, ds.SliceThickness
    project, array = project_of(liver(1)), (a_label() == 1).astype(np.uint8)
    written = write_seg(array, [ds] * 5, [6, 7, 8, 9, 10], label_version(project), project)
    assert (read_seg(written, case_in(array.shape, affine), project).array == array).all()


def stored_slices(site) -> list[ObjectRef]:
    """Return the slices of case c1, in order of k."""
    event = site.study()
    ref = event.cases[0].manifest
    manifest = json.loads(site.objects.get(ObjectRef(ref.key, ref.digest, ref.size_bytes)))
    return [ObjectRef(**item["object"]) for item in manifest["slices"]]


def test_a_damaged_seg_is_unreadable_and_nothing_else(dicom_seg) -> None:
    """Every byte may be another one; what pydicom raises of it would hold texts of the file."""
    whole = (dicom_seg / "sparse-labelmap-ppv5.dcm").read_bytes()
    expected, affine = read_nrrd(dicom_seg / "sparse_labelmap_ppv5_seg.nrrd")
    case, random, codes = case_in(expected.shape, affine), np.random.default_rng(1), set()
    for _ in range(400):
        damaged = bytearray(whole)
        for place in random.integers(132, len(whole), random.integers(1, 6)):
            damaged[place] = random.integers(256)
        try:
            read_seg(bytes(damaged), case, project_of(liver(7)))
        except Invalid as error:
            codes.add(error.code)
    assert "label-unreadable" in codes
    assert codes <= {"label-unreadable", "label-geometry", "segment-unknown", "label-values", "label-overlap"}
