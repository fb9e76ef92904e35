"""Label files as other programs write them, and the images they were made on."""

import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from radloop.imaging import Volume, lps_from_ras


def ct_slices(shape: Sequence[int], affine: np.ndarray, series: str, sop_uids: Sequence[str], **changes: Any) -> list:
    """Return CT slices of a volume of shape (i, j, k), affine in LPS, under UIDs of one's own."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    slices = []
    for k in range(shape[2]):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = sop_uids[k]
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"1.2.826.44.{zlib.crc32(series.encode())}", series
        ds.PatientID, ds.PatientName, ds.Modality = "CANARY-PATIENT", "CANARY^NAME", "CT"
        ds.AccessionNumber, ds.ImageType = "CANARY-ACCESSION", ["ORIGINAL", "PRIMARY"]
        ds.ImageOrientationPatient = [float(f"{x:.10g}") for x in directions[:, :2].T.ravel()]
        ds.ImagePositionPatient = [float(f"{x:.10g}") for x in (affine @ [0, 0, k, 1])[:3]]
        ds.PixelSpacing, ds.SliceThickness = [float(spacing[1]), float(spacing[0])], float(spacing[2])
        ds.Columns, ds.Rows = int(shape[0]), int(shape[1])
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        ds.PixelData = np.full((shape[1], shape[0]), k, "<u2").tobytes()
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
        slices.append(ds)
    return slices


def saved(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def structure_set(
    source: Sequence[Dataset], rois: Mapping[int, tuple[str, Sequence[np.ndarray]]], kind: str = "CLOSED_PLANAR"
) -> Dataset:
    """Return an RT structure set on a series; each region of interest is (name, contours), a contour (n, 3) in LPS mm."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = source[0].StudyInstanceUID, pydicom.uid.generate_uid()
    ds.Modality, ds.PatientID, ds.PatientName = "RTSTRUCT", "CANARY-PATIENT", "CANARY^NAME"
    ds.StructureSetLabel, ds.StructureSetDate, ds.OperatorsName = "CANARY SET", "20200102", "CANARY^OPERATOR"
    images = []
    for each in source:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = each.SOPClassUID, each.SOPInstanceUID
        images.append(image)
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = source[0].SeriesInstanceUID, images
    study.ReferencedSOPInstanceUID, study.RTReferencedSeriesSequence = source[0].StudyInstanceUID, [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = "1.2.3", [study]
    ds.ReferencedFrameOfReferenceSequence = [frame]
    names, contoured = [], []
    for number, (name, contours) in rois.items():
        one, drawn = Dataset(), Dataset()
        one.ROINumber, one.ROIName, one.ROIDescription = number, name, "CANARY DESCRIPTION"
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{x:.4f}" for x in np.asarray(points).ravel()]
            drawn.ContourSequence.append(contour)
        names.append(one)
        contoured.append(drawn)
    ds.StructureSetROISequence, ds.ROIContourSequence = names, contoured
    return ds


def nifti(array: np.ndarray, affine_lps: np.ndarray) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(array, lps_from_ras(affine_lps))


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one of the NRRD masks beside the SEG: int16, gzip, LPS."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    affine = np.eye(4)
    for axis, direction in enumerate(fields["space directions"].split()):
        affine[:3, axis] = [float(x) for x in direction.strip("()").split(",")]
    affine[:3, 3] = [float(x) for x in fields["space origin"].strip("()").split(",")]
    shape = [int(n) for n in fields["sizes"].split()]
    return np.frombuffer(gzip.decompress(body), "<i2").reshape(shape, order="F"), affine


def table(folder: Path, *rows: str) -> Path:
    path = folder / "ids.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def placed(label: np.ndarray, affine_lps: np.ndarray, image: Volume) -> np.ndarray:
    """Return a label in the geometry of an image by asking of each labelled voxel where in the patient it lies."""
    found = np.zeros(image.array.shape, label.dtype)
    at = np.argwhere(label)
    points = affine_lps[:3, :3] @ at.T + affine_lps[:3, 3:]
    i, j, k = np.round(np.linalg.solve(image.affine_lps[:3, :3], points - image.affine_lps[:3, 3:])).astype(int)
    found[i, j, k] = label[tuple(at.T)]
    return found
