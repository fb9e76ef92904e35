"""A generated cohort, for machines without real images: a bent body of two touching parts in a textured background.

It has what the loop needs to show something: shapes that vary, a boundary between the parts that only the image tells,
scans of very different scale, and a share of hard cases (weak contrast, noise, an unusual bend) for the miner to find.
Everything follows from the name of the volume and the seed.
"""

import hashlib
from functools import lru_cache

import numpy as np
from scipy import ndimage

from radloop.imaging import Volume

SHAPE = (36, 50, 34)
HARD_SHARE = 0.2


def random_of(*parts: object) -> np.random.Generator:
    """Make a generator of random numbers from names: the same names give the same numbers."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


@lru_cache(maxsize=8)
def generate(name: str, seed: int) -> tuple[Volume, Volume]:
    """Generate one volume and its exact mask.

    Parameters
    ----------
    name
        Name of the volume.
    seed
        Seed of the cohort.

    Returns
    -------
    tuple of Volume
        The image, uint16, and the mask, uint8 with 0 background, 1 the front part, 2 the rear part. Both of shape
        ``SHAPE``, axes (i, j, k), spacing 1 mm, affine in LPS.
    """
    random = random_of("phantom", seed, name)
    hard = random.random() < HARD_SHARE
    mask = _body(random, hard)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    return Volume(_scan(random, mask, hard), affine), Volume(mask, affine)


def _body(random: np.random.Generator, hard: bool) -> np.ndarray:
    """Draw the two parts: a tube along j with a neck, bent in i and k; the parts meet at the neck."""
    i, j, k = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in SHAPE), indexing="ij")
    length = random.uniform(28, 36)
    middle = SHAPE[1] / 2 + random.uniform(-2, 2)
    # Position along the body, from -1 at its front end to 1 at its rear end.
    t = (j - middle) / (length / 2)
    bend = random.uniform(2, 4) * (2.0 if hard and random.random() < 0.5 else 1.0)
    centre_i = SHAPE[0] / 2 + random.uniform(-2, 2) + bend * (t**2 - 0.3)
    centre_k = SHAPE[2] / 2 + random.uniform(-2, 2) + random.uniform(-3, 3) * t
    neck = random.uniform(-0.2, 0.15)
    girth = random.uniform(4.2, 5.6)
    ends = np.sqrt(np.clip(1 - t**2, 0, None))
    radius = girth * ends * (1 - 0.35 * np.exp(-(((t - neck) / 0.16) ** 2))) * np.where(t < neck, 1.25, 1.0)
    flatness = random.uniform(0.8, 1.2)
    ripple = ndimage.gaussian_filter(random.standard_normal(SHAPE), 3)
    ripple *= 0.5 / ripple.std()
    distance = np.hypot((i - centre_i) / flatness, (k - centre_k) * flatness) + ripple
    inside = (distance < radius) & (np.abs(t) < 1)
    mask = np.where(inside, np.where(t < neck, 1, 2), 0).astype(np.uint8)
    for value in (1, 2):
        parts, count = ndimage.label(mask == value)
        if count > 1:
            sizes = ndimage.sum_labels(mask == value, parts, index=range(1, count + 1))
            mask[(mask == value) & (parts != 1 + int(np.argmax(sizes)))] = 0
    return mask


def _scan(random: np.random.Generator, mask: np.ndarray, hard: bool) -> np.ndarray:
    """Image the body: parts brighter than the background, blurred, with bodies beside it, a bias field and noise."""
    contrast = random.uniform(0.18, 0.28) if hard else random.uniform(0.35, 0.5)
    texture = ndimage.gaussian_filter(random.standard_normal(SHAPE), 2)
    image = 1 + 0.06 * texture / texture.std()
    image = image + contrast * (mask == 1) + 0.75 * contrast * (mask == 2)
    grid = np.indices(SHAPE)
    for _ in range(5):
        centre = random.uniform(0, 1, 3) * SHAPE
        distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(axis=0))
        image = image + (distance < random.uniform(2, 5)) * (mask == 0) * random.uniform(-0.5, 0.45)
    image = ndimage.gaussian_filter(image, 0.7)
    slope = random.uniform(-0.15, 0.15, 3)
    field = sum(s * (axis / n - 0.5) for s, axis, n in zip(slope, grid, SHAPE, strict=True))
    image = image * (1 + field)
    noise = 0.12 if hard else 0.05
    image = image + noise * random.standard_normal(SHAPE)
    scale = 10 ** random.uniform(2, 4)
    return np.round(np.clip(image, 0, 4) * scale).astype(np.uint16)
