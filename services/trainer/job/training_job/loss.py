"""Dice and cross-entropy that teach only what was looked at.

Where a segment was not annotated in a case, its voxels hide in the background. There the class is merged into the
background (probabilities added) and left out of the Dice term (marginal loss: Shi et al. 2021, arXiv:2007.03868).
"""

import torch
from torch.nn import functional


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
    axes = (2, 3, 4)
    overlap = (probabilities * target).sum(axes)
    total = probabilities.sum(axes) + target.sum(axes)
    # A class absent from the view and not predicted there must not count as a failure: 0/0 is 1.
    dice = (2 * overlap + 1e-5) / (total + 1e-5)
    foreground = known[:, 1:].to(dice.dtype)
    return cross_entropy + ((1 - dice) * foreground).sum() / foreground.sum().clamp_min(1.0)


def _merged(logits: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Add the probability of unknown classes to the background's."""
    unknown = ~known[:, :, None, None, None]
    hidden = logits.masked_fill(~unknown, float("-inf"))
    background = torch.logsumexp(torch.cat([logits[:, :1], hidden[:, 1:]], dim=1), dim=1, keepdim=True)
    # -1e4 and not -inf: an infinite logit would make the gradient of softmax NaN.
    rest = logits[:, 1:].masked_fill(unknown[:, 1:], -1e4)
    return torch.cat([background, rest], dim=1)
