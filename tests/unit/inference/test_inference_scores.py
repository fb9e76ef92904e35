"""The scores against numbers worked by hand."""

import math

import numpy as np
import pytest
import torch

from bundle_runner.scores import (
    boundary_band,
    case_scores,
    foreground,
    label_map,
    pairwise_dice_loss,
    predictive_entropy,
    segment_bits,
    top_patch_mean,
)
from radloop.errors import Invalid
from radloop.imaging import SEGMENT_BITS, bits_of


@pytest.mark.parametrize(
    ("probabilities", "nats"),
    [
        ((1.0, 0.0), 0.0),
        ((0.5, 0.5), math.log(2)),
        ((0.25, 0.75), 0.5623351446188083),  # -(0.25 ln 0.25 + 0.75 ln 0.75)
        ((1 / 3, 1 / 3, 1 / 3), math.log(3)),
    ],
)
def test_entropy_of_one_voxel(probabilities, nats):
    tensor = torch.tensor(probabilities).reshape(-1, 1, 1, 1)
    assert predictive_entropy(tensor).item() == pytest.approx(nats, abs=1e-6)


def test_entropy_of_regions_is_the_largest_binary_one():
    tensor = torch.tensor([0.5, 0.75, 1.0]).reshape(3, 1, 1, 1)
    assert predictive_entropy(tensor, regions=True).item() == pytest.approx(math.log(2), abs=1e-6)


def test_label_of_classes_is_the_most_probable():
    tensor = torch.tensor([[0.2, 0.5], [0.7, 0.3], [0.1, 0.2]]).reshape(3, 2, 1, 1)
    assert label_map(tensor).flatten().tolist() == [1, 0]


def test_inner_region_is_not_hidden_by_the_outer_one():
    outer = torch.tensor([0.9, 0.9, 0.9, 0.1])
    inner = torch.tensor([0.1, 0.8, 0.1, 0.1])
    for channels, expected in (((outer, inner), [1, 2, 1, 0]), ((inner, outer), [2, 1, 2, 0])):
        assert label_map(torch.stack(channels).reshape(2, 4, 1, 1), regions=True).flatten().tolist() == expected


def test_regions_that_overlap_set_a_bit_each():
    outer, inner = torch.tensor([0.9, 0.9, 0.9, 0.1]), torch.tensor([0.1, 0.8, 0.5, 0.1])
    for channels, expected in (((outer, inner), [1, 3, 1, 0]), ((inner, outer), [2, 3, 2, 0])):
        bits = segment_bits(torch.stack(channels).reshape(2, 4, 1, 1), regions=True)
        assert bits.numpy().dtype == SEGMENT_BITS and bits.flatten().tolist() == expected


def test_the_largest_value_has_a_bit_and_the_next_has_none():
    only_last = torch.zeros(32, 1, 1, 1)
    only_last[31] = 1.0
    assert segment_bits(only_last, regions=True).item() == 2**31
    with pytest.raises(Invalid, match="segment-value-no-bit"):
        segment_bits(torch.zeros(33, 1, 1, 1), regions=True)


def test_classes_set_one_bit_at_most():
    tensor = torch.tensor([[0.2, 0.5, 0.1], [0.1, 0.3, 0.2], [0.7, 0.2, 0.7]]).reshape(3, 3, 1, 1)
    assert segment_bits(tensor).flatten().tolist() == [2, 0, 2]


def test_foreground_is_dilated_by_two_steps_over_faces():
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[4, 4, 4] = 1
    assert foreground(mask).sum() == 25  # voxels with |i|+|j|+|k| <= 2: 1 + 6 + 18
    corner = np.zeros((9, 9, 9), np.uint8)
    corner[0, 0, 0] = 2
    assert foreground(corner).sum() == 10  # the same in one octant: 1 + 3 + 6
    assert not foreground(np.zeros((3, 3, 3), np.uint8)).any()


def test_band_is_two_voxels_on_either_side_of_a_boundary():
    mask = np.zeros((10, 4, 4), np.uint8)
    mask[5:] = 1
    assert np.flatnonzero(boundary_band(mask)[:, 0, 0]).tolist() == [3, 4, 5, 6]
    assert not boundary_band(np.ones((5, 5, 5), np.uint8)).any()


def test_the_surface_of_a_segment_inside_another_is_a_boundary_of_bits():
    outer_alone = np.ones((10, 4, 4), SEGMENT_BITS)
    lesion = outer_alone.copy()
    lesion[5:] |= 2
    assert not boundary_band(outer_alone).any()
    assert np.flatnonzero(boundary_band(lesion)[:, 0, 0]).tolist() == [3, 4, 5, 6]
    # The difference of unsigned numbers must not be lost where it is negative or large.
    highest = np.zeros((10, 4, 4), SEGMENT_BITS)
    highest[:5] = 2**31
    assert np.flatnonzero(boundary_band(highest)[:, 0, 0]).tolist() == [3, 4, 5, 6]


def test_top_patches_do_not_overlap():
    values = np.zeros((6, 1, 1))
    values[:, 0, 0] = [1, 1, 0, 0, 3, 3]
    # Boxes of 2: means 1, 0.5, 0, 1.5, 3. The best is 3, the next that does not overlap it 1, then 0.
    assert top_patch_mean(values, edge=2, count=1) == pytest.approx(3.0)
    assert top_patch_mean(values, edge=2, count=2) == pytest.approx(2.0)
    assert top_patch_mean(values, edge=2, count=3) == pytest.approx(4.0 / 3.0)
    # Only three boxes fit; a box larger than the image is the image.
    assert top_patch_mean(values, edge=2, count=9) == pytest.approx(4.0 / 3.0)
    assert top_patch_mean(values, edge=50, count=3) == pytest.approx(values.mean())


def test_pairwise_dice_by_hand():
    a = np.array([1, 1, 0, 0], np.uint8)
    b = np.array([0, 1, 1, 0], np.uint8)
    nothing = np.zeros(4, np.uint8)
    assert pairwise_dice_loss([a, a]) == 0.0
    assert pairwise_dice_loss([a, b]) == pytest.approx(0.5)  # Dice 2*1/(2+2)
    assert pairwise_dice_loss([a, nothing]) == 1.0
    assert pairwise_dice_loss([nothing, nothing]) == 0.0
    # Three pairs: a-a 1, a-b 0.5 twice.
    assert pairwise_dice_loss([a, a, b]) == pytest.approx(1.0 - 2.0 / 3.0)


def test_pairwise_dice_leaves_out_labels_nobody_found():
    two = np.array([0, 3, 3], np.uint8)
    assert pairwise_dice_loss([two, two]) == 0.0


def test_pairwise_dice_of_bits_is_taken_segment_by_segment():
    a = np.array([1, 3, 3, 0], SEGMENT_BITS)
    b = np.array([1, 1, 3, 0], SEGMENT_BITS)
    # Segment 1 agrees, segment 2 has Dice 2*1/(2+1); as values of a label map, 1 and 3 would differ.
    assert pairwise_dice_loss([a, b]) == pytest.approx(1.0 - (1.0 + 2.0 / 3.0) / 2.0)


def scored_case() -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((20, 12, 12), np.uint8)
    mask[8:12, 4:8, 4:8] = 1
    entropy = np.full(mask.shape, 0.1, np.float32)
    entropy[foreground(mask)] = 0.4
    return mask, entropy


def test_case_scores_name_over_what_they_are_means():
    mask, entropy = scored_case()
    scores = case_scores(mask, entropy, (mask > 0).astype(np.float32))
    assert scores["foreground-entropy"] == pytest.approx(0.4)
    assert 0.1 <= scores["non-boundary-entropy"] < 0.2
    assert scores["patch-entropy"] > scores["non-boundary-entropy"]
    assert set(scores) == {"foreground-entropy", "non-boundary-entropy", "patch-entropy"}


@pytest.mark.parametrize("value", [1, 2, 32])
def test_bits_that_do_not_overlap_score_as_their_label_map(value):
    mask, entropy = scored_case()
    mask *= value
    member = np.roll(mask, 1, axis=0)
    certainty = (mask > 0).astype(np.float32)
    as_label_map = case_scores(mask, entropy, certainty, entropy / 2, [mask, member])
    as_bits = case_scores(bits_of(mask), entropy, certainty, entropy / 2, [bits_of(mask), bits_of(member)])
    assert as_bits == as_label_map and as_bits["pairwise-dice"] > 0


def test_mutual_information_is_the_difference_on_the_foreground():
    mask, entropy = scored_case()
    scores = case_scores(mask, entropy, mask.astype(np.float32), entropy - np.float32(0.15), [mask, mask])
    assert scores["mutual-information"] == pytest.approx(0.15, abs=1e-6)
    assert scores["pairwise-dice"] == 0.0
    never_negative = case_scores(mask, entropy, mask.astype(np.float32), entropy + np.float32(1e-6), [mask, mask])
    assert never_negative["mutual-information"] == 0.0


def test_an_empty_mask_does_not_look_certain():
    mask = np.zeros((12, 12, 12), np.uint8)
    entropy = np.zeros(mask.shape, np.float32)
    foreground_probability = np.full(mask.shape, 0.01, np.float32)
    foreground_probability[6, 6, 6], entropy[6, 6, 6] = 0.49, 0.5
    scores = case_scores(mask, entropy, foreground_probability)
    assert scores["max-foreground-probability"] == pytest.approx(0.49)
    assert scores["foreground-entropy"] == pytest.approx(0.5 / 25)
