"""What a project may become, and that it stays data."""

from dataclasses import replace

import pytest

from control_plane.domain.configuration import Member, MemberRole, RoutingRule
from control_plane.domain.data_only import check_data_only
from control_plane.domain.project import Project, check_may_appoint
from radloop.errors import Conflict, Forbidden, Invalid


def test_the_same_settings_are_the_same_version(settings):
    project = Project.new("p", settings)
    assert project.changed_to(replace(settings)) is project
    changed = project.changed_to(replace(settings, segments=settings.segments[:1]))
    assert (changed.version, changed.changed_to(settings).version) == (2, 3)


def test_a_retired_value_keeps_its_meaning(settings, make_segment):
    one, two = settings.segments
    project = Project.new("p", settings).changed_to(replace(settings, segments=(one,)))
    assert project.segments_ever == (one, two)
    with pytest.raises(Conflict, match="segment-value-reused"):
        project.changed_to(replace(settings, segments=(one, make_segment(2, "amygdala"))))
    with pytest.raises(Conflict, match="segment-value-reused"):
        project.changed_to(replace(settings, segments=(one, make_segment(2, "posterior", "OTHER"))))
    with pytest.raises(Conflict, match="segment-renumbered"):
        project.changed_to(replace(settings, segments=(one, make_segment(3, "posterior"))))
    assert project.changed_to(settings).version == 3
    assert project.changed_to(replace(settings, segments=(one, make_segment(3, "amygdala")))).version == 3


def test_whether_segments_overlap_never_changes_and_takes_32_values(settings, make_segment):
    overlapping = replace(settings, overlapping_segments=True)
    with pytest.raises(Conflict, match="overlap-fixed"):
        Project.new("p", settings).changed_to(overlapping)
    last = replace(overlapping, segments=(*settings.segments, make_segment(32, "amygdala")))
    assert Project.new("p", overlapping).changed_to(last).version == 2
    with pytest.raises(Invalid, match="segment-value-no-bit"):
        Project.new("p", replace(overlapping, segments=(*settings.segments, make_segment(33, "amygdala"))))


def test_a_colour_may_change_and_back(settings):
    one, two = settings.segments
    project = Project.new("p", settings)
    painted = project.changed_to(replace(settings, segments=(replace(one, color="#ffffff"), two)))
    assert painted.changed_to(settings).version == 3


def test_what_contradicts_itself_is_refused(settings):
    one, two = settings.segments
    for broken in (
        replace(settings, segments=(one, replace(two, value=1))),
        replace(settings, segments=(one, replace(two, color=one.color.upper()))),
        replace(settings, routing=(RoutingRule("", "", "", ""),)),
        replace(settings, split=replace(settings.split, validation_fraction=0.5, test_fraction=0.5)),
        replace(settings, selection=replace(settings.selection, batch_size=201)),
        replace(settings, members=settings.members * 2),
    ):
        with pytest.raises(Invalid):
            Project.new("p", broken)


@pytest.mark.parametrize(
    "text",
    [
        "_target_", "monai _target_ x", "$x", "a $import", "@net", "%include", "`id`", "{{x}}",
        "/etc/passwd", "~root", "./x", ".hidden", "..", "a/../b", "a\\b", "C:temp", "file://x", "a/b/c", "conf/x.yaml",
        "line\nbreak", "\x00",
    ],
)  # fmt: skip
def test_code_and_paths_are_refused(text):
    with pytest.raises(Invalid) as refused:
        check_data_only({"deep": [{"inside": text}]})
    assert refused.value.code == "not-data"
    assert "deep[0].inside" in refused.value.got
    assert text not in str(refused.value) or len(text) < 3


@pytest.mark.parametrize(
    "text", ["", "T1/T2", "Hippocampus, anterior part", "anna@example.org", "a-b_c", "50%", "auth0|7"]
)
def test_words_are_accepted(text):
    check_data_only({"inside": text, "number": 1, "none": None, "flag": True})


def test_code_as_a_key_is_refused():
    with pytest.raises(Invalid):
        check_data_only({"training": {"_target_": "x"}})


def test_only_an_administrator_appoints_administrators(settings):
    more = replace(settings, members=(*settings.members, Member("dora", MemberRole.SITE_ADMIN)))
    with pytest.raises(Forbidden):
        check_may_appoint(settings, more, site_admin=False)
    with pytest.raises(Forbidden):
        check_may_appoint(None, more, site_admin=False)
    check_may_appoint(settings, more, site_admin=True)
    check_may_appoint(more, replace(more, overlapping_segments=True), site_admin=False)
