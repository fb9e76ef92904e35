"""DICOM SEG by ``radloop labels import``: voxel for voxel, or refused by the reason."""

import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from radloop.imaging import segment_voxels
from tests.integration.labels.platform import Site, assert_nothing_named
from tests.label_files import ct_slices, placed, read_nrrd, saved

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
BRAIN, LIVER, TISSUE = "brain", "liver", "tissue"
OVERLAPS = ("GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE")


def test_a_seg_goes_to_the_case_it_was_made_on_voxel_for_voxel(site, ct, dicom_seg, tmp_path) -> None:
    """Its liver is coded in SNOMED-RT, ours in SNOMED CT and by another name; its value is 1, ours 3."""
    folder = tmp_path / "export"
    shutil.copytree(dicom_seg / "ct-3slice", folder)
    shutil.copy(dicom_seg / "liver.dcm", folder / "CANARY_FILE.dcm")
    code, (line,) = site.run(folder, LIVER, "--take")
    assert (code, line["state"], line["format"]) == (0, "taken", "seg")
    assert line["segments"] == [{"theirs": 1, "name": "Liver", "ours": 3, "how": "code"}]
    assert line["not_annotated"] == ["organ", "spine"]
    mask, affine = read_nrrd(dicom_seg / "liver_seg.nrrd")
    expected = placed((mask == 1).astype(np.uint8) * 3, affine, site.volume(line["case_id"]))
    assert (site.label(line["label_version_id"]) == expected).all() and expected.any()
    (version,) = site.labels_of(line["case_id"])
    states = {s["value"]: s["state"] for s in version["segments"]}
    assert states == {3: "annotated", 5: "not-annotated", 9: "not-annotated"}
    printed = site.table(folder, LIVER)
    assert "3 other files were passed over" in printed and "1 are there already" in printed


def test_overlapping_segments(site, ct, dicom_seg) -> None:
    file = dicom_seg / "partial_overlaps.dcm"
    (line,) = site.run(file, LIVER)[1]
    assert line["state"] == "refused" and "1 GREEN (SCT:85756007): no segment" in line["why"]
    rules = [word for name in OVERLAPS for word in ("--map", f"{name}=organ")]
    rules[1] = "GREEN=spine"
    (line,) = site.run(file, LIVER, *rules)[1]
    assert line["why"].startswith("label-overlap")
    # Where they may overlap, each is read whole.
    (line,) = site.run(file, TISSUE, "--take")[1]
    found = site.label(line["label_version_id"])
    ds = pydicom.dcmread(file)
    painted = dict.fromkeys(range(11, 16), 0)
    for frame, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        painted[int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber) + 10] += int(frame.sum())
    assert {value: int(segment_voxels(found, value).sum()) for value in painted} == painted
    assert sum(painted.values()) > np.count_nonzero(found)


def relabelled(ds: pydicom.Dataset, palette: bool) -> bytes:
    """A label map of 16 bits; numbers above 255; a palette to look at it by; frames from last to first."""
    frames = ds.pixel_array.astype("<u2") * 700
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelData = frames[::-1].tobytes()
    ds.PerFrameFunctionalGroupsSequence = list(ds.PerFrameFunctionalGroupsSequence)[::-1]
    ds.SegmentSequence[1].SegmentNumber = 700
    ds.pop("PixelPaddingValue", None)
    if palette:
        ds.PhotometricInterpretation = "PALETTE COLOR"
        for offset in range(3):
            ds.add_new(0x00281101 + offset, "US", [701, 0, 16])
            ds.add_new(0x00281201 + offset, "OW", bytes(1402))
    return saved(ds)


@pytest.mark.parametrize("name", ["sparse-labelmap-noppv", "sparse-labelmap-ppv5", "16 bits", "palette"])
def test_label_maps(site, dicom_seg, tmp_path, name) -> None:
    stem = name if name.startswith("sparse") else "sparse-labelmap-noppv"
    ds = pydicom.dcmread(dicom_seg / f"{stem}.dcm")
    expected, affine = read_nrrd(dicom_seg / f"{stem.replace('-', '_')}_seg.nrrd")
    _send_what_it_refers_to(site, ds, expected.shape, affine)
    file = tmp_path / "a.dcm"
    file.write_bytes(saved(ds) if name.startswith("sparse") else relabelled(ds, name == "palette"))
    (line,) = site.run(file, LIVER, "--take")[1]
    assert line["state"] in ("taken", "there"), line
    wanted = placed((expected == 1).astype(np.uint8) * 3, affine, site.volume(line["case_id"]))
    assert wanted.any() and (site.label(line["label_version_id"]) == wanted).all()


def _send_what_it_refers_to(site: Site, ds: pydicom.Dataset, shape, affine: np.ndarray) -> None:
    """Make the series a SEG was made on: the images it names, at their places."""
    (series,) = ds.ReferencedSeriesSequence
    uids = [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence]
    uids += [f"1.2.826.55.{k}" for k in range(shape[2])]
    site.send(ct_slices(shape, affine, str(series.SeriesInstanceUID), uids))
    site.cases(LIVER, str(series.SeriesInstanceUID))


def fractional(ds: pydicom.Dataset) -> bytes:
    """The same mask as probabilities of 200 in 250, with a rim of 100."""
    frames = ds.pixel_array.astype(np.uint8) * 200
    frames[:, 0, :20] = 100
    ds.SegmentationType, ds.SegmentationFractionalType, ds.MaximumFractionalValue = "FRACTIONAL", "PROBABILITY", 250
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelData = frames.tobytes()
    return saved(ds)


def test_a_fractional_seg_needs_a_threshold_that_is_said(site, ct, dicom_seg, tmp_path) -> None:
    (tmp_path / "a.dcm").write_bytes(fractional(pydicom.dcmread(dicom_seg / "liver.dcm")))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["why"].startswith("label-values") and "no threshold" in line["why"]
    voxels = {}
    for threshold in ("0.4", "0.41"):
        (line,) = site.run(tmp_path / "a.dcm", LIVER, "--threshold", threshold)[1]
        assert line["differences"][0].startswith("fractional: a voxel counts from")
        voxels[threshold] = line["voxels"]["leber"]
    mask, _ = read_nrrd(dicom_seg / "liver_seg.nrrd")
    assert voxels == {"0.4": int((mask == 1).sum()) + 60, "0.41": int((mask == 1).sum())}


def elsewhere(ds: pydicom.Dataset) -> None:
    for item in ds.ReferencedSeriesSequence:
        item.SeriesInstanceUID = "1.2.3.4"


def off_grid(ds: pydicom.Dataset) -> None:
    for group in ds.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [float(place.ImagePositionPatient[0]) + 0.3, *place.ImagePositionPatient[1:]]


def coarser(ds: pydicom.Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1.6, 1.6]


def unreferenced(ds: pydicom.Dataset) -> None:
    del ds.ReferencedSeriesSequence
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.pop("DerivationImageSequence", None)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (elsewhere, "nothing it refers to was received here"),
        (unreferenced, "it refers to no series and no image"),
        (off_grid, "label-geometry: expected frames whose voxels are the case's voxels"),
        (coarser, "label-geometry: expected frames whose voxels are the case's voxels"),
    ],
)
def test_segs_that_are_refused_say_why(site, ct, dicom_seg, tmp_path, spoil, why) -> None:
    ds = pydicom.dcmread(dicom_seg / "liver.dcm")
    spoil(ds)
    (tmp_path / "a.dcm").write_bytes(saved(ds))
    code, (line,) = site.run(tmp_path / "a.dcm", LIVER, "--take")
    assert (code, line["state"]) == (1, "refused") and line["why"].startswith(why), line["why"]


def test_a_seg_that_names_images_alone_is_found_by_them(site, ct, dicom_seg, tmp_path) -> None:
    ds = pydicom.dcmread(dicom_seg / "liver.dcm")
    del ds.ReferencedSeriesSequence
    (tmp_path / "a.dcm").write_bytes(saved(ds))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["state"] in ("take", "there"), line


def test_what_is_no_whole_label_is_refused_by_ingest(site, ct, dicom_seg) -> None:
    whole = (dicom_seg / "liver.dcm").read_bytes()
    for data, code in (
        (whole[:-900], "label-unreadable"),
        (b"no DICOM", "label-unreadable"),
        (saved(ct[0]), "label-kind"),
    ):
        answer = site.client._send(
            "POST", "/ingest/v1/labels/match", files={"file": ("a", data)}, params={"project_id": LIVER}
        )
        assert (answer.status_code, answer.json()["error"]) == (422, code)


def test_no_name_and_no_original_id_is_anywhere(site, ct) -> None:
    keywords = ("SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID", "AccessionNumber")
    assert_nothing_named(site, {"CANARY", *(str(ct[0][keyword].value) for keyword in keywords)})
