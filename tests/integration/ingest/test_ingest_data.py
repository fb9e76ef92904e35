"""Real images: every codec, cine with the experts' contours, enhanced objects, computed tomography."""

import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.imaging import Volume, read_nifti

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no data at hand (RADLOOP_DATA)")


@needs_data
def test_all_codecs_give_the_same_pixels(site, send):
    site.configure()
    files = sorted((DATA / "dicom_codecs" / "same_pixels").glob("*.dcm"))
    assert len(files) == 9
    instances = [pydicom.dcmread(file) for file in files]
    for ds in instances:  # one association each: the same class in another transfer syntax
        assert send([ds])[0].Status == 0x0000
    expected = instances[0].pixel_array
    stored = [data for key, data in site.stored().items() if "/instances/" in key]
    assert len(stored) == 9
    for data in stored:
        ds = pydicom.dcmread(io.BytesIO(data))
        assert np.array_equal(ds.pixel_array, expected)
        assert ds.PatientIdentityRemoved == "YES"
    site.settle()
    (rejected,) = site.said("study-rejected")  # the image is a mosaic
    assert rejected.reason == ingest_pb2.REJECT_REASON_UNSUPPORTED and rejected.instance_count == 9


@needs_data
def test_uploads_of_every_codec(site):
    """The same files by HTTP, where no association names the transfer syntax."""
    files = sorted((DATA / "dicom_codecs" / "same_pixels").glob("*.dcm"))
    answer = site.http.post("/v1/uploads", files=[("file", file.read_bytes()) for file in files]).json()
    assert (answer["received"], answer["stored"], answer["rejected"]) == (9, 9, [])


@needs_data
@pytest.mark.parametrize(("patient", "slices"), [("SCD0000101", 12), ("SCD0000201", 13)])
def test_cine_is_split_by_phase(site, patient, slices):
    """File n of a patient is slice (n-1) div 20 and phase (n-1) mod 20; the contours' file numbers say so too."""
    site.configure()
    archive = DATA / "sunnybrook_cine" / f"{patient}.zip"
    answer = site.http.post("/v1/uploads", files={"file": archive.read_bytes()}).json()
    assert answer["stored"] == 20 * slices
    site.settle()
    (said,) = site.said("study-ingested")
    assert [case.phase for case in said.cases] == list(range(20))
    pixels = {}
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            if name.endswith(".dcm"):
                ds = pydicom.dcmread(io.BytesIO(files.read(name)))
                pixels[int(Path(name).stem)] = ds.pixel_array.astype(np.int32).T
    volumes = {
        case.phase: read_nifti(site.http.get(f"/v1/cases/{case.case_id}/volumes/0").content) for case in said.cases
    }
    assert all(volume.array.shape == (256, 256, slices) for volume in volumes.values())
    found = {number: _place(volumes, image) for number, image in pixels.items()}
    assert {place[0] for place in found.values()} == set(range(20))
    for number, (phase, _) in found.items():
        assert phase == (number - 1) % 20
    # Along k the slices run in the order of the files, or exactly against it.
    order = [found[20 * index + 1][1] for index in range(slices)]
    assert order in (list(range(slices)), list(reversed(range(slices))))
    _check_contours(patient, found, slices)


def _place(volumes, image) -> tuple[int, int]:
    """Return (phase, k) of the only slice with these pixels."""
    places = [
        (phase, k)
        for phase, volume in volumes.items()
        for k in range(volume.array.shape[2])
        if volume.array[128, 128, k] == image[128, 128] and np.array_equal(volume.array[:, :, k], image)
    ]
    assert len(places) == 1
    return places[0]


def _check_contours(patient: str, found: dict[int, tuple[int, int]], slices: int) -> None:
    """The experts drew at two moments of the heart's cycle: each contour's file lies in one of two phases, one per slice."""
    folder = DATA / "sunnybrook_cine" / "contours" / patient / "i-contours"
    numbers = [int(re.match(r"IM-0001-(\d{4})-", file.name)[1]) for file in sorted(folder.glob("*.txt"))]
    places = [found[number] for number in numbers]
    assert len(numbers) == 18 and len({phase for phase, _ in places}) == 2
    for phase in {phase for phase, _ in places}:
        drawn = sorted(k for at, k in places if at == phase)
        assert drawn == list(range(drawn[0], drawn[0] + len(drawn))) and len(drawn) <= slices


def _volumes(site) -> list[tuple[str, int, Volume]]:
    """Return series, phase and volume of every case, in this order."""
    cases = [case for said in site.said("study-ingested") for case in said.cases]
    found = [
        (case.series_keys[0], case.phase, read_nifti(site.http.get(f"/v1/cases/{case.case_id}/volumes/0").content))
        for case in cases
    ]
    return sorted(found, key=lambda one: one[:2])


@needs_data
def test_enhanced_mr_becomes_a_case_for_each_phase(site):
    site.configure()
    folder = DATA / "dicom_enhanced" / "Siemens"
    assert site.http.post("/v1/uploads", json={"folder": str(folder)}).json()["stored"] == 4
    site.settle()
    volumes = _volumes(site)
    assert [phase for _, phase, _ in volumes] == [0, 1, 2, 3]
    for file, (_, _, volume) in zip(sorted(folder.rglob("*.dcm")), volumes, strict=True):
        ours, theirs = volume, SimpleITK.ReadImage(file)
        assert np.array_equal(ours.array.transpose(2, 1, 0), SimpleITK.GetArrayFromImage(theirs))
        assert ours.affine_lps[:3, 3] == pytest.approx(theirs.GetOrigin(), abs=1e-3)
        direction = np.array(theirs.GetDirection()).reshape(3, 3) * theirs.GetSpacing()
        assert np.allclose(ours.affine_lps[:3, :3], direction, atol=1e-3)
    (case, *_) = site.said("study-ingested")[0].cases
    slices = site.http.get(f"/v1/cases/{case.case_id}").json()["slices"]
    assert [one["frame"] for one in slices] == [1, 2, 3, 4, 5, 6]
    assert len({one["sop_instance_uid"] for one in slices}) == 1


@needs_data
def test_each_frame_of_an_enhanced_instance_has_its_own_rescaling(site):
    """Of the field map the frames with echo time 0 are the map itself, in Hz, beside the images it was made of."""
    site.configure()
    file = DATA / "dicom_enhanced" / "Philips" / "IM_0027_fMAP.dcm"
    assert site.http.post("/v1/uploads", files={"file": file.read_bytes()}).json()["stored"] == 1
    site.settle()
    ds = pydicom.dcmread(file)
    groups = ds.PerFrameFunctionalGroupsSequence
    for _, phase, volume in _volumes(site):
        mine = [n for n, group in enumerate(groups) if (group.MREchoSequence[0].EffectiveEchoTime > 0) == bool(phase)]
        mine.sort(key=lambda n: groups[n].PlanePositionSequence[0].ImagePositionPatient[2])
        assert len(mine) == volume.array.shape[2] == 32
        for k, n in enumerate(mine):
            values = groups[n].PixelValueTransformationSequence[0]
            expected = ds.pixel_array[n] * float(values.RescaleSlope) + float(values.RescaleIntercept)
            assert np.allclose(volume.array[:, :, k].T, expected, atol=1e-3)


@needs_data
def test_a_pacs_that_renamed_private_attributes_changes_no_case(site):
    site.configure()
    for folder in ("before_pacs", "after_pacs"):
        answer = site.http.post("/v1/uploads", json={"folder": str(DATA / "dicom_enhanced" / "agfa" / folder)})
        assert answer.json()["stored"] == 4
    site.settle()
    volumes = _volumes(site)
    assert len(volumes) == 8
    for (_, phase, one), (_, same_phase, other) in zip(volumes[:4], volumes[4:], strict=True):
        assert phase == same_phase and one.array.shape == (64, 64, 25)
        assert np.array_equal(one.array, other.array) and np.array_equal(one.affine_lps, other.affine_lps)


@needs_data
def test_computed_tomography_in_hounsfield_units(site):
    site.configure(modality="CT")
    folder = DATA / "dicom_seg" / "ct-3slice"
    site.http.post("/v1/uploads", json={"folder": str(folder)})
    site.settle()
    (said,) = site.said("study-ingested")
    (case,) = said.cases
    assert (case.quantity, list(case.shape)) == ("HU", [512, 512, 3])
    volume = read_nifti(site.http.get(f"/v1/cases/{case.case_id}/volumes/0").content)
    lowest = pydicom.dcmread(folder / "03.dcm")  # z = -128.69, the first along the normal (0, 0, 1)
    assert np.array_equal(volume.array[:, :, 0], lowest.pixel_array.T.astype(np.int32) - 1024)
    assert volume.affine_lps[:3, 3] == pytest.approx([-235.199997, -226.800003, -128.690002], abs=1e-4)
