"""The repositories of what goes back, the fake's and SQL's by one suite."""

import dataclasses

import pytest

from ingest.adapters.sql import SqlIngestUnitOfWork
from ingest.adapters.wire import make_wire
from ingest.domain.exports import Export, ExportSource, ExportState, Form, SourceKind
from ingest.domain.messages import CodedTerm, NoteDisclosure, Segment
from ingest.domain.model import Original
from radloop.references import ObjectRef, SegmentState, SegmentStatus
from radloop.sql import Database
from radloop.testing.databases import ENGINES

REF = ObjectRef("labeling/a", "sha256:0", 7)
SOURCE = ExportSource(
    "label-1",
    SourceKind.LABEL,
    "case-1",
    "2.25.9",
    "p",
    3,
    REF,
    (SegmentStatus(1, SegmentState.ANNOTATED), SegmentStatus(2, SegmentState.NOT_ANNOTATED)),
    started_from_model=True,
    sequence=2,
)
EXPORT = Export("e1", "label-1", "case-1", "2.25.9", "p", Form.SEG_LABELMAP, "pacs", 10.0, 10.0, "ines", "why")


@pytest.fixture(params=["fake", *ENGINES])
def state(request, uow, make_database):
    """A unit of work of either kind, open for the whole test."""
    if request.param == "fake":
        yield uow
        return
    database = Database(make_database(request.param), "ingest")
    database.migrate("ingest.adapters.migrations")
    with SqlIngestUnitOfWork(database, make_wire(), source="/site-1/ingest") as sql:
        yield sql
    database.close()


def test_originals(state):
    keys = [f"2.25.{number}" for number in range(1200)]
    for key in keys:
        state.originals.add(Original(key, "2.25.9", f"sealed {key}"))
    state.originals.add(Original("2.25.5", "2.25.9", "another"))  # the first stays
    state.originals.add(Original("1", "2.25.8", "of another study"))
    assert state.originals.sealed([*keys, "unknown"]) == {key: f"sealed {key}" for key in keys}
    assert state.originals.has("2.25.7") and not state.originals.has("unknown")
    state.originals.forget("2.25.9")
    assert state.originals.sealed([*keys, "1"]) == {"1": "of another study"}


def test_sources_there_and_back(state):
    prediction = dataclasses.replace(
        SOURCE,
        source_id="prediction-1",
        kind=SourceKind.PREDICTION,
        segments=(),
        model_name="m",
        model_digest="sha256:1",
    )
    state.exports.add_source(SOURCE, 1.0)
    state.exports.add_source(dataclasses.replace(SOURCE, sequence=9), 2.0)  # a repeat changes nothing
    state.exports.add_source(prediction, 3.0)
    assert state.exports.source("label-1") == SOURCE and state.exports.source("none") is None
    assert state.exports.sources_of("case-1") == [SOURCE, prediction]
    assert state.exports.sources_of("case-2") == []


def test_exports_are_due_in_order_and_forgotten_with_their_study(state):
    later = dataclasses.replace(EXPORT, export_id="e2", due_at=20.0)
    done = dataclasses.replace(EXPORT, export_id="e3", due_at=0.0, state=ExportState.SENT)
    failed = dataclasses.replace(EXPORT, export_id="e4", due_at=0.0, state=ExportState.FAILED)
    for export in (later, EXPORT, done, failed):
        state.exports.save(export)
    assert state.exports.get("e1") == EXPORT and state.exports.get("none") is None
    assert (state.exports.next_due(9.0), state.exports.next_due(30.0)) == (None, "e1")
    state.exports.save(dataclasses.replace(EXPORT, state=ExportState.SENDING, due_at=900.0, attempts=1, error="x"))
    assert state.exports.next_due(30.0) == "e2"
    state.exports.take_back(5.0)
    assert state.exports.next_due(6.0) == "e1"
    state.exports.add_source(SOURCE, 1.0)
    state.exports.forget("2.25.8")
    assert state.exports.get("e2") == later
    state.exports.forget("2.25.9")
    assert state.exports.get("e2") is None and state.exports.source("label-1") is None
    state.exports.note_disclosure(NoteDisclosure("d1", "ines", "re-identify", "case-1", "why"), 1.0)


def test_a_projects_segments_there_and_back(state, project):
    liver = Segment(1, "liver", "#102030", CodedTerm("10200004", "SCT", "Liver"), CodedTerm("1", "SCT", "Organ"))
    told = project(segments=(liver,), overlapping_segments=True)
    state.projects.save(told)
    assert state.projects.get(told.project_id) == told
