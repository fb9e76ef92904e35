"""From probabilities to named scores of one case: pure functions, higher is worse.

Every mean says over what it is taken, since published "foreground" means differ. Widths are voxels of the image. The
mask and the entropy are in the geometry of the image, so padding never dilutes a mean.
"""

import itertools

import numpy as np
import torch
from scipy import ndimage

from radloop.imaging import SEGMENT_BITS, bits_of, dice, segment_bit, segment_values

FOREGROUND_MARGIN = 2
"""Voxels by which the mask is dilated for the foreground means."""

BOUNDARY_HALF_WIDTH = 2
"""Voxels on either side of a boundary between labels (or sets of segments) that belong to its band: the band is four voxels wide."""

PATCH_EDGE = 10
"""Edge of a patch in voxels, clipped to the image."""

PATCH_COUNT = 3
"""Number of patches that do not overlap whose mean entropy is averaged."""


def predictive_entropy(probabilities: torch.Tensor, *, regions: bool = False) -> torch.Tensor:
    """Score each voxel by the entropy of its class probability.

    Parameters
    ----------
    probabilities : torch.Tensor
        float32, shape ``(C, I, J, K)``, summing to 1 over C; with `regions`, each channel a probability of its own.
    regions : bool
        Channels are regions that may overlap: the entropy of each is a binary one, and the largest counts.

    Returns
    -------
    torch.Tensor
        Entropy in nats, float32, shape ``(I, J, K)``, each value in ``[0, log(C)]`` (``[0, log(2)]`` for regions).

    References
    ----------
    Gal, Islam, Ghahramani 2017, arXiv:1703.02910 (max-entropy acquisition).
    """
    plogp = torch.special.xlogy(probabilities, probabilities)
    if not regions:
        return (-plogp.sum(dim=0)).clamp_min(0.0)
    rest = 1.0 - probabilities
    return (-plogp - torch.special.xlogy(rest, rest)).amax(dim=0).clamp_min(0.0)


def label_map(probabilities: torch.Tensor, *, regions: bool = False) -> torch.Tensor:
    """Name the label of each voxel.

    Parameters
    ----------
    probabilities : torch.Tensor
        float32, shape ``(C, I, J, K)``. Class 0 is the background, unless `regions`.
    regions : bool
        Channels are regions that may overlap. Channel ``c`` above 0.5 gives label ``c + 1``; where several claim a
        voxel, the region with the fewest voxels has it, so that an inner region is not hidden by the outer one.

    Returns
    -------
    torch.Tensor
        uint8, shape ``(I, J, K)``.
    """
    if not regions:
        return probabilities.argmax(dim=0).to(torch.uint8)
    claims = probabilities > 0.5
    label = torch.zeros(probabilities.shape[1:], dtype=torch.uint8, device=probabilities.device)
    sizes = claims.flatten(1).sum(dim=1)
    for channel in torch.argsort(sizes, descending=True, stable=True).tolist():
        label[claims[channel]] = channel + 1
    return label


def segment_bits(probabilities: torch.Tensor, *, regions: bool = False) -> torch.Tensor:
    """Say of each voxel which segments it belongs to.

    Parameters
    ----------
    probabilities : torch.Tensor
        float32, shape ``(C, I, J, K)``. Class 0 is the background, unless `regions`.
    regions : bool
        Channels are regions that may overlap. Channel ``c`` above 0.5 sets the bit of value ``c + 1``, whatever the others
        claim; of classes the most probable one sets its bit alone.

    Returns
    -------
    torch.Tensor
        Segment bits, uint32, shape ``(I, J, K)``, on the CPU.

    Raises
    ------
    Invalid
        ``segment-value-no-bit``: there are more than 32 regions, or a class above 32 was found.
    """
    if not regions:
        return torch.from_numpy(bits_of(label_map(probabilities).cpu().numpy()))
    mask = np.zeros(tuple(probabilities.shape[1:]), SEGMENT_BITS)
    for channel, inside in enumerate((probabilities > 0.5).cpu().numpy()):
        mask[inside] |= segment_bit(channel + 1)
    return torch.from_numpy(mask)


def foreground(mask: np.ndarray, margin: int = FOREGROUND_MARGIN) -> np.ndarray:
    """Return bool ``(I, J, K)``: the voxels with a label or any bit, dilated by `margin` steps over faces; all False if empty."""
    inside = mask > 0
    if not inside.any():
        return inside
    # Only the box around the mask can change; a large volume is mostly air.
    grown = np.zeros_like(inside)
    box = tuple(
        slice(max(0, axis.min() - margin), axis.max() + margin + 1)
        for axis in (np.flatnonzero(line) for line in _lines(inside))
    )
    grown[box] = ndimage.binary_dilation(inside[box], iterations=margin)
    return grown


def _lines(inside: np.ndarray) -> list[np.ndarray]:
    return [
        inside.any(axis=tuple(other for other in range(inside.ndim) if other != axis)) for axis in range(inside.ndim)
    ]


def boundary_band(mask: np.ndarray, half_width: int = BOUNDARY_HALF_WIDTH) -> np.ndarray:
    """Return bool ``(I, J, K)``: voxels at most `half_width` face steps from a voxel with another label, or other bits.

    A mask of one label only has no boundary; the surface of a segment inside another one is a boundary of segment bits.
    """
    band = np.zeros(mask.shape, dtype=bool)
    for axis in range(mask.ndim):
        differs = np.diff(mask, axis=axis) != 0
        before = tuple(slice(None, -1) if other == axis else slice(None) for other in range(mask.ndim))
        after = tuple(slice(1, None) if other == axis else slice(None) for other in range(mask.ndim))
        band[before] |= differs
        band[after] |= differs
    if half_width > 1 and band.any():
        band = ndimage.binary_dilation(band, iterations=half_width - 1)
    return band


def top_patch_mean(values: np.ndarray, edge: int = PATCH_EDGE, count: int = PATCH_COUNT) -> float:
    """Mean of the highest box means that do not overlap: finds one local failure in a good case.

    Parameters
    ----------
    values : numpy.ndarray
        float, shape ``(I, J, K)``, e.g. entropy in nats.
    edge : int
        Edge of the box in voxels, clipped to the image on each axis.
    count : int
        Number of boxes at most; fewer where no more fit.

    Returns
    -------
    float
        In the unit of `values`.
    """
    box = [min(edge, size) for size in values.shape]
    means = _box_means(values, box)
    found: list[float] = []
    for _ in range(count):
        peak = np.unravel_index(int(np.argmax(means)), means.shape)
        if not np.isfinite(means[peak]):
            break
        found.append(float(means[peak]))
        overlapping = tuple(slice(max(0, at - size + 1), at + size) for at, size in zip(peak, box, strict=True))
        means[overlapping] = -np.inf
    return float(np.mean(found))


def _box_means(values: np.ndarray, box: list[int]) -> np.ndarray:
    """Means of all boxes that lie inside, by running sums: the cost does not depend on the size of the box."""
    sums = values.astype(np.float64)
    for axis, size in enumerate(box):
        total = np.cumsum(sums, axis=axis)
        head = np.take(total, range(size - 1, total.shape[axis]), axis=axis)
        tail = np.take(total, range(total.shape[axis] - size), axis=axis)
        later = tuple(slice(1, None) if other == axis else slice(None) for other in range(sums.ndim))
        head[later] -= tail
        sums = head
    return sums / float(np.prod(box))


def pairwise_dice_loss(masks: list[np.ndarray]) -> float:
    """Disagreement of members: 1 minus the mean Dice over pairs and over the labels that any member found.

    Parameters
    ----------
    masks : list of numpy.ndarray
        At least two, label maps (uint8) or segment bits (uint32), each of shape ``(I, J, K)``.

    Returns
    -------
    float
        0 (all agree) to 1. A label one member of a pair lacks counts as Dice 0, a label both lack as 1; labels that no
        member found are left out, so that a project with many rare segments is not squeezed towards 0. 0 if none found any.
    """
    values = sorted(set().union(*(segment_values(mask) for mask in masks)))
    if not values:
        return 0.0
    dices = [dice(first, second, value) for first, second in itertools.combinations(masks, 2) for value in values]
    return 1.0 - float(np.mean(dices))


def case_scores(
    mask: np.ndarray,
    entropy: np.ndarray,
    foreground_probability: np.ndarray,
    member_entropy: np.ndarray | None = None,
    member_masks: list[np.ndarray] | None = None,
) -> dict[str, float]:
    """Name the scores of a case; higher is worse, all finite.

    Parameters
    ----------
    mask : numpy.ndarray
        The label map (uint8) or segment bits (uint32), shape ``(I, J, K)``.
    entropy : numpy.ndarray
        Predictive entropy in nats, shape ``(I, J, K)``.
    foreground_probability : numpy.ndarray
        Probability that a voxel is not background, shape ``(I, J, K)``.
    member_entropy : numpy.ndarray, optional
        Mean over the members of each one's entropy in nats; given with more than one member.
    member_masks : list of numpy.ndarray, optional
        The members' own masks; given with more than one member.

    Returns
    -------
    dict of str to float
        ``foreground-entropy``: mean entropy in nats on the mask dilated by 2 voxels. ``non-boundary-entropy``: mean off
        the four voxels wide band along label boundaries (0 if the band covers the image). ``patch-entropy``: mean of the
        three highest patches of 10 voxels' edge. With members, ``mutual-information``: mean in nats on the dilated mask,
        and ``pairwise-dice``: 1 minus the mean Dice of pairs of members. For an empty mask also
        ``max-foreground-probability``; the neighbourhood of the voxel most likely to be foreground then stands in for
        the mask, because an empty mask would else make the case look certain.

    References
    ----------
    Zenk et al. 2024, arXiv:2406.03323 (aggregation of uncertainty maps); Houlsby et al. 2011, arXiv:1112.5745 (mutual
    information).
    """
    scores: dict[str, float] = {}
    region = foreground(mask)
    if not region.any():
        peak = np.unravel_index(int(np.argmax(foreground_probability)), mask.shape)
        scores["max-foreground-probability"] = float(foreground_probability[peak])
        seed = np.zeros_like(mask)
        seed[peak] = 1
        region = foreground(seed)
    scores["foreground-entropy"] = float(entropy[region].mean(dtype=np.float64))
    off_boundary = ~boundary_band(mask)
    scores["non-boundary-entropy"] = float(entropy[off_boundary].mean(dtype=np.float64)) if off_boundary.any() else 0.0
    scores["patch-entropy"] = top_patch_mean(entropy)
    if member_entropy is not None and member_masks is not None:
        # Rounding can make the difference slightly negative; its true value never is.
        information = np.clip(entropy - member_entropy, 0.0, None)
        scores["mutual-information"] = float(information[region].mean(dtype=np.float64))
        scores["pairwise-dice"] = pairwise_dice_loss(member_masks)
    return scores
