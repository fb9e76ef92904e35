"""Phantom slices as DICOM."""

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage


def phantom(**changes: Any) -> Dataset:
    """Return a small MR slice; ``changes`` are attributes by keyword, None removes one."""
    ds = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": "1.2.3.4.100",
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3.4.1",
        "PatientID": "PAT-1",
        "PatientName": "Doe^Jane",
        "StudyDate": "20200131",
        "Modality": "MR",
        "SeriesDescription": "T1 hippocampus",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Rows": 4,
        "Columns": 6,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelSpacing": [2.0, 3.0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-10.0, -20.0, 5.0],
        "SliceThickness": 1.5,
        "PixelData": np.arange(24, dtype="<u2").tobytes(),
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def part10(ds: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """Write a data set as a Part 10 file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax_uid
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "1.2")
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3")
    ds.file_meta = meta
    buffer = BytesIO()
    little = transfer_syntax_uid != pydicom.uid.ExplicitVRBigEndian
    implicit = transfer_syntax_uid == pydicom.uid.ImplicitVRLittleEndian
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True, little_endian=little, implicit_vr=implicit)
    return buffer.getvalue()


class Phantoms:
    """Makes slices of phantom series."""

    slice = staticmethod(phantom)
    file = staticmethod(part10)

    def series(self, count: int = 5, *, number: int = 1, study: str = "1.2.3.4", **changes: Any) -> list[bytes]:
        """Return the files of a 3-D series of ``count`` slices, 1.5 mm apart."""
        return [
            part10(
                phantom(
                    SOPInstanceUID=f"{study}.{number}.{index + 1}",
                    SeriesInstanceUID=f"{study}.{number}",
                    StudyInstanceUID=study,
                    ImagePositionPatient=[-10.0, -20.0, 5.0 + 1.5 * index],
                    InstanceNumber=index + 1,
                    PixelData=(np.arange(24, dtype="<u2") + 100 * index).tobytes(),
                    **changes,
                )
            )
            for index in range(count)
        ]
