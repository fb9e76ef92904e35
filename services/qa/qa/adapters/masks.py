"""Label maps from the object store."""

import numpy as np

from radloop.errors import Invalid
from radloop.imaging import Volume, read_nifti
from radloop.objects import Objects
from radloop.references import ObjectRef


class StoredMasks:
    """Reads label maps as uint8 volumes."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def load(self, ref: ObjectRef) -> Volume:
        """Read a label map.

        Raises
        ------
        PermanentError
            When it is not there, damaged, no NIfTI, or holds values that are no uint8.
        TemporaryError
            When the store is away.
        """
        volume = read_nifti(self._objects.get(ref))
        array = volume.array
        if array.dtype != np.uint8:
            whole = array.astype(np.uint8)
            if not np.array_equal(whole, array):
                raise Invalid("mask-not-uint8", expected="whole numbers 0..255", got=f"other values in {array.dtype}")
            array = whole
        return Volume(array, volume.affine_lps)
