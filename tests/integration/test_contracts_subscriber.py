"""The example subscriber of the documentation, run against a real embedded event log."""

import subprocess
import sys
from pathlib import Path

import pytest

from radloop.contracts.qa.v1 import qa_pb2
from radloop.events import open_event_log
from radloop.messages import Envelope, Record

pytestmark = pytest.mark.integration
SUBSCRIBER = Path(__file__).resolve().parents[2] / "docs/examples/subscriber.py"


def label(number: int) -> Record:
    event = qa_pb2.LabelApproved(
        label_version_id=f"label-{number}",
        case_id=f"case-{number}",
        study_key=f"study-{number}",
        project_id="hippocampus",
        arm="ARM_MINED",
        sequence=1,
    )
    envelope = Envelope.new("label-approved", source="/site-1/qa", subject=event.study_key)
    return Record("label-approved", event.study_key, event.SerializeToString(), envelope.headers())


def listen(url: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, SUBSCRIBER, url, "--once"], check=True, capture_output=True, text=True, timeout=60
    )
    return [line.split(" ", 1)[1] for line in done.stdout.splitlines()]


def test_each_approved_label_is_printed_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'events.db'}"
    log = open_event_log(url)
    first, second = label(1), label(2)
    log.append([first, second, first])  # a repeat, as after a crash
    assert listen(url) == ["hippocampus case-1 label-1 mined", "hippocampus case-2 label-2 mined"]

    log.append([label(3)])
    assert listen(url) == ["hippocampus case-3 label-3 mined"], "it goes on where it committed"
    log.close()


def test_it_stays_short():
    """The promise of the documentation: about thirty lines."""
    assert len(SUBSCRIBER.read_text().splitlines()) <= 36
