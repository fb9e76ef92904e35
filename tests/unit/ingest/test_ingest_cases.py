"""Which cases a study becomes, and what their manifests say."""

import dataclasses

import numpy as np
import pytest

from ingest.domain.cases import SeriesInHand, assemble_volume, manifest, plan
from ingest.domain.messages import PhaseRule, RoutingRule
from ingest.domain.model import Instance
from ingest.domain.reasons import RejectReason
from ingest.domain.routing import RoutingAttributes
from radloop.references import ObjectRef

REF = ObjectRef("ingest/s/instances/x.dcm", "sha256:0", 1)


@pytest.fixture
def series(header):
    def make(key="2.25.1", positions=(0.0, 1.5, 3.0), modality="MR", phases=1, **changes):
        instances = tuple(
            Instance(
                sop_key=f"{key}.{phase}.{index}",
                series_key=key,
                study_key="2.25.9",
                object=dataclasses.replace(REF, key=f"{key}-{phase}-{index}"),
                header=header(
                    position_lps_mm=(0.0, 0.0, z),
                    modality=modality,
                    numbers={"trigger-time-ms": float(phase)},
                    **changes,
                ),
            )
            for phase in range(phases)
            for index, z in enumerate(positions)
        )
        return SeriesInHand(key, RoutingAttributes("AE", modality, "", ""), instances, len(instances))

    return make


def test_one_case_for_each_project_that_wants_the_series(series, project):
    projects = [project(), project(project_id="ct", routing=(RoutingRule("", "CT", "", ""),)), project(project_id="zz")]
    made = plan("2.25.9", "site-1", [series()], projects, frozenset())
    assert [case.project_id for case in made.cases] == ["hippocampus", "zz"]
    assert not made.refusals
    assert len({case.case_id for case in made.cases}) == 2
    again = plan("2.25.9", "site-1", [series()], projects, frozenset())
    assert [case.case_id for case in made.cases] == [case.case_id for case in again.cases]


@pytest.mark.parametrize(("rule", "cases", "channels"), [(PhaseRule.SPLIT, [0, 1, 2], 1), (PhaseRule.CHANNELS, [0], 3)])
def test_phases(series, project, rule, cases, channels):
    made = plan("2.25.9", "site-1", [series(phases=3)], [project(phases=rule)], frozenset())
    assert [case.phase for case in made.cases] == cases
    assert all(len(case.channels) == channels and case.phase_count == 3 for case in made.cases)
    assert len({case.case_id for case in made.cases}) == len(cases)


def test_no_project(series, project):
    made = plan("2.25.9", "site-1", [series(modality="CT"), series("2.25.2", modality="CT")], [project()], frozenset())
    (refusal,) = made.refusals
    assert (refusal.reason, refusal.series_key, refusal.instance_count) == (RejectReason.NO_PROJECT, "", 6)
    assert not made.cases


def test_a_series_nobody_wants_is_passed_over_beside_one_that_is_wanted(series, project):
    localizer = series("2.25.2", modality="CT", positions=(0.0, 1.0, 7.3))
    made = plan("2.25.9", "site-1", [series(), localizer], [project()], frozenset())
    assert len(made.cases) == 1 and not made.refusals


def test_late_series_nobody_wants_is_passed_over(series, project):
    formed = frozenset({("hippocampus", "2.25.1")})
    made = plan("2.25.9", "site-1", [series("2.25.2", modality="CT")], [project()], formed)
    assert not made.cases and not made.refusals


def test_a_broken_series_is_refused_once_whoever_wants_it(series, project):
    projects = [project(), project(project_id="zz")]
    made = plan("2.25.9", "site-1", [series(positions=(0.0, 1.0, 3.0))], projects, frozenset())
    (refusal,) = made.refusals
    assert (refusal.reason, refusal.instance_count) == (RejectReason.MISSING_SLICES, 3)


def test_slices_that_come_after_their_case(series, project):
    late = dataclasses.replace(series(), new_count=2)
    made = plan("2.25.9", "site-1", [late], [project()], frozenset({("hippocampus", "2.25.1")}))
    (refusal,) = made.refusals
    assert (refusal.reason, refusal.instance_count) == (RejectReason.UNSUPPORTED, 2)
    assert not made.cases


def test_a_project_that_came_between_takes_the_whole_late_series(series, project):
    late = dataclasses.replace(series(), new_count=1)
    formed = frozenset({("hippocampus", "2.25.1")})
    made = plan("2.25.9", "site-1", [late], [project(), project(project_id="zz")], formed)
    assert [case.project_id for case in made.cases] == ["zz"]
    assert [refusal.reason for refusal in made.refusals] == [RejectReason.UNSUPPORTED]


def test_volume_has_columns_rows_slices(series, project):
    in_hand = series(positions=(3.0, 0.0, 1.5))
    (case,) = plan("2.25.9", "site-1", [in_hand], [project()], frozenset()).cases
    frames = [np.arange(24, dtype=np.uint16).reshape(4, 6) + 100 * number for number in range(3)]
    ((_, stack),) = case.channels
    volume = assemble_volume(frames, in_hand, stack)
    assert volume.array.shape == (6, 4, 3)
    # Column 5, row 2 of the slice at 1.5 mm, which is frame 2.
    assert volume.array[5, 2, 1] == 200 + 2 * 6 + 5
    assert volume.array.T.flags.c_contiguous


def test_manifest(series, project):
    in_hand = series(positions=(3.0, 0.0))
    (case,) = plan("2.25.9", "site-1", [in_hand], [project()], frozenset()).cases
    made = manifest(case, [ObjectRef("v", "sha256:1", 9)], (6, 4, 2))
    assert made["affine_lps"] == [3, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1]
    assert (made["shape"], made["quantity"], made["modality"]) == ([6, 4, 2], "arbitrary", "MR")
    assert made["slices"] == made["channels"][0]["slices"]
    assert [one["sop_instance_uid"] for one in made["slices"]] == ["2.25.1.0.1", "2.25.1.0.0"]
    assert made["slices"][0]["object"] == {"key": "2.25.1-0-1", "digest": "sha256:0", "size_bytes": 1}
    assert made["slices"][0]["frame"] == 1
    assert made["channels"][0]["volume"] == {"key": "v", "digest": "sha256:1", "size_bytes": 9}
