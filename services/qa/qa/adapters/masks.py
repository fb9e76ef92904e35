"""Masks from the object store."""

import numpy as np

from radloop.errors import Invalid
from radloop.imaging import SEGMENT_BITS, Volume, read_nifti, says_segment_bits
from radloop.objects import Objects
from radloop.references import ObjectRef


class StoredMasks:
    """Reads label maps as uint8 volumes, and segment bits, which the file itself calls so, as uint32 ones."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def load(self, ref: ObjectRef) -> Volume:
        """Read a mask.

        Raises
        ------
        PermanentError
            When it is not there, damaged, no NIfTI, or a label map with values that are no uint8.
        TemporaryError
            When the store is away.
        """
        data = self._objects.get(ref)
        volume = read_nifti(data)
        array = volume.array
        if array.dtype == SEGMENT_BITS and says_segment_bits(data):
            return volume
        if array.dtype != np.uint8:
            whole = array.astype(np.uint8)
            if not np.array_equal(whole, array):
                raise Invalid("mask-not-uint8", expected="whole numbers 0..255", got=f"other values in {array.dtype}")
            array = whole
        return Volume(array, volume.affine_lps)
