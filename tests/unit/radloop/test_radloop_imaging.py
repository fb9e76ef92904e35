"""Masks: label maps and segment bits are asked for a segment in the same way."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from radloop.errors import Invalid
from radloop.imaging import (
    Volume,
    bits_of,
    dice,
    ras_from_lps,
    read_nifti,
    says_segment_bits,
    segment_boxes,
    segment_values,
    segment_voxels,
    surface_distance_95,
    write_nifti,
)


@pytest.fixture
def label_map():
    mask = np.zeros((4, 3, 2), np.uint8)
    mask[1:3], mask[3, 0, 0] = 2, 32
    return mask


def test_a_label_map_and_its_bits_hold_the_same_segments(label_map):
    bits = bits_of(label_map)
    assert bits.dtype == np.uint32 and segment_values(label_map) == segment_values(bits) == [2, 32]
    for value in (1, 2, 32):
        assert np.array_equal(segment_voxels(label_map, value), segment_voxels(bits, value))


def test_segments_that_overlap_are_measured_each_for_itself(label_map):
    bits = bits_of(label_map)
    bits[2:] |= np.uint32(1)
    other = bits.copy()
    other[3] &= ~np.uint32(1)
    assert segment_values(bits) == [1, 2, 32]
    assert (dice(bits, other, 1), dice(bits, other, 2)) == (2 * 6 / 18, 1.0)
    assert surface_distance_95(bits, other, 1, (1.0, 1.0, 1.0)) == 1.0
    assert surface_distance_95(bits, other, 2, (1.0, 1.0, 1.0)) == 0.0


def test_the_boxes_of_segments_are_the_same_in_either_kind(label_map):
    for mask in (label_map, bits_of(label_map)):
        assert segment_boxes(mask) == {2: np.s_[1:3, 0:3, 0:2], 32: np.s_[3:4, 0:1, 0:1]}
        assert segment_boxes(np.zeros_like(mask)) == {}


def test_values_without_a_bit_are_refused(label_map):
    label_map[0, 0, 0] = 33
    with pytest.raises(Invalid, match="segment-value-no-bit"):
        bits_of(label_map)
    with pytest.raises(Invalid, match="segment-value-no-bit"):
        segment_voxels(np.zeros((1, 1, 1), np.uint32), 33)


def test_a_file_of_bits_says_so(label_map):
    bits, affine = bits_of(label_map), np.diag([1.0, 1.0, 2.0, 1.0])
    data = write_nifti(Volume(bits, affine))
    again = read_nifti(data)
    assert again.array.dtype == np.uint32 and np.array_equal(again.array, bits)
    assert says_segment_bits(data) and says_segment_bits(gzip.compress(data))
    assert not says_segment_bits(write_nifti(Volume(label_map, affine)))
    assert write_nifti(again) == data


@pytest.mark.parametrize("kind", ["<i2", ">i2", "<u2", "<i4", "<f4", "u1"])
@pytest.mark.parametrize("order", "CF")
def test_a_volume_is_written_as_nibabel_writes_it(kind, order):
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(kind).copy(order=order)
    volume = Volume(values, np.array([[0, -2, 0, 5], [1.5, 0, 0, -7], [0, 0, 3, 1], [0, 0, 0, 1]], dtype=float))
    image = nib.Nifti1Image(values.astype(values.dtype.newbyteorder("=")), ras_from_lps(volume.affine_lps))
    image.header.set_xyzt_units("mm")
    assert write_nifti(volume) == image.to_bytes()
