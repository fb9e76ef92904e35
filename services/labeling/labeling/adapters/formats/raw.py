"""Raw volumes: i (columns) fastest, then j (rows), then k (slices); label maps are uint8, one byte for each voxel.

The geometry travels beside the bytes: up as the form field ``geometry``, down as headers.
"""

import json
from typing import Any

import numpy as np

from labeling.domain.labels import affine_of
from labeling.domain.model import Case
from radloop.errors import Invalid
from radloop.imaging import Volume

_FIELDS = '{"shape": [i, j, k], "affine_lps": [16 numbers, row-major]}'


def read_raw(data: bytes, geometry: str) -> Volume:
    """Read a raw label map.

    Parameters
    ----------
    data : bytes
        One byte for each voxel, i fastest.
    geometry : str
        JSON: ``{"shape": [i, j, k], "affine_lps": [16 numbers]}``, row-major, voxel index (i, j, k) to LPS in mm.

    Raises
    ------
    Invalid
        ``geometry-missing``, ``geometry-unreadable``, ``label-size``.
    """
    if not geometry:
        raise Invalid(
            "geometry-missing",
            expected=f"the form field geometry: {_FIELDS}",
            got="none",
            do="a raw label says what it samples: copy shape and affine_lps from the task's case",
        )
    shape, affine = _parsed(geometry)
    if len(data) != int(np.prod(shape)):
        raise Invalid(
            "label-size",
            expected=f"{int(np.prod(shape))} bytes, one for each voxel of the shape",
            got=f"{len(data)} bytes",
            do="send uint8, uncompressed or gzip",
        )
    return Volume(np.frombuffer(data, dtype=np.uint8).reshape(shape, order="F"), affine)


def write_raw(array: np.ndarray) -> bytes:
    """Return the bytes of a uint8 array of shape ``(I, J, K)``, i fastest."""
    return array.astype(np.uint8, copy=False).tobytes(order="F")


def write_raw_image(array: np.ndarray) -> tuple[bytes, str]:
    """Return the bytes of an image of shape ``(I, J, K)``, i fastest, little-endian, and their type.

    int16 where the image is one, or fits; else float32: the two that every viewer has.
    """
    if array.dtype.kind in "iu":
        fits = np.iinfo(np.int16)
        if array.dtype == np.int16 or (fits.min <= int(array.min()) and int(array.max()) <= fits.max):
            return array.astype("<i2", copy=False).tobytes(order="F"), "int16"
    return array.astype("<f4").tobytes(order="F"), "float32"


def raw_headers(case: Case, dtype: str = "uint8") -> dict[str, str]:
    """Return the response headers that say what a raw volume samples."""
    return {
        "X-Dtype": dtype,
        "X-Order": "i-fastest",
        "X-Shape": ",".join(str(n) for n in case.shape),
        "X-Affine-LPS": ",".join(repr(float(x)) for x in affine_of(case).ravel()),
    }


def _parsed(geometry: str) -> tuple[tuple[int, int, int], np.ndarray]:
    try:
        body: dict[str, Any] = json.loads(geometry)
        i, j, k = (int(n) for n in body["shape"])
        affine = np.array([float(x) for x in body["affine_lps"]], dtype=np.float64).reshape(4, 4)
        if min(i, j, k) < 1 or not np.isfinite(affine).all():
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("geometry-unreadable", expected=_FIELDS, got="something else") from error
    return (i, j, k), affine
