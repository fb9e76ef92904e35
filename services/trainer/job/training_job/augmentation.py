"""Random views of a case: one resampling for crop, rotation, scale, flip and bending, then intensity. Edge cases get more of each.

Written on plain torch and not as a chain of MONAI transforms because it is called for every sample of every step: one
resampling instead of four costs a quarter of the time, and all chance comes from one generator that is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

EDGE_CASE_FACTOR = 1.5
"""How much wider the ranges are for an edge case."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """How far a random view may be from the case; each is drawn uniformly in plus and minus."""

    rotation_rad: float = 0.2
    scale: float = 0.1
    shift_voxels: float = 2.0
    """Beyond the crops that lie inside the case."""
    bending_voxels: float = 1.0
    """Standard deviation of the displacement at the nodes of a coarse grid."""
    gain: float = 0.1
    gamma: float = 0.3
    """Of the exponent's logarithm."""
    noise: float = 0.1
    """Largest standard deviation, in units of the normalised image."""

    def widened(self, factor: float) -> "Ranges":
        """Return ranges `factor` times as wide; the shift stays, since it must not lose the structure."""
        return Ranges(
            rotation_rad=self.rotation_rad * factor,
            scale=self.scale * factor,
            shift_voxels=self.shift_voxels,
            bending_voxels=self.bending_voxels * factor,
            gain=self.gain * factor,
            gamma=self.gamma * factor,
            noise=self.noise * factor,
        )


DEFAULT_RANGES = Ranges()


def random_view(
    image: torch.Tensor,
    label: torch.Tensor,
    patch: tuple[int, int, int],
    rng: np.random.Generator,
    ranges: Ranges = DEFAULT_RANGES,
    device: torch.device | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a random view.

    Parameters
    ----------
    image : torch.Tensor
        float32, shape ``(C, I, J, K)``.
    label : torch.Tensor
        float32 with whole values, shape ``(L, I, J, K)``.
    patch : tuple of int
        Voxels of the view along (i, j, k).
    rng : numpy.random.Generator
        All chance comes from it.
    ranges : Ranges
    device : torch.device, optional
        Where the view is made; the image's where left out. Only what is seen of the case is carried there.

    Returns
    -------
    image : torch.Tensor
        float32, shape ``(C, *patch)``; outside the case its border is repeated.
    label : torch.Tensor
        int64, shape ``(L, *patch)``; background outside the case.
    """
    device = image.device if device is None else device
    grid = _positions(patch, np.asarray(image.shape[1:], dtype=np.float64), rng, ranges, device)
    if device != image.device:
        first, seen = _seen(grid, image.shape[1:])
        image, label, grid = image[:, *seen].to(device), label[:, *seen].to(device), grid - first
    # grid_sample wants (z, y, x) = reversed axes, in -1..1 from the first voxel's centre to the last one's.
    last = torch.tensor(image.shape[1:], device=device).sub(1).clamp_min(1).float()
    grid = (2 * grid / last - 1).flip(-1)[None]
    view = functional.grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0]
    mask = functional.grid_sample(label[None], grid, mode="nearest", padding_mode="zeros", align_corners=True)[0]
    return _intensity(view, rng, ranges), mask.long()


def _positions(
    patch: tuple[int, int, int], size: np.ndarray, rng: np.random.Generator, ranges: Ranges, device: torch.device
) -> torch.Tensor:
    """Return float32 ``(*patch, 3)``: where in the case (voxel indices, zero-based, voxel centres) each voxel of the view lies."""
    matrix = np.eye(3)
    for angle, (first, second) in zip(
        rng.uniform(-1, 1, 3) * ranges.rotation_rad, ((0, 1), (0, 2), (1, 2)), strict=True
    ):
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix = matrix @ np.diag(1 + rng.uniform(-1, 1, 3) * ranges.scale)
    slack = np.maximum(size - patch, 0) / 2 + ranges.shift_voxels
    centre = (size - 1) / 2 + rng.uniform(-1, 1, 3) * slack
    axes = [torch.arange(count, dtype=torch.float32, device=device) - (count - 1) / 2 for count in patch]
    indices = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    grid = indices @ torch.from_numpy(matrix.T).float().to(device) + torch.from_numpy(centre).float().to(device)
    if ranges.bending_voxels > 0:
        nodes = torch.from_numpy(rng.standard_normal((1, 3, 5, 5, 5), dtype=np.float32)) * ranges.bending_voxels
        bend = functional.interpolate(nodes.to(device), size=patch, mode="trilinear", align_corners=True)
        grid = grid + bend[0].permute(1, 2, 3, 0)
    return grid


def _seen(grid: torch.Tensor, shape: Sequence[int]) -> tuple[torch.Tensor, tuple[slice, ...]]:
    """Return the first voxel, int64 ``(3,)``, and the slices of the box that positions in a case lie in, or are nearest to."""
    last = torch.tensor(shape, device=grid.device) - 1
    first = torch.minimum(grid.amin((0, 1, 2)).floor().long().clamp_min(0), last)
    beyond = torch.minimum(grid.amax((0, 1, 2)).ceil().long().clamp_min(0), last) + 1
    return first, tuple(slice(*ends) for ends in zip(first.tolist(), beyond.tolist(), strict=True))


def _intensity(view: torch.Tensor, rng: np.random.Generator, ranges: Ranges) -> torch.Tensor:
    gain, offset, exponent, noise = rng.uniform(-1, 1, 4)
    lowest = view.amin()
    spread = view.amax() - lowest + 1e-6
    view = ((view - lowest) / spread).pow(float(np.exp(exponent * ranges.gamma))) * spread + lowest
    view = view * float(1 + gain * ranges.gain) + float(offset * ranges.gain)
    deviation = max(0.0, noise) * ranges.noise
    grain = torch.from_numpy(rng.standard_normal(view.shape, dtype=np.float32)).to(view.device)
    return view + grain * float(deviation)
