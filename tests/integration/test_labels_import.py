"""``radloop labels import`` against real services: every format, voxel for voxel; every refusal, by its reason; no name anywhere."""

import gzip
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import matplotlib.path
import nibabel
import numpy as np
import pydicom
import pytest

from radloop.imaging import Volume, segment_voxels
from standalone.demo import cohort, dicom_series
from standalone.demo.cohort import CohortVolume
from tests.integration.labels_platform import Site, platform, project, segment
from tests.label_files import ct_slices, nifti, saved, structure_set

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[3] / "shared" / "data"))
BRAIN, LIVER, TISSUE = "brain", "liver", "tissue"
OVERLAPS = ("GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with platform(tmp_path_factory.mktemp("site")) as site:
        brain = [segment(1, "anterior", "5366008"), segment(2, "posterior", "5366008")]
        site.configure(BRAIN, project("MR", brain))
        # Values of the project are other ones than the files'.
        liver = [segment(3, "leber", "10200004"), segment(5, "organ", "113343008"), segment(9, "spine", "421060004")]
        site.configure(LIVER, project("CT", liver))
        tissue = [segment(n, name.lower().replace("_", "-"), str(n)) for n, name in enumerate(OVERLAPS, start=11)]
        site.configure(TISSUE, project("CT", tissue, overlapping=True))
        yield site


@pytest.fixture(scope="module")
def brains(site: Site) -> dict[str, CohortVolume]:
    """Volumes that were sent, by name; real ones where they are at hand. The first patient has two."""
    source = cohort.find_real_source(os.environ, Path(__file__).parents[2]) or cohort.phantom_source()
    drawn = cohort.load_cohort(source, seed=3, test=2, validation=2, start=3, pool=2)
    two_first = sorted(drawn.patients, key=lambda patient: -len(patient.volumes))
    for patient in two_first:
        site.send([ds for n, v in enumerate(patient.volumes, 1) for ds in dicom_series.series(patient, v, n)])
    for volume in drawn.volumes:
        site.cases(BRAIN, volume.series_instance_uid)
    return {volume.name: volume for patient in two_first for volume in patient.volumes}


@pytest.fixture(scope="module")
def free(brains: dict[str, CohortVolume]) -> Iterator[CohortVolume]:
    """Gives a volume nobody has brought a label for."""
    return iter(brains.values())


@pytest.fixture
def brain(free: Iterator[CohortVolume]) -> CohortVolume:
    return next(free)


@pytest.fixture(scope="module")
def dicom_seg() -> Path:
    if not DATA.is_dir():
        pytest.skip("no ../shared/data: the SEG of dcmqi's tests are not here")
    return DATA / "dicom_seg"


@pytest.fixture(scope="module")
def ct(site: Site, dicom_seg: Path) -> list[pydicom.Dataset]:
    """The CT that liver.dcm and partial_overlaps.dcm were made on."""
    slices = [pydicom.dcmread(file) for file in sorted((dicom_seg / "ct-3slice").glob("*.dcm"))]
    site.send(slices)
    site.cases(LIVER, slices[0].SeriesInstanceUID)
    site.cases(TISSUE, slices[0].SeriesInstanceUID)
    return slices


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


# --- NIfTI ------------------------------------------------------------------------------------------------------------------


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
    source = cohort.find_real_source(os.environ, Path(__file__).parents[2]) or cohort.phantom_source()
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


# --- DICOM SEG --------------------------------------------------------------------------------------------------------------


def test_a_seg_goes_to_the_case_it_was_made_on_voxel_for_voxel(site, ct, dicom_seg, tmp_path) -> None:
    """Its liver is coded in SNOMED-RT, ours in SNOMED CT and by another name; its value is 1, ours 3."""
    folder = tmp_path / "export"
    shutil.copytree(dicom_seg / "ct-3slice", folder)
    shutil.copy(dicom_seg / "liver.dcm", folder / "CANARY_FILE.dcm")
    code, (line,) = site.run(folder, LIVER, "--take")
    assert (code, line["state"], line["format"]) == (0, "taken", "seg")
    assert line["segments"] == [{"theirs": 1, "name": "Liver", "ours": 3, "how": "code"}]
    assert line["not_annotated"] == ["organ", "spine"]
    mask, affine = read_nrrd(dicom_seg / "liver_seg.nrrd")
    expected = placed((mask == 1).astype(np.uint8) * 3, affine, site.volume(line["case_id"]))
    assert (site.label(line["label_version_id"]) == expected).all() and expected.any()
    (version,) = site.labels_of(line["case_id"])
    states = {s["value"]: s["state"] for s in version["segments"]}
    assert states == {3: "annotated", 5: "not-annotated", 9: "not-annotated"}
    printed = site.table(folder, LIVER)
    assert "3 other files were passed over" in printed and "1 are there already" in printed


def test_overlapping_segments(site, ct, dicom_seg) -> None:
    file = dicom_seg / "partial_overlaps.dcm"
    (line,) = site.run(file, LIVER)[1]
    assert line["state"] == "refused" and "1 GREEN (SCT:85756007): no segment" in line["why"]
    rules = [word for name in OVERLAPS for word in ("--map", f"{name}=organ")]
    rules[1] = "GREEN=spine"
    (line,) = site.run(file, LIVER, *rules)[1]
    assert line["why"].startswith("label-overlap")
    # Where they may overlap, each is read whole.
    (line,) = site.run(file, TISSUE, "--take")[1]
    found = site.label(line["label_version_id"])
    ds = pydicom.dcmread(file)
    painted = dict.fromkeys(range(11, 16), 0)
    for frame, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        painted[int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber) + 10] += int(frame.sum())
    assert {value: int(segment_voxels(found, value).sum()) for value in painted} == painted
    assert sum(painted.values()) > np.count_nonzero(found)


def relabelled(ds: pydicom.Dataset, palette: bool) -> bytes:
    """A label map of 16 bits; numbers above 255; a palette to look at it by; frames from last to first."""
    frames = ds.pixel_array.astype("<u2") * 700
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelData = frames[::-1].tobytes()
    ds.PerFrameFunctionalGroupsSequence = list(ds.PerFrameFunctionalGroupsSequence)[::-1]
    ds.SegmentSequence[1].SegmentNumber = 700
    ds.pop("PixelPaddingValue", None)
    if palette:
        ds.PhotometricInterpretation = "PALETTE COLOR"
        for offset in range(3):
            ds.add_new(0x00281101 + offset, "US", [701, 0, 16])
            ds.add_new(0x00281201 + offset, "OW", bytes(1402))
    return saved(ds)


@pytest.mark.parametrize("name", ["sparse-labelmap-noppv", "sparse-labelmap-ppv5", "16 bits", "palette"])
def test_label_maps(site, dicom_seg, tmp_path, name) -> None:
    stem = name if name.startswith("sparse") else "sparse-labelmap-noppv"
    ds = pydicom.dcmread(dicom_seg / f"{stem}.dcm")
    expected, affine = read_nrrd(dicom_seg / f"{stem.replace('-', '_')}_seg.nrrd")
    _send_what_it_refers_to(site, ds, expected.shape, affine)
    file = tmp_path / "a.dcm"
    file.write_bytes(saved(ds) if name.startswith("sparse") else relabelled(ds, name == "palette"))
    (line,) = site.run(file, LIVER, "--take")[1]
    assert line["state"] in ("taken", "there"), line
    wanted = placed((expected == 1).astype(np.uint8) * 3, affine, site.volume(line["case_id"]))
    assert wanted.any() and (site.label(line["label_version_id"]) == wanted).all()


def _send_what_it_refers_to(site: Site, ds: pydicom.Dataset, shape, affine: np.ndarray) -> None:
    """Make the series a SEG was made on: the images it names, at their places."""
    (series,) = ds.ReferencedSeriesSequence
    uids = [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence]
    uids += [f"1.2.826.55.{k}" for k in range(shape[2])]
    site.send(ct_slices(shape, affine, str(series.SeriesInstanceUID), uids))
    site.cases(LIVER, str(series.SeriesInstanceUID))


def fractional(ds: pydicom.Dataset) -> bytes:
    """The same mask as probabilities of 200 in 250, with a rim of 100."""
    frames = ds.pixel_array.astype(np.uint8) * 200
    frames[:, 0, :20] = 100
    ds.SegmentationType, ds.SegmentationFractionalType, ds.MaximumFractionalValue = "FRACTIONAL", "PROBABILITY", 250
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelData = frames.tobytes()
    return saved(ds)


def test_a_fractional_seg_needs_a_threshold_that_is_said(site, ct, dicom_seg, tmp_path) -> None:
    (tmp_path / "a.dcm").write_bytes(fractional(pydicom.dcmread(dicom_seg / "liver.dcm")))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["why"].startswith("label-values") and "no threshold" in line["why"]
    voxels = {}
    for threshold in ("0.4", "0.41"):
        (line,) = site.run(tmp_path / "a.dcm", LIVER, "--threshold", threshold)[1]
        assert line["differences"][0].startswith("fractional: a voxel counts from")
        voxels[threshold] = line["voxels"]["leber"]
    mask, _ = read_nrrd(dicom_seg / "liver_seg.nrrd")
    assert voxels == {"0.4": int((mask == 1).sum()) + 60, "0.41": int((mask == 1).sum())}


def elsewhere(ds: pydicom.Dataset) -> None:
    for item in ds.ReferencedSeriesSequence:
        item.SeriesInstanceUID = "1.2.3.4"


def off_grid(ds: pydicom.Dataset) -> None:
    for group in ds.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [float(place.ImagePositionPatient[0]) + 0.3, *place.ImagePositionPatient[1:]]


def coarser(ds: pydicom.Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1.6, 1.6]


def unreferenced(ds: pydicom.Dataset) -> None:
    del ds.ReferencedSeriesSequence
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.pop("DerivationImageSequence", None)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (elsewhere, "nothing it refers to was received here"),
        (unreferenced, "it refers to no series and no image"),
        (off_grid, "label-geometry: expected frames whose voxels are the case's voxels"),
        (coarser, "label-geometry: expected frames whose voxels are the case's voxels"),
    ],
)
def test_segs_that_are_refused_say_why(site, ct, dicom_seg, tmp_path, spoil, why) -> None:
    ds = pydicom.dcmread(dicom_seg / "liver.dcm")
    spoil(ds)
    (tmp_path / "a.dcm").write_bytes(saved(ds))
    code, (line,) = site.run(tmp_path / "a.dcm", LIVER, "--take")
    assert (code, line["state"]) == (1, "refused") and line["why"].startswith(why), line["why"]


def test_a_seg_that_names_images_alone_is_found_by_them(site, ct, dicom_seg, tmp_path) -> None:
    ds = pydicom.dcmread(dicom_seg / "liver.dcm")
    del ds.ReferencedSeriesSequence
    (tmp_path / "a.dcm").write_bytes(saved(ds))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["state"] in ("take", "there"), line


def test_what_is_no_whole_label_is_refused_by_ingest(site, ct, dicom_seg) -> None:
    whole = (dicom_seg / "liver.dcm").read_bytes()
    for data, code in (
        (whole[:-900], "label-unreadable"),
        (b"no DICOM", "label-unreadable"),
        (saved(ct[0]), "label-kind"),
    ):
        answer = site.client._send(
            "POST", "/ingest/v1/labels/match", files={"file": ("a", data)}, params={"project_id": LIVER}
        )
        assert (answer.status_code, answer.json()["error"]) == (422, code)


def test_phases_of_one_series_are_told_apart_by_the_images_a_seg_names(site, dicom_seg, tmp_path) -> None:
    shape, affine = (24, 38, 3), np.diag([1.0, 1, 2, 1])
    series = "1.2.826.77"
    uids = [[f"1.2.826.77.{phase}.{k}" for k in range(3)] for phase in (1, 2)]
    slices = [
        ds
        for phase in (0, 1)
        for ds in ct_slices(shape, affine, series, uids[phase], TemporalPositionIdentifier=phase + 1)
    ]
    site.send(slices)
    cases = sorted(site.cases(LIVER, series, 2), key=lambda case: case["phase"])
    disc = [circle(8, 12, 19, 2.0 * k, 40) for k in range(3)]
    for phase in (0, 1):
        of_phase = structure_set(slices[3 * phase : 3 * phase + 3], {1: ("Leber", disc)})
        (tmp_path / "a.dcm").write_bytes(saved(of_phase))
        (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
        assert (line["case_id"], line["phase"]) == (cases[phase]["case_id"], phase)
    (tmp_path / "a.dcm").write_bytes(saved(structure_set(slices, {1: ("Leber", disc)})))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["why"].startswith("2 cases are meant, of phases 0, 1")


# --- RT structure sets ------------------------------------------------------------------------------------------------------

SHAPE = (48, 40, 21)


def circle(radius: float, x: float, y: float, z: float, count: int) -> np.ndarray:
    """Return points of a circle, shape ``(count, 3)``, in mm."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles), np.full(count, z)], axis=1)


def oblique() -> np.ndarray:
    a, b = np.deg2rad(20.0), np.deg2rad(-11.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_y @ np.diag([0.9, 0.8, 1.5])
    affine[:3, 3] = [-31.3, 17.9, -103.7]
    return affine


def in_patient(contours: list[np.ndarray]) -> list[np.ndarray]:
    """Turn contours in mm of the image's own axes into patient coordinates."""
    affine = oblique()
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return [points @ axes.T + affine[:3, 3] for points in contours]


@pytest.fixture(scope="module")
def oblique_ct(site: Site) -> list[pydicom.Dataset]:
    series = "1.2.826.99"
    slices = ct_slices(SHAPE, oblique(), series, [f"{series}.5.{k}" for k in range(SHAPE[2])])
    site.send(slices)
    site.cases(LIVER, series)
    return slices


def centres_mm() -> np.ndarray:
    """Return where each voxel's centre lies along the image's own axes, shape (i, j, k, 3), in mm."""
    return np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1) * [0.9, 0.8, 1.5]


def test_contours_become_the_voxels_whose_centres_they_enclose(site, oblique_ct, tmp_path) -> None:
    """A ball with a hollow, and two cylinders side by side in one region, on an oblique series, by names of the project's."""
    ball, rods = [], []
    for k in range(SHAPE[2]):
        z = 1.5 * k
        for radius in (11.0, 5.0):
            if (left := radius**2 - (z - 15) ** 2) > 0:
                ball.append(circle(np.sqrt(left), 20.3, 16.1, z, 180))
    for k in range(5, 9):
        rods += [circle(3.1, 4.2, 4.4, 1.5 * k, 60), circle(2.3, 37.3, 25.2, 1.5 * k, 60)]
    ds = structure_set(oblique_ct, {4: ("leber", in_patient(ball)), 7: ("CANARY ROI", in_patient(rods))})
    (tmp_path / "a.dcm").write_bytes(saved(ds))

    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert "7 CANARY ROI: no segment of this name or code" in line["why"]
    (line,) = site.run(tmp_path / "a.dcm", LIVER, "--map", "canary roi=spine", "--take")[1]
    assert line["state"] == "taken", line
    assert any("contours within others" in note for note in line["differences"])
    found = site.label(line["label_version_id"])

    # What the shape is.
    from_centre = np.linalg.norm(centres_mm() - [20.3, 16.1, 15], axis=-1)
    shell = (from_centre < 11) & ~(from_centre < 5)
    assert dice(found == 3, shell) >= 0.98
    # What another rasteriser makes of the same contours.
    assert (found == 3)[:, :, :].sum() == rasterised(ball).sum() and (found == 3).sum() > 1000
    assert ((found == 3) == rasterised(ball)).all()
    assert ((found == 9) == rasterised(rods)).all()


def rasterised(contours: list[np.ndarray]) -> np.ndarray:
    """Fill contours in mm of the image's axes with matplotlib; one within another is a hole."""
    region = np.zeros(SHAPE, bool)
    for points in contours:
        k = round(points[0, 2] / 1.5)
        centres = centres_mm()[:, :, k, :2].reshape(-1, 2)
        region[:, :, k] ^= matplotlib.path.Path(points[:, :2], closed=False).contains_points(centres).reshape(SHAPE[:2])
    return region


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(
    ("contours", "options", "why"),
    [
        ([circle(6, 20, 16, 15.5, 30)], {}, "one 0.5 mm from the nearest, of slices 1.5 mm apart"),
        ([circle(6, 20, 16, 150, 30)], {}, "one that reaches 120 mm beyond it"),
        ([circle(30, 20, 16, 15, 30)], {}, "beyond it"),
        ([np.array([[1.0, 1, 15], [9, 9, 15], [9, 1, 18]])], {}, "from the nearest"),
        (
            [circle(6, 20, 16, 15, 30)],
            {"kind": "OPEN_PLANAR"},
            "expected closed planar contours of ROI 1; got OPEN_PLANAR",
        ),
        ([circle(6, 20, 16, 15, 30)[:2]], {}, "contours of three points or more"),
    ],
)
def test_contours_that_are_no_region_of_the_case_are_refused(
    site, oblique_ct, tmp_path, contours, options, why
) -> None:
    ds = structure_set(oblique_ct, {1: ("Leber", in_patient(contours))}, **options)
    (tmp_path / "a.dcm").write_bytes(saved(ds))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["state"] == "refused" and why in line["why"], line["why"]


def test_regions_that_overlap_are_refused_where_segments_may_not(site, oblique_ct, tmp_path) -> None:
    rois = {
        1: ("Leber", in_patient([circle(6, 20, 16, 15, 30)])),
        2: ("spine", in_patient([circle(6, 24, 16, 15, 30)])),
    }
    (tmp_path / "a.dcm").write_bytes(saved(structure_set(oblique_ct, rois)))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["why"].startswith("label-overlap")
    (line,) = site.run(tmp_path / "a.dcm", LIVER, "--map", "spine=")[1]
    assert line["state"] == "take" and "2 spine is left out, as was said" in line["differences"]


# --- nothing of it stays ----------------------------------------------------------------------------------------------------


def test_two_files_of_one_case_are_not_taken_one_over_the_other(site, oblique_ct, tmp_path) -> None:
    for name in ("a.dcm", "b.dcm"):
        ds = structure_set(oblique_ct, {1: ("Leber", in_patient([circle(6, 20, 16, 15, 30)]))})
        (tmp_path / name).write_bytes(saved(ds))
    first, second = site.run(tmp_path, LIVER)[1]
    assert first["state"] == "take" and "another file here is of the same case: a.dcm" in second["why"]


def test_no_name_and_no_original_id_is_anywhere(site, brains, ct, oblique_ct, dicom_seg) -> None:
    """Logs, events, databases, objects: whatever the platform wrote."""
    seg = pydicom.dcmread(dicom_seg / "liver.dcm")
    originals = {ct[0].SeriesInstanceUID, ct[0].StudyInstanceUID, ct[0].SOPInstanceUID, ct[0].AccessionNumber}
    originals |= {seg.SOPInstanceUID, seg.SeriesInstanceUID, seg.get("ContentCreatorName", "Reader1"), "CANARY"}
    originals |= {oblique_ct[0].SOPInstanceUID + "\\", "1.2.826.99.5.", "1.2.826.77.1."}
    originals |= {volume.series_instance_uid for volume in brains.values()}
    wanted = [str(text).encode() for text in originals if text]
    read = 0
    for file in site.layout.folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            read += 1
            assert [text for text in wanted if text in data] == [], file.name
    assert read > 20 and (site.layout.folder / "events.db").exists()
