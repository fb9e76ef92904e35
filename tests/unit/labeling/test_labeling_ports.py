"""One contract for the fakes and for SQL: what the handlers rely on holds for both."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labeling.adapters.sql import LabelingUnitOfWork
from labeling.adapters.tables import metadata
from labeling.adapters.wire import WIRE
from labeling.domain.messages import Reader
from labeling.domain.model import (
    Action,
    Approval,
    DraftEntry,
    HistoryEntry,
    LabelVersion,
    Prediction,
    Report,
    Return,
)
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import FlagReason, LabelSource, Reading, ReturnReason, SkipReason
from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus
from radloop.sql import Database
from radloop.testing import assert_migrations_match
from radloop.testing.databases import ENGINES

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
ME = Reader("reader-me", "me", may_read=True)
BOTH = dataclasses.replace(ME, may_adjudicate=True)
REF = ObjectRef("labeling/s/c/v.nii", "sha256:1", 10)


@pytest.fixture(params=["fake", *ENGINES])
def uow(request, make_database, world) -> Iterator[Any]:
    if request.param == "fake":
        yield world.uow
        return
    database = Database(make_database(request.param), "labeling")
    database.migrate("labeling.adapters.migrations")
    with LabelingUnitOfWork(database, WIRE, source="/test") as uow:
        yield uow
    database.close()


def task(task_id: str, **changes: Any) -> Task:
    made = Task(task_id, f"case-{task_id}", "s", "p", Reading.FIRST, NOW, round_number=1)
    return dataclasses.replace(made, **changes)


def label(label_version_id: str, **changes: Any) -> LabelVersion:
    made = LabelVersion(
        label_version_id=label_version_id,
        task_id="t",
        case_id="c",
        study_key="s",
        project_id="p",
        project_version=1,
        reader="reader-me",
        source=LabelSource.READER,
        reading=Reading.FIRST,
        mask=REF,
        segments=(SegmentStatus(1, SegmentState.ANNOTATED), SegmentStatus(2, SegmentState.NOT_ANNOTATED)),
        started_from_model=True,
        prediction_id="pred",
        round_id="r",
        arm=None,
        attempt=1,
        active_time_s=1.5,
        made_at=NOW,
    )
    return dataclasses.replace(made, **changes)


def test_a_task_comes_back_as_it_went(uow) -> None:
    full = task(
        "t1",
        state=TaskState.LEASED,
        round_id="r",
        rank=3,
        arm=Arm.CONTROL,
        flag_reasons=(FlagReason.RANDOM, FlagReason.UNCERTAIN),
        show_proposal=True,
        prediction_id="pred",
        review_id="review",
        label_version_ids=("a", "b"),
        excluded_readers=("x", "y"),
        reader="reader-me",
        lease_id="lease",
        lease_expires_at=NOW + timedelta(seconds=60.25),
        attempt=2,
        returned=(ReturnReason.HOLES,),
        skip_reason=SkipReason.NO_TIME,
    )
    uow.tasks.add(full)
    assert uow.tasks.get("t1") == full
    assert uow.tasks.get("t2") is None
    found = uow.tasks.get("t1")
    found.state, found.lease_expires_at = TaskState.SUBMITTED, None
    found.excluded_readers = (*found.excluded_readers, "z")
    uow.tasks.save(found)
    assert uow.tasks.get("t1") == found
    assert [t.task_id for t in uow.tasks.of_study("s")] == ["t1"]
    assert [t.task_id for t in uow.tasks.of_case("case-t1")] == ["t1"]


def test_what_a_reader_may_take_and_in_which_order(uow) -> None:
    for made in (
        task("late", round_number=2),
        task("rank2", rank=2),
        task("rank1", rank=1),
        task("elsewhere", project_id="q"),
        task("adjudication", reading=Reading.ADJUDICATION, round_number=9),
        task("excluded", excluded_readers=("reader-me",)),
        task("answered", case_id="c"),
        task("in-hand", case_id="held-case"),
        task("held", case_id="held-case", state=TaskState.LEASED, reader="reader-me", lease_expires_at=NOW),
        task("closed", state=TaskState.APPROVED),
    ):
        uow.tasks.add(made)
    uow.labels.add(label("v", task_id="another"))
    seen = []
    while found := uow.tasks.takeable("p", BOTH):
        seen.append(found.task_id)
        found.state = TaskState.SUBMITTED
        uow.tasks.save(found)
    assert seen == ["adjudication", "rank1", "rank2", "late"]
    assert uow.tasks.takeable("p", dataclasses.replace(ME, may_read=False)) is None


def test_what_waits_for_a_reader(uow) -> None:
    uow.tasks.add(task("b", state=TaskState.RETURNED, reader="reader-me", rank=2))
    uow.tasks.add(task("a", state=TaskState.RETURNED, reader="reader-me", rank=1))
    uow.tasks.add(task("other", state=TaskState.RETURNED, reader="reader-you"))
    adjudication = task("adj", state=TaskState.RETURNED, reader="reader-me", reading=Reading.ADJUDICATION)
    uow.tasks.add(adjudication)
    assert uow.tasks.returned_to("p", ME).task_id == "a"
    assert uow.tasks.returned_to("p", BOTH).task_id == "adj"
    assert uow.tasks.returned_to("q", ME) is None


def test_leases_in_hand_and_run_out(uow) -> None:
    soon, later = NOW + timedelta(seconds=5), NOW + timedelta(seconds=50)
    uow.tasks.add(task("a", state=TaskState.LEASED, reader="reader-me", lease_expires_at=soon))
    uow.tasks.add(task("b", state=TaskState.LEASED, reader="reader-you", lease_expires_at=later))
    assert uow.tasks.held_in("p", "reader-me", NOW).task_id == "a"
    assert uow.tasks.held_in("p", "reader-me", soon) is None
    assert [t.task_id for t in uow.tasks.expired(soon, 10)] == ["a"]
    assert len(uow.tasks.expired(later, 1)) == 1


def test_what_a_new_round_supersedes(uow) -> None:
    for made in (
        task("old", round_number=1),
        task("cold", round_number=0, arm=Arm.COLD_START),
        task("reported", round_number=0, arm=Arm.REPORTED),
        task("second", reading=Reading.SECOND),
        task("drafted"),
        task("held", state=TaskState.LEASED, reader="reader-me", lease_expires_at=NOW),
        task("new", round_number=2),
        task("elsewhere", project_id="q"),
    ):
        uow.tasks.add(made)
    uow.drafts.append("drafted", "reader-you", [DraftEntry(1, "{}", NOW)])
    assert {t.task_id for t in uow.tasks.outdated("p", 2)} == {"old", "cold"}


def test_labels(uow) -> None:
    uow.labels.add(label("v1"))
    uow.labels.add(label("v2", attempt=2, arm=Arm.MINED, made_at=NOW + timedelta(seconds=1)))
    assert uow.labels.get("v1") == label("v1")
    assert uow.labels.get("no") is None
    assert uow.labels.newest_of_task("t").label_version_id == "v2"
    assert uow.labels.newest_of_task("no") is None
    assert [found.label_version_id for found in uow.labels.of_case("c")] == ["v1", "v2"]
    assert uow.labels.read_elsewhere("c", "reader-me", "other")
    assert not uow.labels.read_elsewhere("c", "reader-me", "t")
    assert not uow.labels.read_elsewhere("c", "reader-you", "other")


def test_drafts(uow) -> None:
    assert (uow.drafts.last("t", "r"), uow.drafts.any("t")) == (0, False)
    first, second = DraftEntry(1, '"ä"', NOW), DraftEntry(2, "2", NOW)
    uow.drafts.append("t", "r", [first])
    uow.drafts.append("t", "r", [second])
    assert uow.drafts.last("t", "r") == 2
    assert list(uow.drafts.entries("t", "r", 0, 10)) == [first, second]
    assert list(uow.drafts.entries("t", "r", 1, 10)) == [second]
    assert list(uow.drafts.entries("t", "r", 0, 1)) == [first]
    assert uow.drafts.any("t") and uow.drafts.last("t", "another") == 0
    assert uow.drafts.last_of(["t", "u"], "r") == {"t": 2} and uow.drafts.last_of([], "r") == {}


def test_all_else(uow, world) -> None:
    project, case = projects_and_cases(world)
    uow.projects.put(project)
    uow.projects.put(dataclasses.replace(project, version=2))
    assert uow.projects.get("p") == dataclasses.replace(project, version=2)
    uow.projects.round_heard("p", 4)
    uow.projects.round_heard("p", 2)
    uow.projects.put(project)
    assert uow.projects.newest_round("p") == 4
    uow.cases.add(case)
    assert uow.cases.get(case.case_id) == case
    prediction = Prediction("pred", "c", "s", REF)
    uow.predictions.add(prediction)
    uow.predictions.add(dataclasses.replace(prediction, case_id="other"))
    assert uow.predictions.get("pred") == prediction
    assert uow.predictions.several(["pred", "none"]) == {"pred": prediction}
    assert uow.cases.several([case.case_id, "none"]) == {case.case_id: case} and uow.cases.several([]) == {}
    approval = Approval("review", "v1", "c", "t", "r")
    uow.verdicts.approve(approval)
    assert list(uow.verdicts.approvals("c")) == [approval]
    uow.verdicts.return_(Return("review", "v1", (ReturnReason.HOLES,)))
    assert uow.verdicts.returned("review", "v1") and not uow.verdicts.returned("review", "v2")
    report = Report("rep", "c", "s", "reader-me", "other", "note")
    uow.reports.add(report)
    assert uow.reports.get("rep") == report
    entry = HistoryEntry("c", NOW, Action.TAKEN, "reader-me", "t", "", "")
    uow.history.add(entry)
    assert list(uow.history.of_case("c")) == [entry]
    uow.uploads.begin("k", "s", NOW)
    assert uow.uploads.abandoned(NOW) is None
    assert uow.uploads.abandoned(NOW + timedelta(seconds=1)) == "k"
    assert uow.uploads.end("k") and not uow.uploads.end("k")
    assert uow.uploads.abandoned(NOW + timedelta(seconds=1)) is None


def projects_and_cases(world) -> tuple[Any, Any]:
    """Return a project and a case as the handlers keep them."""
    other = type(world)()
    other.hear(other.project(), other.study())
    return other.uow.projects.get("p"), other.uow.cases.get("c1")


def test_withdrawal(uow) -> None:
    uow.tasks.add(task("t", case_id="c"))
    uow.labels.add(label("v"))
    uow.predictions.add(Prediction("pred", "c", "s", REF))
    uow.reports.add(Report("rep", "c", "s", "reader-me", "other", "note"))
    uow.drafts.append("t", "r", [DraftEntry(1, "1", NOW)])
    assert not uow.studies.withdrawn("s") and uow.studies.to_purge() is None
    uow.studies.withdraw("s")
    assert uow.studies.withdrawn("s") and uow.studies.to_purge() == "s"
    assert uow.labels.get("v") is uow.predictions.get("pred") is uow.reports.get("rep") is None
    assert uow.drafts.last("t", "r") == 0
    assert uow.tasks.get("t") is not None
    uow.studies.purged("s")
    assert uow.studies.to_purge() is None and uow.studies.withdrawn("s")


def test_the_migrations_make_these_tables(database_url: str) -> None:
    assert_migrations_match(database_url, "labeling", "labeling.adapters.migrations", metadata)


def test_leases_that_last_too_long(uow) -> None:
    for name, seconds in (("near", 10), ("far", 20)):
        expires_at = NOW + timedelta(seconds=seconds)
        uow.tasks.add(task(name, state=TaskState.LEASED, reader="reader-me", lease_expires_at=expires_at))
        uow.tasks.add(task(f"q-{name}", project_id="q", state=TaskState.LEASED, lease_expires_at=expires_at))
    uow.tasks.add(task("open"))
    assert [t.task_id for t in uow.tasks.leased_beyond("p", NOW + timedelta(seconds=10))] == ["far"]


def test_what_was_only_saved_is_no_answer(uow) -> None:
    uow.labels.add(label("answer"))
    uow.labels.add(label("saved", attempt=2, saved=True, made_at=NOW + timedelta(seconds=1)))
    uow.labels.add(label("elsewhere", task_id="other", case_id="c2", saved=True))
    assert uow.labels.get("saved").saved
    assert uow.labels.newest_of_task("t").label_version_id == "answer"
    assert [n.label_version_id for n in uow.labels.versions_of_task("t")] == ["answer", "saved"]
    assert [n.label_version_id for n in uow.labels.of_case("c")] == ["answer"]
    assert uow.labels.read_elsewhere("c", "reader-me", "another")
    assert not uow.labels.read_elsewhere("c2", "reader-me", "another")
    uow.tasks.add(task("free", case_id="c2"))
    uow.tasks.add(task("read", case_id="c"))
    assert uow.tasks.takeable("p", ME).task_id == "free"


def test_the_newest_prediction_is_the_one_heard_last(uow) -> None:
    assert uow.predictions.newest_of_case("c") is None
    map_ref = ObjectRef("inference/s/c/entropy.nii", "sha256:2", 20)
    for prediction_id in ("z", "a"):
        uow.predictions.add(Prediction(prediction_id, "c", "s", REF, map_ref if prediction_id == "a" else None))
    uow.predictions.add(Prediction("z", "c", "s", REF, None))
    assert uow.predictions.newest_of_case("c") == Prediction("a", "c", "s", REF, map_ref)
    assert uow.predictions.get("z").uncertainty is None


def test_instructions_of_a_version_are_kept_once(uow) -> None:
    uow.projects.keep_instructions("p", 1, "first")
    uow.projects.keep_instructions("p", 2, "second")
    uow.projects.keep_instructions("p", 1, "changed")
    assert [uow.projects.instructions("p", n) for n in (1, 2, 3)] == ["first", "second", None]
