"""A label as DICOM: what it refers to is found, and nothing but geometry and numbers leaves."""

import copy
import io
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from ingest.adapters.label_objects import read_label_object
from radloop.errors import Invalid
from tests.label_files import ct_slices, saved, structure_set

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
CANARY = "CANARY"


@pytest.fixture
def source() -> list[pydicom.Dataset]:
    return ct_slices((8, 6, 3), np.eye(4), "1.2.826.5", [f"1.2.826.5.1.{k}" for k in range(3)])


@pytest.fixture
def structures(source) -> pydicom.Dataset:
    triangle = np.array([[1.25, 1, 1], [5, 1, 1], [1, 4.5, 1]])
    return structure_set(source, {3: (f"{CANARY} liver", [triangle, triangle + 1]), 8: ("empty", [])})


@pytest.fixture
def seg() -> pydicom.Dataset:
    if not DATA.is_dir():
        pytest.skip("no ../shared/data: the SEG of dcmqi's tests are not here")
    return pydicom.dcmread(DATA / "dicom_seg" / "partial_overlaps.dcm")


def spoken(ds: pydicom.Dataset) -> pydicom.Dataset:
    """Write a canary wherever text, a date or an identifier can stand, at every level, private and unknown attributes too."""
    text = {"LO", "SH", "LT", "ST", "UT", "UC", "PN", "CS", "AE"}
    kept = {
        "SegmentationType",
        "ContourGeometricType",
        "PhotometricInterpretation",
        "CodingSchemeDesignator",
        "SegmentLabel",
    }
    for element in ds.iterall():
        if element.VR in text and element.keyword not in (*kept, "SpecificCharacterSet", "CodeValue"):
            element.value = CANARY
    for item in (ds, *ds.get("SegmentSequence", []), *ds.get("ROIContourSequence", [])):
        item.PatientComments = CANARY
        block = item.private_block(0x0099, CANARY, create=True)
        block.add_new(1, "LO", CANARY)
    ds.PatientName, ds.StudyDate = f"{CANARY}^NAME", "19991231"
    return ds


def uids_in(ds: pydicom.Dataset) -> list[str]:
    """Return every UID that is not the standard's."""
    found = {str(element.value) for element in ds.iterall() if element.VR == "UI"}
    assert len(found) > 3
    return [uid for uid in found if not uid.startswith("1.2.840.10008")]


def test_nothing_but_numbers_leaves_a_seg(seg) -> None:
    frames = seg.pixel_array
    found = read_label_object(saved(spoken(seg)))
    mask = pydicom.dcmread(io.BytesIO(found.mask))
    assert CANARY.encode() not in found.mask and b"19991231" not in found.mask
    assert [uid for uid in uids_in(seg) if uid.encode() in found.mask] == []
    assert {e.VR for e in mask.iterall()} <= {"UI", "US", "IS", "CS", "DS", "SQ", "OB", "OW"}
    assert (mask.pixel_array == frames).all()
    assert [s.SegmentNumber for s in mask.SegmentSequence] == [1, 2, 3, 4, 5]
    for ours, theirs in zip(mask.PerFrameFunctionalGroupsSequence, seg.PerFrameFunctionalGroupsSequence, strict=True):
        assert ours.PlanePositionSequence == theirs.PlanePositionSequence
        assert ours.SegmentIdentificationSequence == theirs.SegmentIdentificationSequence


def test_what_a_seg_says_of_its_segments_and_sources(seg) -> None:
    found = read_label_object(saved(seg))
    assert (found.kind, found.segmentation_type) == ("seg", "BINARY")
    assert [(s.number, s.name, s.type["value"], s.type["scheme"]) for s in found.segments][:2] == [
        (1, "GREEN", "85756007", "SCT"),
        (2, "ORANGE", "51114001", "SCT"),
    ]
    (series,) = seg.ReferencedSeriesSequence
    assert found.references.series == (series.SeriesInstanceUID,)
    named = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert named <= set(found.references.frames)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_seg_in_any_uncompressed_transfer_syntax(seg, syntax) -> None:
    frames = seg.pixel_array
    seg.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, copy.deepcopy(seg), implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    found = read_label_object(buffer.getvalue())
    assert (pydicom.dcmread(io.BytesIO(found.mask)).pixel_array == frames).all()


def test_a_compressed_label_map(seg) -> None:
    label_map = pydicom.dcmread(DATA / "dicom_seg" / "sparse-labelmap-ppv5.dcm")
    frames = label_map.pixel_array
    label_map.compress(RLELossless, generate_instance_uid=False)
    found = read_label_object(saved(label_map))
    mask = pydicom.dcmread(io.BytesIO(found.mask))
    assert (mask.pixel_array == frames).all() and mask.PixelPaddingValue == 5


def test_big_endian_is_refused_with_what_to_do(seg) -> None:
    seg.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, seg, implicit_vr=False, little_endian=False)
    with pytest.raises(Invalid, match="little endian"):
        read_label_object(buffer.getvalue())


def test_nothing_but_numbers_leaves_a_structure_set(structures) -> None:
    contours = [c.ContourData for c in structures.ROIContourSequence[0].ContourSequence]
    found = read_label_object(saved(spoken(structures)))
    assert CANARY.encode() not in found.mask and b"19991231" not in found.mask
    assert [uid for uid in uids_in(structures) if uid.encode() in found.mask] == []
    mask = pydicom.dcmread(io.BytesIO(found.mask))
    assert [c.ContourData for c in mask.ROIContourSequence[0].ContourSequence] == contours
    assert [r.ROINumber for r in mask.StructureSetROISequence] == [3, 8]


def test_what_a_structure_set_says_of_its_regions_and_sources(structures, source) -> None:
    found = read_label_object(saved(structures))
    assert [(s.number, s.name) for s in found.segments] == [(3, "CANARY liver"), (8, "empty")]
    assert found.references.series == (source[0].SeriesInstanceUID,)
    assert {ds.SOPInstanceUID for ds in source} <= set(found.references.frames)


def test_text_where_a_contour_should_be_is_refused(structures) -> None:
    contour = structures.ROIContourSequence[0].ContourSequence[0]
    contour.add_new(0x30060050, "LO", "Smith^John")
    data = saved(structures).replace(b"\x06\x30\x50\x00LO", b"\x06\x30\x50\x00DS")
    with pytest.raises(Invalid, match="label-unreadable"):
        read_label_object(data)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_refused(structures, share) -> None:
    data = saved(structures)
    with pytest.raises(Invalid, match="label-unreadable"):
        read_label_object(data[: int(len(data) * share)])


def test_an_image_is_no_label(source) -> None:
    with pytest.raises(Invalid, match="label-kind"):
        read_label_object(saved(source[0]))


def test_frames_named_once_whole_are_meant_whole(source) -> None:
    ds = structure_set(source[:1], {})
    (series,) = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    (first,) = series.ContourImageSequence
    second, third = copy.deepcopy(first), copy.deepcopy(first)
    first.ReferencedFrameNumber, second.ReferencedFrameNumber = [1, 4], 7
    series.ContourImageSequence = [first, second]
    uid = str(first.ReferencedSOPInstanceUID)
    assert read_label_object(saved(ds)).references.frames[uid] == {1, 4, 7}
    series.ContourImageSequence = [first, third, second]
    assert read_label_object(saved(ds)).references.frames[uid] == set()


def test_a_sequence_that_is_none_is_refused_rather_than_left_out(structures) -> None:
    data = saved(structures).replace(b"\x06\x30\x39\x00SQ", b"\x06\x30\x39\x00OB")
    with pytest.raises(Invalid, match="a sequence that is none"):
        read_label_object(data)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_are_refused_or_read_and_nothing_else(structures, seg, seed) -> None:
    random = np.random.default_rng(seed)
    small = pydicom.dcmread(DATA / "dicom_seg" / "sparse-labelmap-ppv5.dcm")
    for data in (saved(structures), saved(small)):
        refused = 0
        for _ in range(150):
            damaged = bytearray(data)
            for place in random.integers(132, len(data), random.integers(1, 6)):
                damaged[place] = random.integers(256)
            try:
                read_label_object(bytes(damaged))
            except Invalid:
                refused += 1
        assert 0 < refused < 150
