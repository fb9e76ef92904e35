"""NIfTI labels with a table, nnU-Net and MSD folders, by ``radloop labels import``: voxel for voxel, or refused by the reason."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from radloop.imaging import Volume
from standalone.demo import cohort, dicom_series
from tests.integration.labels.platform import assert_nothing_named
from tests.label_files import nifti, placed, table

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
BRAIN, LIVER, TISSUE = "brain", "liver", "tissue"


def test_a_report_comes_first_then_what_it_said_is_taken_and_never_twice(site, brain, tmp_path) -> None:
    mask = brain.load_mask()
    nifti(mask.array, mask.affine_lps).to_filename(tmp_path / "a.nii.gz")
    listed = table(tmp_path, "series_instance_uid,label_path", f"{brain.series_instance_uid},a.nii.gz")
    (case,) = site.cases(BRAIN, brain.series_instance_uid)

    code, (line,) = site.run(listed, BRAIN)
    assert (code, line["state"], line["case_id"]) == (0, "take", case["case_id"])
    counts = {1: int((mask.array == 1).sum()), 2: int((mask.array == 2).sum())}
    assert line["voxels"] == {"anterior": counts[1], "posterior": counts[2]}
    assert site.labels_of(case["case_id"]) == []
    assert "Nothing was taken" in site.table(listed, BRAIN)
    assert site.labels_of(case["case_id"]) == []

    _, (taken,) = site.run(listed, BRAIN, "--take")
    assert taken["state"] == "taken" and taken["label_version_id"] == line["label_version_id"]
    image = site.volume(case["case_id"])
    assert (site.label(taken["label_version_id"]) == placed(mask.array, mask.affine_lps, image)).all()
    assert site.run(listed, BRAIN, "--take")[1][0]["state"] == "there"
    assert len(site.labels_of(case["case_id"])) == 1

    # Another label of the same case is told apart.
    nifti(np.where(mask.array == 2, 0, mask.array), mask.affine_lps).to_filename(tmp_path / "a.nii.gz")
    (other,) = site.run(listed, BRAIN)[1]
    assert (other["state"], other["other_labels_of_the_case"]) == ("take", 1)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SAL"])
def test_axes_in_any_order_and_direction_are_mapped_exactly(site, brains, tmp_path, axes) -> None:
    volume = list(brains.values())[1]
    mask = volume.load_mask()
    image = nifti(mask.array, mask.affine_lps)
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(axes)
    )
    image.as_reoriented(turn).to_filename(tmp_path / "a.nii")
    listed = table(tmp_path, "file,series_instance_uid", f"a.nii,{volume.series_instance_uid}")
    _, (line,) = site.run(listed, BRAIN, "--take")
    assert line["state"] in ("taken", "there"), line
    (case,) = site.cases(BRAIN, volume.series_instance_uid)
    expected = placed(mask.array, mask.affine_lps, site.volume(case["case_id"]))
    # The four are one label, so one version.
    (version,) = site.labels_of(case["case_id"])
    assert (site.label(version["label_version_id"]) == expected).all()
    if axes == "PIR":
        assert any("another order" in note for note in line["differences"])


def test_a_crop_of_the_image_is_put_in_its_place_and_said(site, brain, tmp_path) -> None:
    mask = brain.load_mask()
    low, high = np.argwhere(mask.array).min(axis=0), np.argwhere(mask.array).max(axis=0) + 1
    crop = mask.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    affine = mask.affine_lps.copy()
    affine[:3, 3] = (mask.affine_lps @ [*low, 1])[:3]
    nifti(crop, affine).to_filename(tmp_path / "a.nii")
    listed = table(tmp_path, "file,series_instance_uid", f"a.nii,{brain.series_instance_uid}")
    _, (line,) = site.run(listed, BRAIN, "--take")
    (case,) = site.cases(BRAIN, brain.series_instance_uid)
    assert any(note.startswith("it covers") for note in line["differences"])
    assert (
        site.label(line["label_version_id"]) == placed(mask.array, mask.affine_lps, site.volume(case["case_id"]))
    ).all()


def resampled(mask: Volume) -> nibabel.Nifti1Image:
    affine = mask.affine_lps.copy()
    affine[:3, :3] *= 2
    return nifti(mask.array[::2, ::2, ::2], affine)


def moved(mask: Volume, mm: float) -> nibabel.Nifti1Image:
    affine = mask.affine_lps.copy()
    affine[0, 3] += mm
    return nifti(mask.array, affine)


def turned(mask: Volume) -> nibabel.Nifti1Image:
    c, s = np.cos(0.02), np.sin(0.02)
    return nifti(mask.array, np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ mask.affine_lps)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (resampled, r"voxels of 2x2x2 mm"),
        (lambda mask: moved(mask, 0.5), r"a voxel lies 0\.5 mm from the nearest"),
        (turned, r"a voxel lies .* mm from the nearest"),
        (lambda mask: moved(mask, 500), r"\d+ of \d+ outside of it"),
        (lambda mask: nifti(mask.array * 3, mask.affine_lps), r"label-value-unknown: .*values 3, 6"),
        (lambda mask: nifti(mask.array * np.float32(0.4), mask.affine_lps), r"label-values"),
        (lambda mask: nifti(np.stack([mask.array] * 2, -1), mask.affine_lps), r"nifti-not-3d"),
    ],
)
def test_what_is_no_label_of_the_case_is_refused_with_the_difference(site, brains, tmp_path, make, why) -> None:
    volume = list(brains.values())[-1]
    make(volume.load_mask()).to_filename(tmp_path / "a.nii")
    listed = table(tmp_path, "file,series_instance_uid", f"a.nii,{volume.series_instance_uid}")
    code, (line,) = site.run(listed, BRAIN, "--take")
    assert (code, line["state"]) == (1, "refused")
    assert re.search(why, line["why"]), line["why"]
    (case,) = site.cases(BRAIN, volume.series_instance_uid)
    assert site.labels_of(case["case_id"]) == []


def test_values_are_translated_as_said_and_those_that_nobody_named_are_listed(site, brain, tmp_path) -> None:
    mask = brain.load_mask()
    theirs = np.array([0, 1017, 40], np.int32)[mask.array]
    nifti(theirs, mask.affine_lps).to_filename(tmp_path / "a.nii")
    listed = table(tmp_path, "file,series_instance_uid", f"a.nii,{brain.series_instance_uid}")
    (line,) = site.run(listed, BRAIN, "--map", "1017=anterior")[1]
    assert line["state"] == "refused" and "none for 40" in line["why"]
    (line,) = site.run(listed, BRAIN, "--map", "1017=anterior", "--map", "40=", "--take")[1]
    assert line["not_annotated"] == ["posterior"]
    assert (site.label(line["label_version_id"]) > 0).sum() == (mask.array == 1).sum()
    rules = tmp_path / "rules.txt"
    rules.write_text("# theirs=ours\n1017=1\n40=posterior\n")
    (line,) = site.run(listed, BRAIN, "--map", str(rules), "--take")[1]
    assert (
        np.bincount(site.label(line["label_version_id"]).ravel()).tolist() == np.bincount(mask.array.ravel()).tolist()
    )


def test_cases_are_found_by_any_original_id_and_what_is_not_one_case_is_said(site, brains, ct, tmp_path) -> None:
    several, single = _two_and_one(brains)
    for name in ("a", "b", "c", "d"):
        shutil.copy(_written(single, tmp_path / "x.nii"), tmp_path / f"{name}.nii")
    study, series = ct[0].StudyInstanceUID, ct[0].SeriesInstanceUID
    ds = next(iter(dicom_series.series(*single, 1)))
    listed = table(
        tmp_path,
        "file,patient_id,accession_number,study_instance_uid,series_instance_uid,phase",
        f"a.nii,{ds.PatientID},,,,",
        "b.nii,,,1.2.3,,",
        f"c.nii,,,{study},{series},",
        f"d.nii,{several[0].patient_id},,,,",
    )
    lines = {line["file"]: line for line in site.run(listed, BRAIN)[1]}
    (case,) = site.cases(BRAIN, single[1].series_instance_uid)
    assert lines["a.nii"]["case_id"] == case["case_id"]
    assert lines["b.nii"]["why"] == "nothing it refers to was received here"
    assert lines["c.nii"]["why"] == "what it refers to is here, but is no case of this project"
    assert lines["d.nii"]["why"].startswith("2 cases are meant")
    by_number = table(tmp_path, "file,accession_number", f"a.nii,{ds.AccessionNumber}", "b.nii,NONE")
    found, none = site.run(by_number, BRAIN)[1]
    assert found["case_id"] == case["case_id"] and none["why"] == "nothing it refers to was received here"


def _two_and_one(brains):
    source = cohort.find_real_source(os.environ, Path(__file__).parents[3]) or cohort.phantom_source()
    drawn = cohort.load_cohort(source, seed=3, test=2, validation=2, start=3, pool=2)
    two = next(p for p in drawn.patients if len(p.volumes) == 2)
    one = next(p for p in reversed(drawn.patients) if len(p.volumes) == 1)
    return (two, two.volumes[0]), (one, one.volumes[0])


def _written(single, path: Path) -> Path:
    mask = single[1].load_mask()
    nifti(mask.array, mask.affine_lps).to_filename(path)
    return path


# --- nnU-Net and MSD --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "dataset"),
    [
        ("msd", {"labels": {"0": "background", "1": "Anterior", "2": "Posterior"}, "modality": {"0": "MRI"}}),
        (
            "nnunet",
            {"labels": {"background": 0, "Posterior": 1, "Anterior": 2}, "file_ending": ".nii.gz", "channel_names": {}},
        ),
    ],
)
def test_a_dataset_folder_is_matched_by_the_names_of_its_labels(site, free, tmp_path, kind, dataset) -> None:
    volumes = [next(free), next(free)]
    folder = tmp_path / "Dataset004"
    (folder / "labelsTr").mkdir(parents=True)
    rows = ["case,series_instance_uid"]
    for number, volume in enumerate(volumes):
        mask = volume.load_mask()
        swapped = mask.array if kind == "msd" else np.array([0, 2, 1], np.uint8)[mask.array]
        nifti(swapped, mask.affine_lps).to_filename(folder / "labelsTr" / f"hippo_{number:03}.nii.gz")
        rows.append(f"hippo_{number:03},{volume.series_instance_uid}")
    if kind == "msd":
        dataset["training"] = [
            {"image": "./imagesTr/x.nii.gz", "label": f"./labelsTr/hippo_{n:03}.nii.gz"} for n in (0, 1)
        ]
    (folder / "dataset.json").write_text(json.dumps(dataset))
    lines = site.run(folder, BRAIN, "--table", str(table(tmp_path, *rows)), "--take")[1]
    assert [line["state"] for line in lines] == ["taken", "taken"]
    assert {(s["name"], s["how"]) for s in lines[0]["segments"]} == {("Anterior", "name"), ("Posterior", "name")}
    for line, volume in zip(lines, volumes, strict=True):
        mask = volume.load_mask()
        expected = placed(mask.array, mask.affine_lps, site.volume(line["case_id"]))
        assert (site.label(line["label_version_id"]) == expected).all()


@pytest.mark.parametrize(("typed", "count"), [("y\n", 0), ("yes\n", 1)])
def test_at_a_terminal_it_asks_and_takes_a_typed_yes_only(site, brains, tmp_path, typed, count) -> None:
    volume = list(brains.values())[-1]
    mask = volume.load_mask()
    nifti(mask.array, mask.affine_lps).to_filename(tmp_path / "a.nii")
    listed = table(tmp_path, "file,series_instance_uid", f"a.nii,{volume.series_instance_uid}")
    terminal, program = pty.openpty()
    command = [sys.executable, "-m", "standalone", "labels", "import", str(listed), "--project", BRAIN]
    with subprocess.Popen(
        command, stdin=program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | site.environment
    ) as running:
        os.write(terminal, typed.encode())
        said, _ = running.communicate(timeout=60)
    os.close(terminal)
    os.close(program)
    assert b"Take 1 labels? Type yes:" in said
    (case,) = site.cases(BRAIN, volume.series_instance_uid)
    assert len(site.labels_of(case["case_id"])) == count


def test_no_name_and_no_original_id_is_anywhere(site, brains) -> None:
    assert_nothing_named(site, {"CANARY", *(volume.series_instance_uid for volume in brains.values())})
