"""Reading the event log for people, and replaying dead letters."""

from pathlib import Path

import pytest

from radloop.contracts.qa.v1 import qa_pb2
from radloop.errors import NotFound
from radloop.events import EventLog, open_event_log
from radloop.messages import Envelope, Record
from standalone.eventlog import Places, as_dict, dead_letters, line_of, open_log, payload_of, read_new, replay
from standalone.layout import Layout


@pytest.fixture
def log(tmp_path: Path):
    opened = open_event_log(f"sqlite:///{tmp_path / 'events.db'}")
    yield opened
    opened.close()


def approval(case_id: str) -> Record:
    event = qa_pb2.LabelApproved(case_id=case_id, study_key="s", project_id="p")
    headers = Envelope.new("label-approved", source="/site-1/qa", subject="s").headers()
    return Record("label-approved", "s", event.SerializeToString(), headers)


def buried(record: Record, group: str = "trainer") -> Record:
    headers = dict(record.headers) | {"dlq_reason": "no luck", "dlq_topic": record.topic, "dlq_group": group}
    return Record(f"{record.topic}.{group}.dlq", record.key, record.value, headers)


def test_a_payload_is_read_by_its_contract(log: EventLog) -> None:
    log.append([approval("case-1")])
    (stored,) = read_new(log, {})
    assert as_dict(stored)["payload"]["case_id"] == "case-1"
    assert "case_id=case-1" in line_of(stored)


def test_a_few_words_are_named_in_a_line_and_more_are_counted(log: EventLog) -> None:
    reasons = [qa_pb2.RETURN_REASON_EMPTY, qa_pb2.RETURN_REASON_DISPLACED]
    for event in (qa_pb2.LabelReturned(reasons=reasons), qa_pb2.LabelReturned(reasons=reasons * 2)):
        log.append([Record("label-returned", "s", event.SerializeToString(), {})])
    short, long = (line_of(stored) for stored in read_new(log, {}))
    assert "reasons=RETURN_REASON_EMPTY,RETURN_REASON_DISPLACED" in short
    assert "reasons[4]" in long


def test_unreadable_bytes_are_said_to_be_so(log: EventLog) -> None:
    assert "unreadable" in payload_of(Record("label-approved", "k", b"\xff\xff\xff", {}))
    assert "unreadable" in payload_of(Record("nobody-says-this", "k", b"", {}))


def test_new_events_are_those_since_the_last_look(log: EventLog) -> None:
    places: Places = {}
    log.append([approval("case-1")])
    assert len(read_new(log, places)) == 1
    assert read_new(log, places) == []
    log.append([approval("case-2"), buried(approval("case-3"))])
    assert len(read_new(log, places, "label-approved")) == 1


def test_a_dead_letter_tells_where_it_comes_from_and_why(log: EventLog) -> None:
    log.append([buried(approval("case-1"))])
    (letter,) = dead_letters(log)
    assert (letter.topic, letter.group, letter.reason, letter.waits) == ("label-approved", "trainer", "no luck", True)


def test_a_replayed_letter_is_the_original_record_once(log: EventLog) -> None:
    original = approval("case-1")
    log.append([buried(original), buried(approval("case-2"))])
    assert len(replay(log)) == 2
    again = log.read("label-approved", {}, 10)[0].record
    assert (again.key, again.value, dict(again.headers)) == (original.key, original.value, dict(original.headers))
    assert replay(log) == []
    assert [letter.waits for letter in dead_letters(log)] == [False, False]


def test_only_the_letters_asked_for_are_replayed(log: EventLog) -> None:
    log.append([buried(approval("case-1"), "trainer"), buried(approval("case-1"), "labeling")])
    (only,) = replay(log, group="labeling")
    assert only.group == "labeling"
    assert [letter.group for letter in dead_letters(log) if letter.waits] == ["trainer"]


def test_a_letter_that_comes_again_waits_again(log: EventLog) -> None:
    log.append([buried(approval("case-1"))])
    replay(log)
    log.append([buried(approval("case-1"))])
    assert [letter.waits for letter in dead_letters(log)] == [False, True]


def test_a_folder_without_a_log_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="radloop up"):
        open_log(Layout(tmp_path))
