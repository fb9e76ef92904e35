"""Labels on their way back to the archive: a real Orthanc has them under the study it sent, and nobody else hears whose it is."""

import subprocess

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import check_required_attributes, get_iod_module_map, get_sop_class_iod_map
from highdicom.sr.utils import find_content_items
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EnhancedMRImageStorage
from scipy.spatial.distance import pdist

from radloop.testing.databases import ONE_ENGINE
from tests.dicom_peers import needs_dcmtk, needs_orthanc
from tests.integration.ingest.ward import COLUMNS, NUMBERS, ROWS, SEGMENTS, SLICES, STUDY, label_map

pytestmark = [pytest.mark.integration, ONE_ENGINE]


def voxels(seg: pydicom.Dataset, slices) -> np.ndarray:
    """Read a SEG by highdicom on the original slices: label map of segment numbers, (columns, rows, slices)."""
    read = hd.seg.Segmentation.from_dataset(seg)
    uids = [ds.SOPInstanceUID for ds in slices]
    pixels = read.get_pixels_by_source_instance(
        uids, combine_segments=True, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    return pixels.transpose(2, 1, 0)


def references(ds: Dataset) -> set[str]:
    """Return the instances an object refers to; a structure set names its study in the same attribute."""
    found = {str(element.value) for element in ds.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
    return found - {STUDY}


def lacking(ds: Dataset) -> list[str]:
    """Return the attributes of type 1 and 2 that the mandatory modules of an object's IOD have and it has not (PS3.3)."""
    found = []
    for module in get_iod_module_map()[get_sop_class_iod_map()[ds.SOPClassUID]]:
        # A functional group may stand once for all frames or with each, and a content item's attributes depend on its type:
        # what these two hold is compared with the mask.
        if module["usage"] == "M" and not module["key"].endswith(("functional-groups", "document-content")):
            try:
                check_required_attributes(ds, module["key"])
            except AttributeError as error:
                found.append(f"{module['key']}: {error}")
    return found


@needs_orthanc
def test_a_label_comes_back_to_its_study(ward):
    ward.approve(label_map())
    assert ward.states() == {}  # nothing goes by itself
    assert ward.ask("pacs", "seg", "rtstruct", "sr").status_code == 202
    found = ward.sent(3)
    assert set(found) == {"SEG", "RTSTRUCT", "SR"}
    assert len(ward.archive.get("studies")) == len(ward.archive.get("patients")) == 1
    for ds in found.values():
        assert (ds.StudyInstanceUID, ds.PatientID, ds.PatientBirthDate) == (STUDY, "CANARY-ID", "19701231")
        assert (ds.AccessionNumber, ds.StudyDate, ds.StudyTime) == ("CANARY-ACC", "20200131", "101112")
        assert (str(ds.PatientName), ds.PatientSex, ds.StudyID) == ("Müller^Jörg", "M", "7")
        assert "PatientIdentityRemoved" not in ds and "DeidentificationMethod" not in ds
        assert lacking(ds) == []
    seg = found["SEG"]
    originals = {ds.SOPInstanceUID for ds in ward.slices}
    assert seg.FrameOfReferenceUID == found["RTSTRUCT"].FrameOfReferenceUID == "1.2.826.4242.9"
    assert references(seg) == originals
    assert references(found["RTSTRUCT"]) == originals
    assert references(found["SR"]) == originals | {seg.SOPInstanceUID}
    assert np.array_equal(voxels(seg, ward.slices), NUMBERS[label_map()])
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["liver", "spleen"]


@needs_orthanc
def test_the_report_says_what_the_mask_measures(ward):
    ward.approve(label_map())
    ward.ask("pacs", "sr")
    found = ward.sent(2)  # it brings the SEG it refers to
    groups = hd.sr.ComprehensiveSR.from_dataset(found["SR"]).content.get_volumetric_roi_measurement_groups()
    spacing_mm = np.array([3, 2, 1.5])  # of the slices
    assert [group.tracking_identifier for group in groups] == ["liver", "spleen"]
    for number, (group, value) in enumerate(zip(groups, (1, 4), strict=True), start=1):
        places = np.argwhere(label_map() == value) * spacing_mm
        told = {one.name.meaning: (one.value, one.unit.value) for one in group.get_measurements()}
        assert told["Volume"] == (pytest.approx(len(places) * 9.0), "mm3")
        assert told["Diameter"] == (pytest.approx(pdist(places).max(), abs=1e-5), "mm")
        (item,) = find_content_items(group[0], name=codes.DCM.ReferencedSegment)
        (reference,) = item.ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == found["SEG"].SOPInstanceUID
        assert reference.ReferencedSegmentNumber == number


@needs_orthanc
def test_a_label_map_by_stow(ward):
    ward.approve(label_map())
    for _ in range(2):  # asked for twice, sent once
        (identity,) = ward.ask("web").json()["exports"]
    seg = ward.sent(1)["SEG"]
    assert seg.SegmentationType == "LABELMAP" and ward.states() == {("web", "seg-labelmap"): "sent"}
    assert ward.site.http.get(f"/v1/exports/{identity}").json()["attempts"] == 1
    assert references(seg) == {ds.SOPInstanceUID for ds in ward.slices} and lacking(seg) == []
    assert np.array_equal(voxels(seg, ward.slices), NUMBERS[label_map()])
    assert ward.ask("pacs", "seg-labelmap").json()["error"] == "labelmap-not-taken"


@needs_orthanc
@needs_dcmtk
def test_dcmtk_reads_the_same_voxels(ward, tmp_path):
    ward.approve(label_map())
    ward.ask("pacs", "seg", "rtstruct", "sr")
    for modality, ds in ward.sent(3).items():
        file = tmp_path / f"{modality}.dcm"
        ds.save_as(file)
        done = subprocess.run(["dcmdump", "+W", str(tmp_path), str(file)], capture_output=True, check=True)
        assert b"W: " not in done.stderr and b"E: " not in done.stderr, done.stderr
    (raw,) = tmp_path.glob("SEG*.raw")
    seg = pydicom.dcmread(tmp_path / "SEG.dcm", stop_before_pixels=True)
    bits = np.unpackbits(np.frombuffer(raw.read_bytes(), np.uint8), bitorder="little")
    frames = bits[: seg.NumberOfFrames * ROWS * COLUMNS].reshape(-1, ROWS, COLUMNS)
    found = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        slice_number = round(group.PlanePositionSequence[0].ImagePositionPatient[2] / 1.5)
        found[slice_number][frame != 0] = number
    assert np.array_equal(found.transpose(2, 1, 0), NUMBERS[label_map()])


@needs_orthanc
def test_segments_that_overlap(empty_ward, send):
    ward = empty_ward.receive(send, segments=SEGMENTS, overlapping_segments=True)
    bits = np.zeros((COLUMNS, ROWS, SLICES), np.uint32)
    bits[4:16, 4:18, 1:4] |= 1
    bits[10:20, 10:20, 2:] |= 8
    ward.approve(bits)
    assert ward.ask("web", "seg-labelmap").json()["error"] == "labelmap-overlap"
    ward.ask("web")
    seg = hd.seg.Segmentation.from_dataset(ward.sent(1)["SEG"])
    assert (seg.SegmentationType, seg.SegmentsOverlap) == ("BINARY", "YES")
    pixels = seg.get_pixels_by_source_instance(
        [ds.SOPInstanceUID for ds in ward.slices], ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    for number, bit in enumerate((1, 8)):
        assert np.array_equal(pixels[..., number].transpose(2, 1, 0) != 0, (bits & bit) != 0)


@needs_orthanc
def test_frames_of_one_enhanced_instance(empty_ward, send):
    ward = empty_ward.receive(send, [enhanced(empty_ward.slices)])
    (source,) = ward.slices
    ward.approve(label_map())
    ward.ask("pacs", "seg", "rtstruct", "sr")
    found = ward.sent(3)
    assert all(references(found[modality]) == {source.SOPInstanceUID} for modality in ("SEG", "RTSTRUCT"))
    assert found["SEG"].StudyInstanceUID == STUDY and lacking(found["SEG"]) == []
    volume = hd.seg.Segmentation.from_dataset(found["SEG"]).get_volume(combine_segments=True)
    places = volume.map_indices_to_reference(np.array([[k, 0, 0] for k in range(4)]))[:, 2] / 1.5
    order = np.round(places).astype(int)  # highdicom counts slices from the other end
    assert sorted(order) == [1, 2, 3, 4]  # the first is empty
    assert np.array_equal(volume.array.transpose(2, 1, 0), NUMBERS[label_map()][:, :, order])
    contours = [c for roi in found["RTSTRUCT"].ROIContourSequence for c in roi.ContourSequence]
    for contour in contours:
        assert contour.ContourImageSequence[0].ReferencedFrameNumber == round(contour.ContourData[2] / 1.5) + 1


def enhanced(slices) -> Dataset:
    """Return the slices as one Enhanced MR instance."""
    ds = Dataset(dict(slices[0].items()))
    ds.file_meta = slices[0].file_meta
    ds.SOPClassUID = EnhancedMRImageStorage
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = ds.PixelSpacing, 1.5
    orientation.ImageOrientationPatient = ds.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    groups = []
    for one in slices:
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = one.ImagePositionPatient
        group.PlanePositionSequence = [place]
        groups.append(group)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], groups
    ds.NumberOfFrames, ds.PixelData = len(slices), b"".join(one.PixelData for one in slices)
    del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing
    return ds
