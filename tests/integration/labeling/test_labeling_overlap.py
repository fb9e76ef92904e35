"""A project whose segments overlap, over HTTP: masks are segment bits, up and down in every format, voxel for voxel."""

import copy
import gzip
import io
import json
import warnings

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from radloop.imaging import Volume, bits_of, ras_from_lps, read_nifti, says_segment_bits, write_nifti
from radloop.references import ObjectRef
from radloop.testing.databases import ONE_ENGINE

pytestmark = [pytest.mark.integration, ONE_ENGINE]

SHAPE = (11, 9, 5)
VOXEL_ML = 0.7 * 0.9 * 3.3 / 1000
ORGAN, LESION = 1, 32
"""Values of the two segments: the first and the last bit."""


def mask_of(seed: int = 1) -> np.ndarray:
    """Return segment bits without any symmetry: voxels of none, of one and of both segments."""
    organ, lesion = np.random.default_rng(seed).random((2, *SHAPE)) < 0.4
    assert (organ & lesion).any() and (organ & ~lesion).any() and (lesion & ~organ).any()
    return np.where(organ, np.uint32(1), 0).astype(np.uint32) | np.where(lesion, np.uint32(1 << 31), 0).astype(
        np.uint32
    )


def label_map_of(seed: int = 1) -> np.ndarray:
    """Return a label map of the same two segments."""
    return np.random.default_rng(seed).choice([0, 0, ORGAN, LESION], SHAPE).astype(np.uint8)


def project_of(site):
    event = site.project(overlapping_segments=True)
    event.segments[1].value = LESION
    return event


@pytest.fixture
def overlapping(site):
    """The project, and three cases on one series with a model's label map of each."""
    site.hear(project_of(site))
    for n in (1, 2, 3):
        study_key = f"s{n}"
        site.hear(site.study(f"c{n}", study_key), site.prediction(f"c{n}", study_key, mask=label_map_of()))
        site.hear(site.flag(f"c{n}", study_key, rank=n))
    return site


def affine_of(task) -> np.ndarray:
    return np.array(task["case"]["affine_lps"]).reshape(4, 4)


def as_nifti(array, task) -> bytes:
    return write_nifti(Volume(array, affine_of(task)))


def geometry(task, **more) -> str:
    return json.dumps({"shape": task["case"]["shape"], "affine_lps": task["case"]["affine_lps"]} | more)


def raw(response, dtype="uint32") -> np.ndarray:
    assert response.status_code == 200, response.text
    assert (response.headers["x-dtype"], response.headers["x-order"]) == (dtype, "i-fastest")
    shape = [int(n) for n in response.headers["x-shape"].split(",")]
    return np.frombuffer(response.content, np.dtype(dtype).newbyteorder("<")).reshape(shape, order="F")


def sent(who, task, call, data, **fields):
    """Send a label to a call of a task."""
    who.site.clock.pass_(1)
    form = {"lease_id": task["lease"]["lease_id"]} | fields
    return who.ask("POST", f"/v1/tasks/{task['task_id']}/{call}", data=form, files={"label": ("l", data)})


def down(who, made, label_format="nifti"):
    assert made.status_code == 200, made.text
    return who.ask("GET", f"/v1/labels/{made.json()['label_version_id']}", params={"format": label_format})


UPLOADS = {
    "nifti": lambda bits, task: (as_nifti(bits, task), {}),
    "nifti.gz": lambda bits, task: (gzip.compress(as_nifti(bits, task)), {}),
    "raw": lambda bits, task: (bits.tobytes(order="F"), {"format": "raw", "geometry": geometry(task)}),
    "raw that says so": lambda bits, task: (
        bits.tobytes(order="F"),
        {"format": "raw", "geometry": geometry(task, dtype="uint32")},
    ),
    "raw.gz": lambda bits, task: (
        gzip.compress(bits.tobytes(order="F")),
        {"format": "raw", "geometry": geometry(task)},
    ),
}


@pytest.mark.parametrize("kind", UPLOADS)
def test_a_reading_from_draft_to_downloads(overlapping, ada, kind) -> None:
    site, bits, task = overlapping, mask_of(), ada.next()
    draft = {"lease_id": task["lease"]["lease_id"], "after_sequence": 0, "entries": [{"to": 2**31 + 1}]}
    assert ada.ask("POST", f"/v1/tasks/{task['task_id']}/draft", json=draft).json() == {"sequence": 1}
    assert ada.ask("GET", f"/v1/tasks/{task['task_id']}/draft").json()["entries"][0]["entry"] == {"to": 2**31 + 1}

    data, fields = UPLOADS[kind](bits, task)
    first = sent(ada, task, "versions", data, **fields)
    assert np.array_equal(raw(down(ada, first, "raw")), bits)
    made = sent(ada, task, "submit", data, **fields)
    (said,) = site.submitted()
    mask = site.objects.get(ObjectRef(said.mask.key, said.mask.digest, said.mask.size_bytes))
    volume = read_nifti(mask)
    assert volume.array.dtype == np.uint32 and says_segment_bits(mask) and np.array_equal(volume.array, bits)
    assert np.abs(volume.affine_lps - affine_of(task)).max() < 1e-4
    assert [status["state"] for status in made.json()["segments"]] == ["annotated", "annotated"]

    assert down(ada, made).content == mask
    assert np.array_equal(raw(down(ada, made, "raw")), bits)
    seg = down(ada, made, "dicom-seg").content
    assert np.array_equal(frames_of(seg, affine_of(task)), bits)
    # The SEG goes up for another case of the series and is the same label.
    again = sent(ada, ada.next(), "submit", seg, format="dicom-seg")
    assert again.json()["digest"] == made.json()["digest"] == first.json()["digest"]


def frames_of(seg: bytes, affine: np.ndarray) -> np.ndarray:
    """Return the segment bits of a SEG, read frame by frame by its own attributes, for the two segments above."""
    ds = pydicom.dcmread(io.BytesIO(seg))
    assert (ds.SegmentationType, ds.SegmentsOverlap) == ("BINARY", "YES")
    assert [s.SegmentLabel for s in ds.SegmentSequence] == ["anterior", "posterior"]
    bits, seen = np.zeros(SHAPE, np.uint32), set()
    for frame, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        place = [float(x) for x in group.PlanePositionSequence[0].ImagePositionPatient]
        k = round(float((np.linalg.inv(affine) @ [*place, 1])[2]))
        assert (number, k) not in seen
        seen.add((number, k))
        bits[:, :, k] |= frame.T.astype(np.uint32) << np.uint32({1: ORGAN, 2: LESION}[number] - 1)
    return bits


def label_map_seg(series, planes: np.ndarray) -> pydicom.Dataset:
    """Return a SEG of type LABELMAP on a series; ``planes`` has shape (slices, rows, columns), values 1 and 2."""
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=Code(code, "99RADLOOP", name),
            algorithm_type="MANUAL",
        )
        for number, name, code in ((1, "anterior", "ant-1"), (2, "posterior", "post-1"))
    ]
    for ds in series:
        ds.PatientBirthDate, ds.PatientSex, ds.AccessionNumber, ds.StudyID = None, "", "", ""
        ds.StudyDate, ds.StudyTime = "", ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        seg = hd.seg.Segmentation(
            source_images=series,
            pixel_array=planes,
            segmentation_type="LABELMAP",
            segment_descriptions=described,
            series_instance_uid=hd.UID(),
            series_number=1,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="m",
            manufacturer_model_name="m",
            software_versions="1",
            device_serial_number="0",
            omit_empty_frames=False,
        )
    return pydicom.dcmread(io.BytesIO(saved(seg)))


def saved(ds) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()


def test_label_map_segs_whose_frames_overlap(overlapping, ada, oblique_series) -> None:
    _, series = oblique_series
    organ, lesion = ((mask_of() >> np.uint32(n)) & 1 for n in (0, 31))
    seg, other = (
        label_map_seg(series, (part * number).T.astype(np.uint8)) for part, number in ((organ, 1), (lesion, 2))
    )
    voxels = organ.size  # an odd number, so that each is padded
    seg.PixelData = seg.PixelData[:voxels] + other.PixelData[:voxels]
    seg.PerFrameFunctionalGroupsSequence += copy.deepcopy(list(other.PerFrameFunctionalGroupsSequence))
    seg.NumberOfFrames = len(seg.PerFrameFunctionalGroupsSequence)
    made = sent(ada, ada.next(), "submit", saved(seg), format="dicom-seg")
    assert np.array_equal(read_nifti(down(ada, made).content).array, mask_of())


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64, np.float32])
def test_a_label_map_becomes_bits(overlapping, ada, dtype) -> None:
    label_map = label_map_of()
    task = ada.next()
    as_map = sent(ada, task, "versions", unnamed(label_map.astype(dtype), task))
    assert np.array_equal(read_nifti(down(ada, as_map).content).array, bits_of(label_map))
    as_bytes = sent(ada, task, "versions", label_map.tobytes(order="F"), format="raw", geometry=geometry(task))
    as_bits = sent(ada, task, "versions", as_nifti(bits_of(label_map), task))
    assert as_map.json() == as_bytes.json() == as_bits.json(), "the same label, however it is sent"


def unnamed(array, task) -> bytes:
    """Return a NIfTI file as tools write it that know nothing of segment bits."""
    return nib.Nifti1Image(array, ras_from_lps(affine_of(task)), dtype=array.dtype).to_bytes()


@pytest.mark.parametrize(
    "make, fields, code",
    [
        (lambda b, t: unnamed(b, t), {}, "label-bits-unnamed"),
        (lambda b, t: unnamed(b.astype(">u4"), t), {}, "label-bits-unnamed"),
        (lambda b, t: as_nifti(b | np.uint32(1 << 4), t), {}, "label-value-unknown"),
        (lambda b, t: as_nifti(label_map_of() // 2, t), {}, "label-value-unknown"),
        (lambda b, t: unnamed(label_map_of().astype(np.int32) * 1000, t), {}, "label-values"),
        (lambda b, t: as_nifti(b, t), {"segments": '[{"value":32,"state":"absent"}]'}, "segment-contradiction"),
        (lambda b, t: b.tobytes()[:-1], {"format": "raw", "geometry": geometry}, "label-size"),
        (lambda b, t: b.astype(np.uint16).tobytes(), {"format": "raw", "geometry": geometry}, "label-size"),
        (lambda b, t: b.tobytes(), {"format": "raw", "geometry": lambda t: geometry(t, dtype="uint8")}, "label-size"),
        (
            lambda b, t: label_map_of().tobytes(),
            {"format": "raw", "geometry": lambda t: geometry(t, dtype="uint32")},
            "label-size",
        ),
        (
            lambda b, t: b.tobytes(),
            {"format": "raw", "geometry": lambda t: geometry(t, dtype="int32")},
            "geometry-unreadable",
        ),
        (
            lambda b, t: gzip.compress(b.tobytes() + b"\0"),
            {"format": "raw", "geometry": geometry},
            "label-too-large",
        ),
    ],
)
def test_masks_that_are_refused_say_what_to_do(overlapping, ada, make, fields, code) -> None:
    task = ada.next()
    fields = {name: value(task) if callable(value) else value for name, value in fields.items()}
    refused = sent(ada, task, "submit", make(mask_of(), task), **fields)
    body = refused.json()
    assert (refused.status_code, body["error"]) == (422, code), body
    assert body["expected"] and body["got"]
    assert sent(ada, task, "submit", as_nifti(mask_of(), task)).status_code == 200


def test_an_ordinary_project_takes_no_bits(site, ada) -> None:
    site.ready()
    task = ada.next()
    bits = bits_of(np.random.default_rng(1).choice([0, 1, 2], SHAPE).astype(np.uint8))  # would pass as a label map
    refused = sent(ada, task, "submit", as_nifti(bits, task))
    assert (refused.status_code, refused.json()["error"]) == (422, "label-bits-unexpected")
    as_raw = {"format": "raw", "geometry": geometry(task)}
    assert sent(ada, task, "submit", bits.tobytes(order="F"), **as_raw).json()["error"] == "label-size"
    as_raw = {"format": "raw", "geometry": geometry(task, dtype="uint32")}
    assert sent(ada, task, "submit", bits.tobytes(order="F"), **as_raw).json()["error"] == "geometry-unreadable"
    # A label map that an ordinary tool saved as uint32 is one as before.
    made = sent(ada, task, "submit", unnamed(bits, task))
    assert read_nifti(down(ada, made).content).array.dtype == np.uint8
    assert np.array_equal(raw(down(ada, made, "raw"), "uint8"), bits)


def test_versions_count_each_segment(overlapping, ada) -> None:
    task = ada.next()
    before = np.zeros(SHAPE, np.uint32)
    before.ravel()[:10] = 1
    after = before.copy()
    after.ravel()[4:12] |= np.uint32(1 << 31)
    after.ravel()[0] = 0
    for bits in (before, after):
        assert sent(ada, task, "versions", as_nifti(bits, task)).status_code == 200
    first, second = ada.ask("GET", f"/v1/tasks/{task['task_id']}/versions").json()["versions"]
    assert first["volumes_ml"] == pytest.approx({"1": 10 * VOXEL_ML, "32": 0.0})
    assert second["volumes_ml"] == pytest.approx({"1": 9 * VOXEL_ML, "32": 8 * VOXEL_ML})
    assert second["changed_voxels"] == {"1": {"added": 0, "removed": 1}, "32": {"added": 8, "removed": 0}}


def test_what_is_imported_is_stored_as_bits(overlapping, lead) -> None:
    for n, array in enumerate((mask_of(), label_map_of()), start=1):
        label = write_nifti(Volume(array, np.array(overlapping.study().cases[0].affine_lps).reshape(4, 4)))
        form = {"data": {"project_id": "p"}, "files": {"label": ("l.nii", label)}}
        made = lead.ask("POST", f"/v1/cases/c{n}/labels", **form)
        bits = array if array.dtype == np.uint32 else bits_of(array)
        assert np.array_equal(read_nifti(down(lead, made).content).array, bits)
    history = lead.ask("GET", "/v1/cases/c1/history").json()
    assert [status["value"] for status in history["labels"][0]["segments"]] == [ORGAN, LESION]


@pytest.mark.parametrize("mask", [mask_of(), label_map_of()], ids=["bits", "label map"])
def test_a_proposal_is_handed_out_as_bits(site, ada, lead, mask) -> None:
    """Also one of a model that was trained before anything overlapped."""
    entropy = np.zeros(SHAPE, np.float32)
    entropy[3:6, 4:6, 2] = 0.5
    mask[3:6, 4:6, 2] = np.uint32(1 << 31) if mask.dtype == np.uint32 else LESION
    site.hear(project_of(site), site.study(), site.prediction(mask=mask, entropy=entropy), site.flag())
    task = ada.next()
    bits = mask if mask.dtype == np.uint32 else bits_of(mask)
    for who, path in ((ada, f"/v1/tasks/{task['task_id']}/proposal"), (lead, "/v1/cases/c1/prediction")):
        nifti = who.ask("GET", path)
        assert nifti.headers["content-type"] == "application/x-nifti" and says_segment_bits(nifti.content)
        volume = read_nifti(nifti.content)
        assert np.array_equal(volume.array, bits) and np.abs(volume.affine_lps - affine_of(task)).max() < 1e-4
        assert np.array_equal(raw(who.ask("GET", path, params={"format": "raw"})), bits)
    (place, *_) = ada.ask("GET", f"/v1/tasks/{task['task_id']}/doubts").json()["places"]
    assert place["segment"] == LESION
    # It can be sent back as it came.
    made = sent(ada, task, "submit", ada.ask("GET", f"/v1/tasks/{task['task_id']}/proposal").content)
    assert np.array_equal(raw(down(ada, made, "raw")), bits)


def test_operations_work_on_one_segment(overlapping, ada) -> None:
    task = ada.next()
    body = {"segment": LESION, "shape": SHAPE, "runs": [0, 3, 20, 1]}
    done = ada.ask("POST", f"/v1/tasks/{task['task_id']}/operations/remove-islands", json=body)
    assert done.json() == {"runs": [0, 3]}
