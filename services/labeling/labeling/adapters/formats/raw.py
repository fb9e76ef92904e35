"""Raw volumes: i (columns) fastest, then j (rows), then k (slices); little-endian. Label maps are uint8, segment bits uint32.

The geometry travels beside the bytes: up as the form field ``geometry``, down as headers.
"""

import json
from typing import Any

import numpy as np

from labeling.domain.labels import affine_of
from labeling.domain.model import Case
from radloop.errors import Invalid
from radloop.imaging import Volume

_FIELDS = '{"shape": [i, j, k], "affine_lps": [16 numbers, row-major], "dtype": "uint8" (or "uint32" where segments may overlap)}'


def read_raw(data: bytes, geometry: str, widest: np.dtype) -> Volume:
    """Read a raw mask.

    Parameters
    ----------
    data : bytes
        i fastest; one byte for each voxel of a label map, four for each of segment bits, little-endian.
    geometry : str
        JSON: ``{"shape": [i, j, k], "affine_lps": [16 numbers]}``, row-major, voxel index (i, j, k) to LPS in mm. ``"dtype"``,
        ``"uint8"`` or ``"uint32"``, may say which of the two it is; else the number of bytes does.
    widest : numpy.dtype
        Of the project's masks. Segment bits are read only where it is theirs; a label map always.

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
    shape, affine, stated = _parsed(geometry)
    types = [dtype for dtype in (np.dtype(np.uint8), widest) if stated in ("", dtype.name)]
    if not types:
        raise Invalid("geometry-unreadable", expected=_FIELDS, got="another dtype")
    sizes = {int(np.prod(shape)) * dtype.itemsize: dtype for dtype in types}
    if len(data) not in sizes:
        raise Invalid(
            "label-size",
            expected=" or ".join(
                f"{size} bytes of {dtype.name} for the voxels of the shape" for size, dtype in sizes.items()
            ),
            got=f"{len(data)} bytes",
            do="send every voxel, uncompressed or gzip",
        )
    dtype = sizes[len(data)]
    array = np.frombuffer(data, dtype=dtype.newbyteorder("<")).reshape(shape, order="F")
    return Volume(array.astype(dtype, copy=False), affine)


def write_raw(mask: np.ndarray) -> bytes:
    """Return the bytes of a mask of shape ``(I, J, K)``, i fastest, little-endian, of the type it has."""
    return mask.astype(mask.dtype.newbyteorder("<"), copy=False).tobytes(order="F")


def write_raw_image(array: np.ndarray) -> tuple[bytes, str]:
    """Return the bytes of an image of shape ``(I, J, K)``, i fastest, little-endian, and their type.

    int16 where the image is one, or fits; else float32: the two that every viewer has.
    """
    if array.dtype.kind in "iu":
        fits = np.iinfo(np.int16)
        if array.dtype == np.int16 or (fits.min <= int(array.min()) and int(array.max()) <= fits.max):
            return array.astype("<i2", copy=False).tobytes(order="F"), "int16"
    return array.astype("<f4").tobytes(order="F"), "float32"


def raw_headers(case: Case, dtype: str) -> dict[str, str]:
    """Return the response headers that say what a raw volume samples."""
    return {
        "X-Dtype": dtype,
        "X-Order": "i-fastest",
        "X-Shape": ",".join(str(n) for n in case.shape),
        "X-Affine-LPS": ",".join(repr(float(x)) for x in affine_of(case).ravel()),
    }


def _parsed(geometry: str) -> tuple[tuple[int, int, int], np.ndarray, str]:
    try:
        body: dict[str, Any] = json.loads(geometry)
        i, j, k = (int(n) for n in body["shape"])
        affine = np.array([float(x) for x in body["affine_lps"]], dtype=np.float64).reshape(4, 4)
        if min(i, j, k) < 1 or not np.isfinite(affine).all():
            raise ValueError
        stated = str(body.get("dtype", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("geometry-unreadable", expected=_FIELDS, got="something else") from error
    return (i, j, k), affine, stated
