"""The demo's cohort: who is in which part, and what a volume looks like as DICOM."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset

from radloop.errors import Invalid, PermanentError
from radloop.imaging import Volume
from standalone.demo import cohort, dicom_series, phantom
from standalone.demo.run import run_demo
from standalone.demo.state import Choices
from standalone.setup import Engines


def small(seed: int = 1) -> cohort.Cohort:
    return cohort.load_cohort(cohort.phantom_source(), seed=seed, test=3, validation=2, start=2, pool=5)


def test_the_parts_have_the_sizes_asked_for_and_share_no_patient() -> None:
    drawn = small()
    parts = [drawn.test, drawn.validation, drawn.start, drawn.pool]
    assert [len(part) for part in parts] == [3, 2, 2, 5]
    assert len({patient.patient_id for part in parts for patient in part}) == 12


def test_the_same_seed_draws_the_same_cohort_and_another_seed_another() -> None:
    names = [patient.patient_id for patient in small().patients]
    assert names == [patient.patient_id for patient in small().patients]
    assert names != [patient.patient_id for patient in small(seed=2).patients]


def test_the_split_list_names_every_patient_once() -> None:
    drawn = small()
    rows = drawn.split_list()
    assert sorted(row["patient_id"] for row in rows) == sorted(patient.patient_id for patient in drawn.patients)
    assert [row["split"] for row in rows].count("train") == 7


def test_more_patients_than_there_are_is_refused(tmp_path: Path) -> None:
    source = write_decathlon(tmp_path, ["001", "003", "004"])
    with pytest.raises(Invalid, match="at least 5 patients"):
        cohort.load_cohort(source, seed=1, test=2, validation=1, start=1, pool=1)


def write_decathlon(folder: Path, numbers: list[str], *, subjects: str = "") -> cohort.Source:
    base = folder / cohort.FOLDER
    for part in ("images", "labels"):
        (base / part).mkdir(parents=True)
    for number in numbers:
        image = np.arange(60, dtype=np.float32).reshape(3, 4, 5) * 1.5
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), base / "images" / f"hippocampus_{number}.nii.gz")
        mask = (np.arange(60) % 3).astype(np.uint8).reshape(3, 4, 5)
        nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), base / "labels" / f"hippocampus_{number}.nii.gz")
    if subjects:
        (base / "subjects.csv").write_text(subjects)
    found = cohort.find_real_source({"RADLOOP_DATA": str(folder)}, folder / "nowhere")
    assert found is not None
    return found


def test_both_sides_of_a_head_are_one_patient_by_table_or_by_rule(tmp_path: Path) -> None:
    numbers = ["001", "003", "004"]
    by_rule = write_decathlon(tmp_path / "rule", numbers)
    table = "volume,subject\nhippocampus_001,S1\nhippocampus_003,S1\nhippocampus_004,S2\n"
    by_table = write_decathlon(tmp_path / "table", numbers, subjects=table)
    heads = {
        source: sorted(
            sorted(volume.name for volume in patient.volumes)
            for patient in cohort.load_cohort(source, seed=1, test=1, validation=1, start=0, pool=0).patients
        )
        for source in (by_rule, by_table)
    }
    assert heads[by_rule] == [["hippocampus_001"], ["hippocampus_003", "hippocampus_004"]]
    assert heads[by_table] == [["hippocampus_001", "hippocampus_003"], ["hippocampus_004"]]


def test_a_volume_without_its_mask_is_left_out(tmp_path: Path) -> None:
    source = write_decathlon(tmp_path, ["001", "003"])
    (Path(source.folder) / "labels" / "hippocampus_001.nii.gz").unlink()
    (only,) = cohort.load_cohort(source, seed=1, test=1, validation=0, start=0, pool=0).patients
    assert [volume.name for volume in only.volumes] == ["hippocampus_003"]


def test_without_a_data_folder_no_real_source_is_found(tmp_path: Path) -> None:
    assert cohort.find_real_source({"RADLOOP_DATA": str(tmp_path)}, tmp_path / "checkout") is None


def test_whole_numbers_are_kept_and_others_scaled_to_sixteen_bits(tmp_path: Path) -> None:
    whole = np.array([[[0, 7], [300, 65535]]], dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(whole, np.eye(4)), tmp_path / "whole.nii")
    assert cohort.read_image(tmp_path / "whole.nii").array.tolist() == whole.astype(int).tolist()
    nibabel.save(nibabel.Nifti1Image(whole * 10.5, np.eye(4)), tmp_path / "large.nii")
    scaled = cohort.read_image(tmp_path / "large.nii").array
    assert scaled.dtype == np.uint16
    assert scaled.max() == 65535
    assert np.abs(scaled - whole).max() <= 0.5


def test_negative_values_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.full((2, 2, 2), -1.0), np.eye(4)), tmp_path / "negative.nii")
    with pytest.raises(Invalid, match="finite values from 0"):
        cohort.read_image(tmp_path / "negative.nii")


def test_a_phantom_has_two_touching_parts_that_differ_between_patients() -> None:
    image, mask = phantom.generate("phantom_001a", 1)
    other, _ = phantom.generate("phantom_002a", 1)
    assert image.array.dtype == np.uint16
    assert mask.array.shape == phantom.SHAPE
    assert sorted(np.unique(mask.array)) == [0, 1, 2]
    assert min((mask.array == 1).sum(), (mask.array == 2).sum()) > 200
    grown = np.zeros(mask.array.shape, dtype=bool)
    grown[:, 1:] = (mask.array == 1)[:, :-1]
    assert (grown & (mask.array == 2)).any()
    assert not np.array_equal(image.array, other.array)


def from_series(instances: list[Dataset]) -> Volume:
    """Form the volume as PS3.3 C.7.6.2.1.1 defines it, independently of the writer."""
    first = instances[0]
    along_row, along_column = (
        np.array(first.ImageOrientationPatient[:3], float),
        np.array(first.ImageOrientationPatient[3:], float),
    )
    normal = np.cross(along_row, along_column)
    ordered = sorted(instances, key=lambda ds: float(np.dot(np.array(ds.ImagePositionPatient, float), normal)))
    origin = np.array(ordered[0].ImagePositionPatient, float)
    affine = np.eye(4)
    affine[:3, 0] = along_row * float(first.PixelSpacing[1])
    affine[:3, 1] = along_column * float(first.PixelSpacing[0])
    affine[:3, 2] = (np.array(ordered[-1].ImagePositionPatient, float) - origin) / (len(ordered) - 1)
    affine[:3, 3] = origin
    voxels = [np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns).T for ds in ordered]
    return Volume(np.stack(voxels, axis=2), affine)


def description() -> Dataset:
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    return ds


def test_a_series_has_the_voxels_and_the_affine_of_its_volume() -> None:
    drawn = small()
    patient = next(patient for patient in drawn.patients if len(patient.volumes) == 2)
    for number, volume in enumerate(patient.volumes, start=1):
        image = volume.load_image()
        formed = from_series(list(dicom_series.series(patient, volume, number)))
        assert np.array_equal(formed.array, image.array)
        assert np.array_equal(formed.affine_lps, image.affine_lps)


def oblique(*, left_handed: bool = False) -> Volume:
    a, b = np.deg2rad(20), np.deg2rad(-35)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([0.9, 1.1, -2.5 if left_handed else 2.5])
    affine[:3, 3] = [-80.25, 12.5, 33.125]
    return Volume(np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6), affine)


def test_an_oblique_volume_keeps_its_place() -> None:
    image = oblique()
    formed = from_series(list(dicom_series.instances(image, description())))
    assert np.array_equal(formed.array, image.array)
    assert np.allclose(formed.affine_lps, image.affine_lps, atol=1e-4)


def test_a_left_handed_volume_is_written_from_its_last_slice() -> None:
    image = oblique(left_handed=True)
    formed = from_series(list(dicom_series.instances(image, description())))
    assert np.array_equal(formed.array, image.array[:, :, ::-1])
    corner = image.affine_lps @ [0, 0, 5, 1]
    assert np.allclose(formed.affine_lps[:, 3], corner, atol=1e-4)


def test_a_sheared_volume_is_refused() -> None:
    image = oblique()
    image.affine_lps[0, 2] += 0.5
    with pytest.raises(Invalid, match="right angles"):
        list(dicom_series.instances(image, description()))


def test_instances_are_valid_mr_with_an_invented_patient() -> None:
    patient = small().patients[0]
    first, second, *_ = dicom_series.series(patient, patient.volumes[0], 1)
    assert first.PatientID == patient.patient_id
    assert "Invented" in str(first.PatientName)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert (first.StudyInstanceUID, first.SeriesInstanceUID) == (second.StudyInstanceUID, second.SeriesInstanceUID)
    assert (first.Modality, first.BodyPartExamined) == ("MR", "BRAIN")


def test_a_start_with_fewer_labels_than_a_round_is_refused(tmp_path: Path) -> None:
    choices = Choices(
        seed=1, rounds=1, batch=9, start=2, pool=4, test=2, validation=2, initial_steps=1, update_steps=1,
        error_share=0.0, cohort="phantom",
    )  # fmt: skip
    with pytest.raises(PermanentError, match=r"start-too-small.*--start"):
        run_demo(tmp_path, choices, port=0, environment={}, engines=Engines.EMBEDDED)
    assert not (tmp_path / "demo.json").exists()
