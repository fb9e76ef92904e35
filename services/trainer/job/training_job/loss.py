"""Dice and cross-entropy that teach only what was looked at.

Where a segment was not annotated in a case, its voxels hide in the background. There the class is merged into the
background (probabilities added) and left out of the Dice term (marginal loss: Shi et al. 2021, arXiv:2007.03868).
Segments that may overlap are taught each by itself: there, one that was not annotated is simply left out.
"""

import torch
from torch.nn import functional

_AXES = (2, 3, 4)
"""The axes of space."""


def dice_cross_entropy(logits: torch.Tensor, label: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the mean of cross-entropy plus one minus the soft Dice of the known foreground classes.

    Parameters
    ----------
    logits : torch.Tensor
        float32, shape ``(B, classes, I, J, K)``.
    label : torch.Tensor
        int64, shape ``(B, I, J, K)``; unknown classes stand as background.
    known : torch.Tensor
        bool, shape ``(B, classes)``; the background is always known.

    Returns
    -------
    torch.Tensor
        float32 scalar. With no foreground class known in the whole batch, only cross-entropy.
    """
    if not bool(known.all()):
        logits = _merged(logits, known)
    cross_entropy = functional.cross_entropy(logits, label)
    probabilities = logits.softmax(dim=1)[:, 1:]
    target = functional.one_hot(label, logits.shape[1]).movedim(-1, 1)[:, 1:].to(probabilities.dtype)
    return cross_entropy + _mean_of_known(1 - _soft_dice(probabilities, target), known[:, 1:])


def dice_binary_cross_entropy(logits: torch.Tensor, segments: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the mean over the known segments, which may overlap, of binary cross-entropy plus one minus the soft Dice.

    Parameters
    ----------
    logits : torch.Tensor
        float32, shape ``(B, outputs, I, J, K)``: one output for each segment, none for the background.
    segments : torch.Tensor
        int64, the shape of `logits`: 1 in the segment.
    known : torch.Tensor
        bool, shape ``(B, outputs)``.

    Returns
    -------
    torch.Tensor
        float32 scalar; 0 with no segment known in the whole batch.
    """
    target = segments.to(logits.dtype)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(_AXES)
    return _mean_of_known(cross_entropy + 1 - _soft_dice(logits.sigmoid(), target), known)


def _soft_dice(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the soft Dice of each output in each view, ``(B, outputs)``."""
    overlap = (probabilities * target).sum(_AXES)
    total = probabilities.sum(_AXES) + target.sum(_AXES)
    # A segment absent from the view and not predicted there must not count as a failure: 0/0 is 1.
    return (2 * overlap + 1e-5) / (total + 1e-5)


def _mean_of_known(losses: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    weight = known.to(losses.dtype)
    return (losses * weight).sum() / weight.sum().clamp_min(1.0)


def _merged(logits: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Add the probability of unknown classes to the background's."""
    unknown = ~known[:, :, None, None, None]
    hidden = logits.masked_fill(~unknown, float("-inf"))
    background = torch.logsumexp(torch.cat([logits[:, :1], hidden[:, 1:]], dim=1), dim=1, keepdim=True)
    # -1e4 and not -inf: an infinite logit would make the gradient of softmax NaN.
    rest = logits[:, 1:].masked_fill(unknown[:, 1:], -1e4)
    return torch.cat([background, rest], dim=1)
