"""A SEG as we put it together against the one highdicom makes of the same mask, attribute by attribute and bit by bit."""

import datetime
from dataclasses import dataclass

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from radloop.dicom import segmentations
from radloop.dicom.files import written
from radloop.dicom.segmentations import Made, segmentation

MADE = Made("1.2.3", "1.2.3.4", 900, "Label", "LABEL", "test", at=datetime.datetime(2026, 1, 2, 3, 4, 5))


@dataclass(frozen=True)
class Term:
    value: str
    scheme: str = "99TEST"
    meaning: str = "Something"


@dataclass(frozen=True)
class Part:
    value: int
    name: str
    type: Term
    category: Term = Term("c")
    color: str = "#a0b0c0"


def parts(*values: int) -> list[Part]:
    return [Part(value, f"part-{value}", Term(f"t{value}")) for value in values]


def slices(count: int, rows: int, columns: int, *, step_mm: float = 2.5) -> list[Dataset]:
    found = []
    for number in range(count):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.9.{number + 1}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2", "1.2.9", "1.2.8"
        ds.Modality, ds.Rows, ds.Columns, ds.PixelSpacing = "CT", rows, columns, [0.7, 0.9]
        ds.ImageOrientationPatient = [0.6, 0.8, 0, 0, 0, -1]
        ds.ImagePositionPatient = [10 + 0.8 * step_mm * number, 20 - 0.6 * step_mm * number, 30]
        found.append(ds)
    return found


def random_mask(shape: tuple[int, int, int], values: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8, order="F")
    for value in values:
        start = [int(rng.integers(0, length - 2)) for length in shape]
        mask[tuple(slice(a, a + int(rng.integers(1, 6))) for a in start)] = value
    return mask


def by_highdicom(mask, sources, described) -> hd.seg.Segmentation:
    """As `segmentation`, every plane of every segment looked at by highdicom."""
    planes = segmentations._planes(mask, [part.value for part in described])
    descriptions = [segmentations._description(n, part, MADE) for n, part in enumerate(described, start=1)]
    seg = segmentations._segmentation(
        segmentations._completed(sources), range(1, len(sources) + 1), planes, descriptions, MADE
    )
    segmentations._settle(seg, MADE)
    return seg


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rows", "columns"), [(16, 24), (7, 5)], ids=["whole bytes", "bits over byte borders"])
def test_a_label_map(seed, rows, columns):
    mask, described = random_mask((columns, rows, 9), (1, 2, 5, 200), seed), parts(1, 2, 5, 7, 200)
    sources = slices(9, rows, columns)
    ours, theirs = segmentation(mask, sources, range(1, 10), described, MADE), by_highdicom(mask, sources, described)
    assert ours.to_json_dict() == theirs.to_json_dict()
    assert written(ours) == written(theirs) == written(segmentation(mask, sources, range(1, 10), described, MADE))


@pytest.mark.parametrize(("overlap", "told"), [(True, "YES"), (False, "NO")])
def test_segment_bits(overlap, told):
    mask = np.zeros((8, 6, 4), np.uint32, order="F")
    mask[1:4, 1:4, 1:3] |= 1
    mask[3 if overlap else 4 :, 2:5, 2:] |= 1 << 31
    mask[0, 0, 0] |= 2  # of a segment that is not told of
    described, sources = parts(1, 32), slices(4, 6, 8)
    ours, theirs = segmentation(mask, sources, range(1, 5), described, MADE), by_highdicom(mask, sources, described)
    assert ours.SegmentsOverlap == told
    assert ours.to_json_dict() == theirs.to_json_dict()


def test_one_segment():
    mask, described, sources = random_mask((8, 6, 5), (3,), 3), parts(3), slices(5, 6, 8)
    ours, theirs = segmentation(mask, sources, range(1, 6), described, MADE), by_highdicom(mask, sources, described)
    assert ours.to_json_dict() == theirs.to_json_dict()


def test_slices_in_the_other_order():
    mask, described, sources = random_mask((8, 6, 5), (1, 2), 3), parts(1, 2), slices(5, 6, 8, step_mm=-2.5)
    ours, theirs = segmentation(mask, sources, range(1, 6), described, MADE), by_highdicom(mask, sources, described)
    assert ours.to_json_dict() == theirs.to_json_dict()


def test_an_empty_mask_has_empty_frames():
    seg = segmentation(np.zeros((8, 6, 3), np.uint8), slices(3, 6, 8), range(1, 4), parts(1, 2), MADE)
    assert seg.NumberOfFrames == 6 and not seg.pixel_array.any()


def test_a_label_map_segmentation_is_read_by_highdicom():
    mask, sources = random_mask((8, 6, 5), (1, 2, 9), 1), slices(5, 6, 8)
    seg = segmentation(mask, sources, range(1, 6), parts(1, 2, 9), MADE, label_map=True)
    again = hd.seg.Segmentation.from_dataset(pydicom.dcmread(pydicom.filebase.DicomBytesIO(written(seg))))
    uids = [ds.SOPInstanceUID for ds in sources]
    found = again.get_pixels_by_source_instance(
        uids, combine_segments=True, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    numbers = np.zeros(256, np.uint8)
    numbers[[1, 2, 9]] = 1, 2, 3
    assert np.array_equal(found.transpose(2, 1, 0), numbers[mask])
    assert [item.SegmentNumber for item in again.SegmentSequence] == [0, 1, 2, 3]
