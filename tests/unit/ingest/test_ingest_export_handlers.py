"""What is queued, what is not, and how an attempt ends; handlers with fakes."""

import dataclasses

import pytest

from ingest import app
from ingest.domain.exports import Destination, ExportSource, ExportState, Form, SourceKind, pause_s, resolved_forms
from ingest.domain.messages import (
    AskExport,
    BeginExport,
    EndExport,
    LabelApproved,
    NoteDisclosure,
    PredictionMade,
    RetryExport,
    TakeBackExports,
)
from ingest.domain.model import FormedCase
from ingest.domain.reasons import WithdrawReason
from ingest.ports import StoredCase
from radloop.dispatch import Dispatcher
from radloop.errors import Conflict, IllegalTransition, Invalid, NotFound
from radloop.references import ObjectRef, SegmentState, SegmentStatus, Split

REF = ObjectRef("labeling/a", "sha256:0", 7)
LABEL = LabelApproved("label-1", "case-1", "2.25.9", "p", 1, REF, (SegmentStatus(1, SegmentState.ANNOTATED),), False, 1)
PREDICTION = PredictionMade("prediction-1", "case-1", "2.25.9", "p", "organs", "sha256:1", REF)
SOURCE = ExportSource("label-1", SourceKind.LABEL, "case-1", "2.25.9", "p", 1, REF)
DESTINATIONS = {
    each.name: each
    for each in (
        Destination("plain"),
        Destination("map", labelmap=True, predictions=True),
        Destination("auto", (Form.SEG, Form.RTSTRUCT), automatic=("p",)),
        Destination("all", automatic=("*",), predictions=True),
        Destination("other", automatic=("q",), predictions=True),
    )
}


@pytest.fixture
def send(uow, clock, project):
    """Dispatches with destinations; the case is a training case of project p."""
    uow.projects.save(project(project_id="p"))
    put_case(uow, Split.TRAIN)
    return Dispatcher(app.bind("site-1", lambda: None, clock, destinations=DESTINATIONS), lambda: uow).dispatch


def put_case(uow, split: Split) -> None:
    case = FormedCase(
        "case-1", "p", 1, "2.25.9", ("2.25.1",), 0, 1, REF, (REF,), "CT", (1, 1, 1), (1.0,) * 3, (0.0,) * 16, "HU", 1
    )
    uow.cases.rows["case-1"] = StoredCase(case, 1, "patient", split)


def queued(uow) -> set[tuple[str, str, str]]:
    return {(each.destination, each.form.value, each.source_id) for each in uow.exports.rows.values()}


def ask(*forms: Form, destination="plain", source=SOURCE, reason="why") -> AskExport:
    return AskExport(source, forms, destination, "ines", reason)


def test_a_label_goes_where_its_project_goes_by_itself(uow, send):
    send(LABEL)
    assert queued(uow) == {("auto", "seg", "label-1"), ("auto", "rtstruct", "label-1"), ("all", "seg", "label-1")}
    assert {entry[:2] for entry in uow.audit_entries} == {("ingest", "export")}
    send(LABEL)
    assert len(uow.exports.rows) == 3


@pytest.mark.parametrize(("split", "goes"), [(Split.TRAIN, {"all"}), (Split.VALIDATION, set()), (Split.TEST, set())])
def test_a_prediction_goes_where_it_is_wanted_and_spoils_no_blind_reading(uow, send, split, goes):
    put_case(uow, split)
    send(PREDICTION)
    assert {destination for destination, _, _ in queued(uow)} == goes


def test_forms_by_destination(uow, send, project):
    send(ask(Form.SR, destination="map"))
    assert {form for _, form, _ in queued(uow)} == {"seg-labelmap", "sr"}
    with pytest.raises(Invalid, match="labelmap-not-taken"):
        send(ask(Form.SEG_LABELMAP))
    with pytest.raises(Invalid, match="labelmap-overlap"):
        resolved_forms([Form.SEG_LABELMAP], DESTINATIONS["map"], overlapping=True)
    assert resolved_forms([Form.SEG], DESTINATIONS["map"], overlapping=True) == (Form.SEG,)
    assert resolved_forms([], DESTINATIONS["auto"], overlapping=False) == (Form.SEG, Form.RTSTRUCT)


def test_what_is_not_sent(uow, send):
    with pytest.raises(NotFound, match="destination-unknown"):
        send(ask(destination="nowhere"))
    with pytest.raises(Conflict, match="predictions-not-taken"):
        send(ask(source=dataclasses.replace(SOURCE, kind=SourceKind.PREDICTION)))
    for reason in ("", "  \n", "x" * 501):
        with pytest.raises(Invalid, match="reason-missing"):
            send(ask(reason=reason))
        with pytest.raises(Invalid, match="reason-missing"):
            send(NoteDisclosure("d", "ines", "re-identify", "case-1", reason))
    uow.tombstones.add("2.25.9", WithdrawReason.CONSENT, 0.0, 1)
    with pytest.raises(Conflict, match="study-withdrawn"):
        send(ask())
    send(LABEL)
    assert queued(uow) == set() and uow.exports.sources == {}
    assert uow.audit_entries == [] and uow.exports.disclosures == []


def test_an_attempt_that_failed_for_now_is_made_again_later_and_later(uow, send, clock):
    send(ask(Form.SEG))
    (identity,) = uow.exports.rows
    for attempts, pause in enumerate((15.0, 30.0, 60.0), start=1):
        assert uow.exports.next_due(clock()) == identity
        send(BeginExport(identity))
        assert uow.exports.next_due(clock()) is None
        send(EndExport(identity, "archive-away"))
        export = uow.exports.rows[identity]
        assert (export.state, export.attempts, export.error) == (ExportState.WAITING, attempts, "archive-away")
        assert export.due_at == clock() + pause
        clock.now += pause
    assert pause_s(50) == 900.0
    send(BeginExport(identity))
    send(EndExport(identity))
    assert uow.exports.rows[identity].state is ExportState.SENT
    assert uow.audit_entries[-1] == ("ines", "export-sent", identity)
    with pytest.raises(IllegalTransition):
        send(RetryExport(identity, "ines"))
    send(EndExport(identity, "late"))
    assert uow.exports.rows[identity].state is ExportState.SENT


def test_what_was_given_up_waits_for_a_person(uow, send, clock):
    send(ask(Form.SEG))
    (identity,) = uow.exports.rows
    send(BeginExport(identity))
    send(EndExport(identity, "class-not-taken", final=True))
    clock.now += 1e6
    assert uow.exports.next_due(clock()) is None
    send(RetryExport(identity, "ines"))
    assert uow.exports.next_due(clock()) == identity


def test_an_attempt_whose_sender_died_is_made_again(uow, send, clock):
    send(ask(Form.SEG))
    (identity,) = uow.exports.rows
    send(BeginExport(identity))
    send(TakeBackExports())
    assert uow.exports.next_due(clock()) == identity
    send(BeginExport(identity))
    clock.now += 1e4  # another process of the service, dead as well
    assert uow.exports.next_due(clock()) == identity
