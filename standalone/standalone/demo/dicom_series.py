"""Writes a volume as the DICOM MR series a scanner would have sent, with an invented patient.

The platform takes DICOM and nothing else for images, so a volume that exists as NIfTI becomes a series first; what
``ingest`` then forms from it has the same voxels at the same places.
"""

import datetime
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import DSfloat

from radloop.errors import Invalid
from radloop.imaging import Volume
from standalone.demo.cohort import CohortPatient, CohortVolume, invented_uid
from standalone.demo.phantom import random_of


def series(patient: CohortPatient, volume: CohortVolume, series_number: int) -> Iterator[Dataset]:
    """Write one volume of a patient as MR Image Storage instances, one for each slice along k.

    Parameters
    ----------
    patient
        The invented patient.
    volume
        The volume; read here.
    series_number
        Series Number (0020,0011), from 1.

    Yields
    ------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian, pixel values uint16 as they are (no rescale). Rows run
        along j, columns along i; slices ascend along the normal that Image Orientation (Patient) implies
        (PS3.3 C.7.6.2.1.1), so a left-handed volume is written from its last slice on.
    """
    yield from instances(volume.load_image(), _described(patient, volume, series_number))


def instances(image: Volume, description: Dataset) -> Iterator[Dataset]:
    """Write a volume as instances that carry a description.

    Parameters
    ----------
    image
        uint16, axes (i, j, k), affine in LPS mm. Its axes must stand at right angles to one another.
    description
        What all instances have in common, above all the UIDs of study and series.

    Raises
    ------
    Invalid
        The voxels are not uint16, or the axes are sheared.
    """
    if image.array.dtype != np.uint16 or image.array.ndim != 3:
        raise Invalid("volume", expected="uint16 of shape (i, j, k)", got=f"{image.array.dtype} {image.array.shape}")
    affine = np.asarray(image.affine_lps, dtype=np.float64)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-4):
        raise Invalid("volume", expected="axes at right angles", got="a sheared affine", do="resample it first")
    slices = range(image.array.shape[2])
    order = slices if np.linalg.det(directions) > 0 else reversed(slices)
    for number, k in enumerate(order, start=1):
        yield _slice(image, k, number, spacing, directions, affine, description)


def _slice(
    image: Volume,
    k: int,
    number: int,
    spacing: np.ndarray,
    directions: np.ndarray,
    affine: np.ndarray,
    description: Dataset,
) -> Dataset:
    ds = Dataset()
    ds.update(description)
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = invented_uid(description.SeriesInstanceUID, str(number))
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [_ds(value) for value in (affine @ [0, 0, k, 1])[:3]]
    ds.ImageOrientationPatient = [_ds(value) for value in (*directions[:, 0], *directions[:, 1])]
    ds.PixelSpacing = [_ds(spacing[1]), _ds(spacing[0])]
    ds.SliceThickness = _ds(spacing[2])
    ds.SpacingBetweenSlices = _ds(spacing[2])
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = image.array.shape[1], image.array.shape[0]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = np.ascontiguousarray(image.array[:, :, k].T).astype("<u2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _ds(value: float) -> DSfloat:
    """Write a number as DICOM's Decimal String, which holds 16 characters (PS3.5 section 6.2)."""
    return DSfloat(float(value) + 0.0, auto_format=True)


def _described(patient: CohortPatient, volume: CohortVolume, series_number: int) -> Dataset:
    """Invent what a scanner would have written beside the pixels; the same patient always gets the same."""
    random = random_of("patient", patient.patient_id)
    born = datetime.date(1940, 1, 1) + datetime.timedelta(days=int(random.integers(0, 18000)))
    scanned = datetime.date(2019, 1, 1) + datetime.timedelta(days=int(random.integers(0, 1800)))
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = f"{scanned:%Y%m%d}"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = f"{int(random.integers(8, 18)):02d}1500"
    ds.AccessionNumber = f"A{patient.number:06d}"
    ds.Modality = "MR"
    ds.Manufacturer = "Invented"
    ds.InstitutionName = "Invented Hospital"
    ds.ReferringPhysicianName = "Referrer^Invented"
    ds.StudyDescription = "MR HEAD"
    ds.SeriesDescription = f"T1 HIPPOCAMPUS SIDE {'AB'[series_number - 1] if series_number < 3 else series_number}"
    ds.PatientName = f"Invented^Patient {patient.number}"
    ds.PatientID = patient.patient_id
    ds.PatientBirthDate = f"{born:%Y%m%d}"
    ds.PatientSex = "FM"[int(random.integers(0, 2))]
    ds.BodyPartExamined = "BRAIN"
    ds.ScanningSequence = "GR"
    ds.SequenceVariant = "MP"
    ds.ScanOptions = ""
    ds.MRAcquisitionType = "3D"
    ds.BurnedInAnnotation = "NO"
    ds.StudyInstanceUID = UID(patient.study_instance_uid)
    ds.SeriesInstanceUID = UID(volume.series_instance_uid)
    ds.StudyID = "1"
    ds.SeriesNumber = series_number
    ds.FrameOfReferenceUID = invented_uid(patient.study_instance_uid, "frame of reference", volume.name)
    ds.PositionReferenceIndicator = ""
    return ds
