"""A large CT that nobody was scanned for: 512 x 512 x 100 voxels of an abdomen drawn with ellipsoids, for tests of the viewer's speed.

Everything follows from the seed. Noise is in whole HU and only inside the body, so that the series compresses about as a real one does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from standalone.demo.cohort import invented_uid

SHAPE = (512, 512, 100)
SPACING_MM = (0.8, 0.8, 1.5)
INTERCEPT = -1024
"""Rescale Intercept: stored values are HU + 1024."""
NOISE_HU = 8.0


@dataclass(frozen=True)
class Organ:
    """An ellipsoid.

    Attributes
    ----------
    name : str
    value : int
        In the mask; 0 for what is no organ to be labelled.
    hu : int
    centre, radii : tuple of 3 float
        Along (i, j, k), as shares of the volume's size: 0.5 is its middle.
    """

    name: str
    value: int
    hu: int
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]


AIR_HU = -1000
ORGANS = (
    Organ("body", 0, 40, (0.5, 0.5, 0.5), (0.42, 0.3, 4.0)),
    Organ("fat", 0, -100, (0.5, 0.34, 0.5), (0.3, 0.1, 4.0)),
    Organ("spine", 0, 450, (0.5, 0.7, 0.5), (0.05, 0.05, 4.0)),
    Organ("aorta", 0, 220, (0.53, 0.62, 0.5), (0.025, 0.025, 4.0)),
    Organ("liver", 1, 110, (0.32, 0.48, 0.6), (0.17, 0.15, 0.35)),
    Organ("spleen", 2, 130, (0.75, 0.52, 0.65), (0.08, 0.1, 0.22)),
    Organ("left kidney", 3, 180, (0.66, 0.63, 0.4), (0.055, 0.06, 0.2)),
    Organ("right kidney", 4, 180, (0.36, 0.64, 0.35), (0.055, 0.06, 0.2)),
    Organ("lesion", 5, 60, (0.28, 0.46, 0.62), (0.03, 0.03, 0.07)),
)
"""In the order they are drawn: a later one lies over an earlier one."""


def slice_of(k: int, shape: tuple[int, int, int] = SHAPE, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draw one slice.

    Returns
    -------
    hu : numpy.ndarray
        int16, shape ``(rows, columns)``, in HU.
    mask : numpy.ndarray
        uint8, same shape: the organs' values.
    """
    columns, rows, slices = shape
    x, y, z = (np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5)[:, None] / rows, (k + 0.5) / slices
    hu = np.full((rows, columns), AIR_HU, dtype=np.int16)
    mask = np.zeros((rows, columns), dtype=np.uint8)
    for organ in ORGANS:
        (i, j, d), (a, b, c) = organ.centre, organ.radii
        inside = ((x - i) / a) ** 2 + ((y - j) / b) ** 2 + ((z - d) / c) ** 2 < 1
        hu[inside], mask[inside] = organ.hu, organ.value
    body = hu > AIR_HU
    noise = np.random.default_rng((seed, k)).standard_normal(int(body.sum()), dtype=np.float32) * NOISE_HU
    hu[body] += noise.round().astype(np.int16)
    return hu, mask


def volume(shape: tuple[int, int, int] = SHAPE, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draw the whole: int16 HU and uint8 mask, both of shape ``(i, j, k)``: columns, rows, slices."""
    slices = [slice_of(k, shape, seed) for k in range(shape[2])]
    hu, mask = (np.stack([one[part].T for one in slices], axis=2) for part in (0, 1))
    return hu, mask


def series(shape: tuple[int, int, int] = SHAPE, seed: int = 1, name: str = "phantom") -> Iterator[Dataset]:
    """Write it as CT Image Storage, one instance for each slice along k, which runs towards the head.

    Parameters
    ----------
    shape : tuple of int
        Columns, rows, slices.
    seed : int
        Of the noise.
    name : str
        Of the invented patient: another name is another patient, study and series.

    Yields
    ------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian, int16, HU by Rescale Intercept.
    """
    study, one_series = invented_uid(name, "study"), invented_uid(name, "series")
    start_mm = [-size * spacing / 2 for size, spacing in zip(shape, SPACING_MM, strict=True)]
    for k in range(shape[2]):
        hu, _ = slice_of(k, shape, seed)
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = invented_uid(one_series, str(k))
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, one_series
        ds.FrameOfReferenceUID = invented_uid(name, "frame of reference")
        ds.PatientName, ds.PatientID, ds.PatientSex = "Invented^Phantom", f"CT-{name}", "O"
        ds.PatientBirthDate, ds.StudyDate, ds.SeriesDate = "19600101", "20220303", "20220303"
        ds.StudyTime = ds.SeriesTime = "101500"
        ds.Modality, ds.Manufacturer, ds.BodyPartExamined = "CT", "Invented", "ABDOMEN"
        ds.StudyDescription, ds.SeriesDescription = "CT ABDOMEN", "PHANTOM 1.5 MM"
        ds.ImageType, ds.BurnedInAnnotation = ["ORIGINAL", "PRIMARY", "AXIAL"], "NO"
        ds.SeriesNumber, ds.InstanceNumber, ds.StudyID, ds.AccessionNumber = 1, k + 1, "1", ""
        ds.KVP, ds.WindowCenter, ds.WindowWidth = 120, 40, 400
        ds.ImagePositionPatient = [start_mm[0], start_mm[1], start_mm[2] + k * SPACING_MM[2]]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]
        ds.SliceThickness = ds.SpacingBetweenSlices = SPACING_MM[2]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = hu.shape
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, INTERCEPT, "HU"
        ds.PixelData = (hu - np.int16(INTERCEPT)).astype("<i2").tobytes()
        yield ds
