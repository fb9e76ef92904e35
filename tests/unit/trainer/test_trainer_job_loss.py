"""The loss, against numbers worked by hand."""

import math

import pytest
import torch

from training_job.loss import dice_binary_cross_entropy, dice_cross_entropy

KNOWN = torch.tensor([[True, True, True]])


def logits_of(*probabilities: tuple[float, float, float]) -> torch.Tensor:
    """Voxels in a row: float32, shape ``(1, 3, voxels, 1, 1)``, whose softmax is `probabilities`."""
    return torch.tensor(probabilities).log().T[None, :, :, None, None]


def label_of(*values: int) -> torch.Tensor:
    return torch.tensor(values)[None, :, None, None]


def test_two_voxels_by_hand():
    # voxel 1: class 1 with p = (0.2, 0.7, 0.1); voxel 2: background with p = (0.5, 0.25, 0.25)
    loss = dice_cross_entropy(logits_of((0.2, 0.7, 0.1), (0.5, 0.25, 0.25)), label_of(1, 0), KNOWN)
    cross_entropy = -(math.log(0.7) + math.log(0.5)) / 2
    dice_1 = 2 * 0.7 / (0.7 + 0.25 + 1)
    dice_2 = 0.0 / (0.1 + 0.25)
    assert loss.item() == pytest.approx(cross_entropy + 1 - (dice_1 + dice_2) / 2, abs=1e-4)


def test_a_class_nobody_looked_for_is_merged_into_the_background():
    known = torch.tensor([[True, True, False]])
    loss = dice_cross_entropy(logits_of((0.2, 0.7, 0.1), (0.5, 0.25, 0.25)), label_of(1, 0), known)
    # background of voxel 2 is 0.5 + 0.25: whether it is class 2 or nothing, nobody can say
    cross_entropy = -(math.log(0.7) + math.log(0.75)) / 2
    dice_1 = 2 * 0.7 / (0.7 + 0.25 + 1)
    assert loss.item() == pytest.approx(cross_entropy + 1 - dice_1, abs=1e-4)


def test_a_class_nobody_looked_for_gets_no_blame():
    known = torch.tensor([[True, True, False]])
    logits = logits_of((0.1, 0.1, 0.8)).requires_grad_()
    dice_cross_entropy(logits, label_of(0), known).backward()
    gradient = logits.grad[0, :, 0, 0, 0]
    assert torch.isfinite(gradient).all()
    assert (
        gradient[0] <= 0 and gradient[2] <= 0
    )  # background and class 2 are one; both may only grow at the cost of class 1
    assert gradient[1] > 0


def test_with_no_foreground_known_only_cross_entropy_is_left():
    known = torch.tensor([[True, False, False]])
    loss = dice_cross_entropy(logits_of((0.2, 0.7, 0.1)), label_of(0), known)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_one_case_of_the_batch_may_know_more_than_the_other():
    logits = torch.cat([logits_of((0.2, 0.7, 0.1)), logits_of((0.2, 0.7, 0.1))])
    label = torch.cat([label_of(1), label_of(1)])
    known = torch.tensor([[True, True, True], [True, True, False]])
    loss = dice_cross_entropy(logits, label, known)
    # class 1 counts in both, class 2 (absent, predicted with 0.1: Dice 0) in the first alone: mean over three
    dice_1 = 2 * 0.7 / (0.7 + 1)
    assert loss.item() == pytest.approx(-math.log(0.7) + (2 * (1 - dice_1) + 1) / 3, abs=1e-3)


def overlapping(*probabilities: tuple[float, float]) -> torch.Tensor:
    """Voxels in a row: float32, shape ``(1, 2, voxels, 1, 1)``, whose sigmoid is `probabilities`."""
    return torch.tensor(probabilities).logit().T[None, :, :, None, None]


def segments_of(*voxels: tuple[int, int]) -> torch.Tensor:
    return torch.tensor(voxels).T[None, :, :, None, None]


BOTH = torch.tensor([[True, True]])


def test_overlapping_segments_by_hand():
    # voxel 1 is in both, voxel 2 in the first alone
    logits, segments = overlapping((0.9, 0.6), (0.8, 0.3)), segments_of((1, 1), (1, 0))
    first = -(math.log(0.9) + math.log(0.8)) / 2 + 1 - 2 * (0.9 + 0.8) / (0.9 + 0.8 + 2)
    second = -(math.log(0.6) + math.log(0.7)) / 2 + 1 - 2 * 0.6 / (0.6 + 0.3 + 1)
    loss = dice_binary_cross_entropy(logits, segments, BOTH)
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-4)
    only_first = dice_binary_cross_entropy(logits, segments, torch.tensor([[True, False]]))
    assert only_first.item() == pytest.approx(first, abs=1e-4)


def test_overlapping_segments_can_all_be_right_at_once():
    certain, segments = overlapping((1 - 1e-6, 1 - 1e-6), (1 - 1e-6, 1e-6)), segments_of((1, 1), (1, 0))
    assert dice_binary_cross_entropy(certain, segments, BOTH).item() == pytest.approx(0.0, abs=1e-4)


def test_an_overlapping_segment_nobody_looked_for_is_not_taught():
    logits = overlapping((0.9, 0.6), (0.8, 0.3)).requires_grad_()
    segments = segments_of((1, 0), (1, 0))
    dice_binary_cross_entropy(logits, segments, torch.tensor([[True, False]])).backward()
    assert (logits.grad[:, 1] == 0).all() and (logits.grad[:, 0] != 0).all()
    nothing_known = dice_binary_cross_entropy(logits, segments, torch.tensor([[False, False]]))
    assert nothing_known.item() == 0.0


def test_an_overlapping_segment_counts_in_the_cases_that_know_it():
    logits, segments = (torch.cat([one, one]) for one in (overlapping((0.9, 0.6)), segments_of((1, 1))))
    known = torch.tensor([[True, True], [True, False]])
    first = -math.log(0.9) + 1 - 2 * 0.9 / 1.9
    second = -math.log(0.6) + 1 - 2 * 0.6 / 1.6
    loss = dice_binary_cross_entropy(logits, segments, known)
    assert loss.item() == pytest.approx((2 * first + second) / 3, abs=1e-4)
