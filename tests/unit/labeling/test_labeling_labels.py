"""Label versions: made once, said once; and when an array is a label at all."""

import dataclasses

import numpy as np
import pytest

from labeling.domain.labels import (
    Change,
    as_mask,
    check_geometry,
    label_values,
    segment_states,
    voxel_changes,
)
from labeling.domain.messages import BeginUpload, EdgeCaseReported, ImportLabel, LabelSubmitted, ReportCase, UploadSwept
from labeling.domain.vocabulary import LabelSource, Reading, ReportReason
from radloop.errors import Conflict, Invalid
from radloop.imaging import Volume, bits_of, voxel_counts
from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus

A, B, N = SegmentState.ANNOTATED, SegmentState.ABSENT, SegmentState.NOT_ANNOTATED


def test_a_submission_says_all_that_the_contract_wants(world, ada) -> None:
    (task_id,) = world.ready()
    held = world.take(ada)
    (said,) = world.submit(ada, held, "v1", started_from_model=True)
    assert said == LabelSubmitted(
        label_version_id="v1",
        task_id=task_id,
        case_id="c1",
        study_key="s1",
        project_id="p",
        project_version=1,
        reader="reader-ada",
        source=LabelSource.READER,
        reading=Reading.FIRST,
        mask=ObjectRef("labeling/s1/c1/v1.nii", "sha256:1", 10),
        segments=(SegmentStatus(1, A), SegmentStatus(2, B)),
        started_from_model=True,
        prediction_id="pred-c1",
        round_id="round-1",
        arm=Arm.MINED,
        attempt=1,
        active_time_s=12.0,
    )


def test_the_same_submission_again_is_the_same_label(world, ada) -> None:
    world.ready()
    held = world.take(ada)
    world.submit(ada, held, "v1")
    assert world.submit(ada, held, "v1") == []
    world.clock.pass_(10_000)
    assert world.submit(ada, held, "v1") == []
    assert len(world.uow.labels.rows) == 1
    with pytest.raises(Conflict, match="task-closed"):
        world.submit(ada, held, "v2")


def test_somebody_elses_submission_is_not_mine(world, ada, ben) -> None:
    world.ready()
    held = world.take(ada)
    world.submit(ada, held, "v1")
    with pytest.raises(Conflict):
        world.submit(ben, held, "v1")


def test_an_import_says_where_it_came_from_and_is_taken_once(world, ada) -> None:
    world.hear(world.project(), world.study())
    mask = ObjectRef("labeling/s1/c1/i1.nii", "sha256:1", 10)
    command = ImportLabel("i1", "c1", "p", ada, mask, (SegmentStatus(1, A), SegmentStatus(2, B)), 1)
    world.do(BeginUpload(mask.key, "s1"))
    (said,) = world.do(command)
    assert world.do(command) == []
    assert (said.source, said.reading, said.arm, said.task_id, said.attempt) == (
        LabelSource.IMPORT,
        "none",
        None,
        "",
        1,
    )
    with pytest.raises(Invalid, match="project-mismatch"):
        world.do(dataclasses.replace(command, label_version_id="i2", project_id="q"))


def test_a_report_keeps_its_note_here(world, ada) -> None:
    world.hear(world.project(), world.study())
    command = ReportCase("r1", "c1", ada, ReportReason.RARE_FINDING, "call Jane Roe")
    (said,) = world.do(command)
    assert world.do(command) == []
    assert said == EdgeCaseReported("r1", "c1", "s1", "p", ReportReason.RARE_FINDING, "reader-ada", "r1")
    assert world.uow.reports.get("r1").note == "call Jane Roe"
    assert [entry.note for entry in world.uow.history.rows if entry.note] == ["call Jane Roe"]
    assert "Jane" not in repr(world.said) + repr(world.uow.audit_entries)


def test_an_upload_is_announced_until_a_label_refers_to_it(world, ada) -> None:
    world.ready()
    held = world.take(ada)
    for key in ("labeling/s1/c1/v1.nii", "labeling/s1/c1/lost.nii"):
        world.do(BeginUpload(key, "s1"))
    world.submit(ada, held, "v1")
    assert list(world.uow.uploads.rows) == ["labeling/s1/c1/lost.nii"]
    world.do(UploadSwept("labeling/s1/c1/lost.nii"))
    assert world.uow.uploads.rows == {}
    world.hear(world.withdrawal())
    with pytest.raises(Conflict, match="study-withdrawn"):
        world.do(BeginUpload("labeling/s1/c1/v2.nii", "s1"))


def test_what_readers_do_is_audited(world, ada) -> None:
    world.ready()
    held = world.take(ada)
    world.submit(ada, held, "v1")
    assert [(who, what) for who, what, _ in world.uow.audit_entries] == [
        ("ada", "task-taken"),
        ("ada", "label-submitted"),
    ]


# --- when is an array a label -----------------------------------------------------------------------------------------------


@pytest.fixture
def case(world):
    world.hear(world.project(), world.study())
    return world.uow.cases.get("c1")


@pytest.fixture
def project(world, case):
    return world.uow.projects.get("p")


AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def shifted(mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] = mm
    return affine


@pytest.mark.parametrize(
    "shape, affine, fits",
    [
        ((4, 3, 2), AFFINE, True),
        ((4, 3, 2), shifted(0.0009), True),
        ((4, 3, 2), shifted(0.0011), False),
        ((4, 3, 2), shifted(float("nan")), False),
        ((3, 4, 2), AFFINE, False),
        ((4, 3, 3), AFFINE, False),
        # The same corner, but mirrored: the far corner is elsewhere.
        ((4, 3, 2), np.diag([-1.0, 1.0, 2.0, 1.0]), False),
        ((4, 3, 2), np.diag([1.0004, 1.0, 2.0, 1.0]), False),
    ],
)
def test_geometry(case, shape, affine, fits) -> None:
    volume = Volume(np.zeros(shape, np.uint8), affine)
    if fits:
        check_geometry(volume, case)
    else:
        with pytest.raises(Invalid, match="label-geometry"):
            check_geometry(volume, case)


@pytest.mark.parametrize(
    "array, code",
    [
        (np.array([0, 1, 2], np.int16), None),
        (np.array([0.0, 2.0], np.float64), None),
        (np.zeros(3, np.uint8), None),
        (np.array([0, 3], np.uint8), "label-value-unknown"),
        (np.array([0.0, 0.5]), "label-values"),
        (np.array([0.0, np.nan]), "label-values"),
        (np.array([-1, 0], np.int8), "label-values"),
        (np.array([0, 256], np.uint16), "label-values"),
        (np.array([True, False]), "label-values"),
        (np.array([1j]), "label-values"),
        (np.zeros(2, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), "label-values"),
    ],
)
def test_values(project, array, code) -> None:
    if code is None:
        values = label_values(array, project)
        assert values.dtype == np.uint8
        assert (values == array).all()
    else:
        with pytest.raises(Invalid) as refused:
            label_values(array, project)
        assert refused.value.code == code


def test_unknown_values_are_refused_with_the_known_ones_listed(project) -> None:
    with pytest.raises(Invalid) as refused:
        label_values(np.array([0, 1, 7, 9], np.uint8), project)
    assert "1 anterior, 2 posterior" in refused.value.expected
    assert refused.value.got == "values 7, 9"


@pytest.mark.parametrize(
    "present, stated, states",
    [
        ([1, 2], [], [A, A]),
        ([1], [], [A, B]),
        # Empty although always present: a reader's answer; QA sees it by the state.
        ([], [], [B, B]),
        ([], [(1, A)], [A, B]),
        ([1], [(2, N)], [A, N]),
        ([1], [(2, B), (1, A)], [A, B]),
    ],
)
def test_states(project, present, stated, states) -> None:
    array = np.array([0, *present], np.uint8)
    found = segment_states(array, project, [SegmentStatus(*pair) for pair in stated])
    assert found == tuple(SegmentStatus(value, state) for value, state in zip((1, 2), states, strict=True))


@pytest.mark.parametrize(
    "stated, code",
    [
        ([(3, A)], "segment-unknown"),
        ([(1, A), (1, A)], "segment-repeated"),
        ([(1, B)], "segment-contradiction"),
        ([(1, N)], "segment-contradiction"),
    ],
)
def test_states_that_cannot_be(project, stated, code) -> None:
    with pytest.raises(Invalid) as refused:
        segment_states(np.array([0, 1], np.uint8), project, [SegmentStatus(*pair) for pair in stated])
    assert refused.value.code == code


# --- where segments overlap -------------------------------------------------------------------------------------------------


@pytest.fixture
def overlapping(project):
    """Segments 1 and 32: the first and the last bit."""
    first, second = project.segments
    return dataclasses.replace(
        project, overlapping_segments=True, segments=(first, dataclasses.replace(second, value=32))
    )


BOTH = 2**31 + 1
"""A voxel of segments 1 and 32."""


def bits(*voxels: int) -> np.ndarray:
    return np.array(voxels, np.uint32)


@pytest.mark.parametrize(
    "array, expected",
    [
        (bits(0, 1, 2**31, BOTH), bits(0, 1, 2**31, BOTH)),
        (np.array([0, 1, 32], np.uint8), bits(0, 1, 2**31)),
        (np.array([0, 1, 32], np.int64), bits(0, 1, 2**31)),
        (np.array([0.0, 32.0]), bits(0, 2**31)),
    ],
)
def test_bits_and_label_maps_become_bits(overlapping, array, expected) -> None:
    found = label_values(array, overlapping)
    assert found.dtype == np.uint32
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "array, code, got",
    [
        (bits(BOTH, 0b110), "label-value-unknown", "values 2, 3"),
        (np.array([0, 200], np.uint8), "label-value-unknown", "value 200"),
        (np.array([0, 256], np.uint16), "label-values", "above 255"),
        (np.array([0.5]), "label-values", "fractions"),
    ],
)
def test_bits_and_values_that_no_segment_has(overlapping, array, code, got) -> None:
    with pytest.raises(Invalid) as refused:
        label_values(array, overlapping)
    assert refused.value.code == code
    assert got in refused.value.got


def test_a_models_label_map_is_of_the_projects_kind(project, overlapping) -> None:
    label_map = np.array([0, 2, 1], np.uint8)
    assert as_mask(label_map, project) is label_map
    assert np.array_equal(as_mask(label_map, overlapping), bits(0, 2, 1))
    own = bits(BOTH, 0)
    assert as_mask(own, overlapping) is own
    with pytest.raises(Invalid, match="segment-value-no-bit"):
        as_mask(np.array([33], np.uint8), overlapping)


def test_states_of_segments_that_overlap(overlapping) -> None:
    assert segment_states(bits(0, BOTH), overlapping) == (SegmentStatus(1, A), SegmentStatus(32, A))
    assert segment_states(bits(0, 2**31), overlapping) == (SegmentStatus(1, B), SegmentStatus(32, A))
    with pytest.raises(Invalid, match="segment-contradiction"):
        segment_states(bits(BOTH), overlapping, [SegmentStatus(32, N)])


def test_a_voxel_counts_for_each_of_its_segments() -> None:
    assert voxel_counts(bits(0, 1, 1, BOTH)) == {1: 3, 32: 1}
    assert voxel_counts(bits(0, 0)) == voxel_counts(np.zeros(3, np.uint8)) == {}
    before, after = bits(0, 1, BOTH, BOTH, 1), bits(BOTH, 1, 1, BOTH, 2**31)
    assert voxel_changes(before, after) == {1: Change(1, 1), 32: Change(2, 1)}
    assert voxel_changes(before, before) == {}


def test_a_label_map_counts_and_changes_as_its_bits_do() -> None:
    before, after = np.random.default_rng(3).integers(0, 5, (2, 7, 6, 5)).astype(np.uint8)
    assert voxel_counts(before) == {value: int((before == value).sum()) for value in range(1, 5)}
    assert voxel_counts(bits_of(before)) == voxel_counts(before)
    assert voxel_changes(bits_of(before), bits_of(after)) == voxel_changes(before, after)
