"""DICOM files in memory."""

import io

import pydicom
from pydicom.dataset import Dataset


def written(ds: Dataset) -> bytes:
    """Return a data set as a DICOM file (PS3.10 section 7)."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()
