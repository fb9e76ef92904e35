"""Random views: what stays put when nothing is drawn, and what edge cases get more of."""

import numpy as np
import pytest
import torch

from training_job.augmentation import DEFAULT_RANGES, EDGE_CASE_FACTOR, Ranges, random_view

STILL = Ranges(rotation_rad=0, scale=0, shift_voxels=0, bending_voxels=0, gain=0, gamma=0, noise=0)


def case(shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32))
    return image, (image > 0).float()


def test_a_still_view_of_the_whole_case_is_the_case():
    image, label = case((8, 10, 6))
    view, mask = random_view(image, label, (8, 10, 6), np.random.default_rng(1), STILL)
    assert torch.allclose(view, image, atol=1e-4)
    assert (mask == label[0].long()).all()


def test_a_still_view_that_is_larger_repeats_the_border_and_labels_nothing_there():
    image, label = case((6, 6, 6))
    view, mask = random_view(image, torch.ones_like(label), (10, 6, 6), np.random.default_rng(1), STILL)
    assert torch.allclose(view[0, 2:8], image[0], atol=1e-4)
    assert torch.allclose(view[0, 0], image[0, 0], atol=1e-4) and torch.allclose(view[0, 9], image[0, 5], atol=1e-4)
    assert mask.sum() == 6 * 6 * 6


def test_each_layer_of_a_label_is_moved_as_the_image_is():
    image, label = case((12, 12, 12))
    layers = torch.cat([label, 1 - label, torch.ones_like(label)])
    _, mask = random_view(image, layers, (8, 8, 8), np.random.default_rng(3), DEFAULT_RANGES)
    _, alone = random_view(image, label, (8, 8, 8), np.random.default_rng(3), DEFAULT_RANGES)
    assert mask.shape == (3, 8, 8, 8) and mask.dtype == torch.int64
    assert torch.equal(mask[:1], alone) and torch.equal(mask[0] + mask[1], mask[2])


def test_crops_lie_inside_the_case():
    image, label = case((12, 12, 12))
    for seed in range(10):
        _, mask = random_view(image, torch.ones_like(label), (8, 8, 8), np.random.default_rng(seed), STILL)
        assert mask.all()


def test_the_generator_alone_decides():
    image, label = case((12, 12, 12))
    first, again, other = (
        random_view(image, label, (8, 8, 8), np.random.default_rng(seed), DEFAULT_RANGES)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_edge_cases_are_moved_further():
    wide = DEFAULT_RANGES.widened(EDGE_CASE_FACTOR)
    assert wide.rotation_rad == pytest.approx(1.5 * DEFAULT_RANGES.rotation_rad)
    assert wide.noise == pytest.approx(1.5 * DEFAULT_RANGES.noise)
    assert wide.shift_voxels == DEFAULT_RANGES.shift_voxels
