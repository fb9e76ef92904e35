"""Kill every service at every point and at random while studies flow through the whole loop: every effect exactly once."""

import contextlib
import json
import os
import runpy
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from radloop.contracts.topics import TOPICS
from radloop.events import open_event_log, read_on
from standalone.client import Client, operator_token
from standalone.layout import SERVICES, Layout, read_platform

FIRE = Path(__file__).with_name("platform_under_fire.py")
points_of = runpy.run_path(str(FIRE))["points_of"]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

SEED = 20261123
RANDOM_KILLS = 30
DEMO = ["--cohort", "phantom", "--patients", "46", "--start", "8", "--test", "3", "--validation", "3", "--rounds", "2",
        "--batch", "6", "--initial-steps", "10", "--update-steps", "5", "--seed", str(SEED)]  # fmt: skip


@pytest.fixture(scope="module")
def survived(tmp_path_factory) -> Layout:
    """Run the demo on a platform under fire, as often as it takes; return its folder."""
    folder = tmp_path_factory.mktemp("fire")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RADLOOP_KILL")}
    with (folder / "fire.log").open("wb") as output:
        platform = subprocess.Popen(
            [sys.executable, str(FIRE), str(folder), str(SEED), str(RANDOM_KILLS)],
            env=environment,
            stdout=output,
            stderr=output,
        )
        try:
            _wait_for(lambda: (folder / "platform.json").exists(), 60, "a platform")
            demo = [sys.executable, "-m", "standalone", "demo", "--data", str(folder), *DEMO]
            for _attempt in range(60):
                if subprocess.run(demo, env=environment, stdout=output, stderr=output, check=False).returncode == 0:
                    break
            else:
                pytest.fail((folder / "fire.log").read_text()[-3000:])
            _wait_for(lambda: _all_killed(folder), 240, "every scheduled kill")
            _wait_for(lambda: _quiet(folder), 60, "the services to finish what is left")
        finally:
            platform.send_signal(signal.SIGTERM)
            platform.wait(60)
    return Layout(folder)


def _all_killed(folder: Path) -> bool:
    kills = json.loads((folder / "kills.json").read_text())
    return len(kills["random"]) == RANDOM_KILLS and all(
        len(kills["points"][service]) == len(points_of(service)) for service in SERVICES
    )


def _quiet(folder: Path) -> bool:
    """Whether no outbox holds a row and no group lags behind."""
    with sqlite3.connect(Layout(folder).events_file, timeout=30) as log:
        ends = dict(log.execute("SELECT topic, next_offset FROM topics").fetchall())
        positions = log.execute("SELECT topic, next_offset FROM positions").fetchall()
    if any(ends[topic] != offset for topic, offset in positions if topic in ends):
        return False
    return all(_rows(folder, service, "SELECT count(*) FROM outbox")[0][0] == 0 for service in SERVICES)


def _rows(folder: Path, service: str, query: str) -> list:
    connection = sqlite3.connect(Layout(folder).state_folder / f"{service}.db", timeout=30)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def _wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def events(survived) -> dict[str, list]:
    """Return the distinct events (by ce_id) of each topic with their record, in the log's order."""
    log = open_event_log(survived.events_url)
    found: dict[str, list] = {}
    for topic in log.topics():
        seen, kept = set(), []
        for stored in read_on(log, topic, {}):
            identity = (stored.record.headers["ce_source"], stored.record.headers["ce_id"])
            if identity not in seen:
                seen.add(identity)
                kept.append(stored)
        found[topic] = kept
    log.close()
    return found


def _payloads(events, topic):
    return [TOPICS[topic].event.FromString(stored.record.value) for stored in events.get(topic, [])]


def test_every_service_died_at_every_point_and_at_random(survived):
    kills = json.loads((survived.folder / "kills.json").read_text())
    assert {name: sorted(done) for name, done in kills["points"].items()} == {
        name: sorted(points_of(name)) for name in SERVICES
    }
    assert len(kills["random"]) == RANDOM_KILLS


def test_nothing_went_to_the_dead_letters(events):
    assert [topic for topic in events if topic.endswith(".dlq")] == []


def test_every_study_came_in_once(events):
    studies = _payloads(events, "study-ingested")
    assert len({study.patient_key for study in studies}) == 60
    assert max(Counter((s.study_key, s.project_id, s.revision) for s in studies).values()) == 1
    assert max(Counter(case.case_id for study in studies for case in study.cases).values()) == 1


def test_every_submitted_label_was_judged_once(events):
    submitted = Counter(label.label_version_id for label in _payloads(events, "label-submitted"))
    approved = Counter(label.label_version_id for label in _payloads(events, "label-approved"))
    returned = Counter(label.label_version_id for label in _payloads(events, "label-returned"))
    assert max(submitted.values()) == max(approved.values()) == 1 and max(returned.values(), default=1) == 1
    assert not approved.keys() & returned.keys()
    assert approved.keys() | returned.keys() <= submitted.keys()


def test_every_round_is_whole(events):
    rounds = defaultdict(list)
    for flag in _payloads(events, "edge-case-flagged"):
        rounds[flag.round_id].append(flag)
    assert len(rounds) == 2
    for flags in rounds.values():
        assert sorted(flag.rank for flag in flags) == list(range(1, flags[0].batch_size + 1))
        assert len({flag.case_id for flag in flags}) == len(flags)


def test_every_model_has_its_lineage(events):
    runs = {run.run_id: run for run in _payloads(events, "training-started")}
    models = _payloads(events, "model-trained")
    approved = {label.label_version_id for label in _payloads(events, "label-approved")}
    assert len(models) == len(runs) == 3 and {model.run_id for model in models} == runs.keys()
    for model in models:
        run = runs[model.run_id]
        assert (model.dataset_version, model.plan_digest) == (run.dataset_version, run.plan_digest)
        assert {item.label_version_id for item in run.items} <= approved
    deployed = Counter(event.candidate_digest for event in _payloads(events, "model-deployed"))
    assert deployed == Counter(model.model_digest for model in models)


def test_predictions_are_unique(events):
    predictions = _payloads(events, "prediction-made")
    assert max(Counter((p.prediction_id, p.round_id) for p in predictions).values()) == 1


def test_order_per_key_is_kept(events):
    for topic, name in (("model-deployed", "sequence"), ("project-configured", "project_version")):
        by_key = defaultdict(list)
        for stored, event in zip(events[topic], _payloads(events, topic), strict=True):
            by_key[stored.record.key].append(getattr(event, name))
        assert all(numbers == sorted(numbers) for numbers in by_key.values()), topic
    approvals = defaultdict(list)
    for event in _payloads(events, "label-approved"):
        approvals[event.case_id].append(event.sequence)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in approvals.values())
    runs = [event.run_number for event in _payloads(events, "training-started")]
    assert runs == sorted(runs)


def test_no_service_waits_for_anything(survived):
    for service in SERVICES:
        assert _rows(survived.folder, service, "SELECT count(*) FROM outbox") == [(0,)]
        assert _rows(survived.folder, service, "SELECT token FROM parked") == []


# What may still name the study's pseudonym: tombstones, the audit trail, the lineage a person decides about, and the ledger
# of rounds, in which the control arm is analysed as it was drawn.
LEFT = {"audit", "entries", "tombstones", "withdrawn", "withdrawn_studies"}
LISTED_FOR_A_PERSON = {"datasets", "dataset_items", "dataset_studies", "runs", "withdrawn_cases", "withdrawn_datasets"}
MUST_NOT_BE_SAID_AGAIN = (
    "study-ingested",
    "edge-case-flagged",
    "label-submitted",
    "label-approved",
    "label-returned",
    "training-started",
    "model-trained",
)


@contextlib.contextmanager
def _platform(layout: Layout):
    """Run the platform of a folder, and give its client."""
    command = [
        sys.executable,
        "-m",
        "standalone",
        "up",
        "--data",
        str(layout.folder),
        "--port",
        "0",
        "--dicom-port",
        "0",
    ]
    with (layout.folder / "up.log").open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait_for(lambda: layout.platform_file.exists() and read_platform(layout).ready, 120, "a platform")
        client = Client(read_platform(layout).url, operator_token(layout))
        yield client
        client.close()
    finally:
        process.terminate()
        process.wait(60)


def _places_of(layout: Layout, text: str) -> set[tuple[str, str]]:
    """Return (service, table) wherever a row holds the text."""
    found = set()
    for service in SERVICES:
        tables = [
            name for (name,) in _rows(layout.folder, service, "SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found |= {
            (service, table)
            for table in tables
            if any(
                text in str(value) for row in _rows(layout.folder, service, f"SELECT * FROM {table}") for value in row
            )
        }
    return found


def _forget_what_was_heard(layout: Layout) -> None:
    """Let every group hear every topic again, without the inbox that makes repeats harmless."""
    for service in SERVICES:
        connection = sqlite3.connect(layout.state_folder / f"{service}.db")
        with connection:
            connection.execute("DELETE FROM inbox")
        connection.close()
    log = sqlite3.connect(layout.events_file)
    with log:
        log.execute("DELETE FROM positions")
    log.close()


def _said(layout: Layout) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(layout.events_file)) as log:
        return dict(log.execute("SELECT topic, next_offset FROM topics").fetchall())


def test_a_withdrawn_study_is_forgotten_and_no_replay_brings_it_back(survived, events):
    labelled = {label.study_key for label in _payloads(events, "label-approved") if label.task_id}
    study_key = sorted(labelled & {flag.study_key for flag in _payloads(events, "edge-case-flagged")})[0]
    objects = survived.objects_folder
    assert any(study_key in str(path) for path in objects.rglob("*"))

    def forgotten() -> bool:
        places = {table for _, table in _places_of(survived, study_key)}
        tasks = _rows(survived.folder, "labeling", f"SELECT state FROM tasks WHERE study_key = '{study_key}'")
        return (
            places <= LISTED_FOR_A_PERSON | LEFT | {"tasks"}
            and {state for (state,) in tasks} <= {"cancelled"}
            and not any(study_key in str(path) for path in objects.rglob("*") if path.is_file())
        )

    with _platform(survived) as client:
        client.post("/ingest/v1/withdraw", {"study_key": study_key, "reason": "consent"})
        _wait_for(
            lambda: _quiet(survived.folder) and forgotten(), 60, f"all to forget: {_places_of(survived, study_key)}"
        )
        before = _said(survived)
        listed = client.get("/trainer/v1/withdrawn", project_id="hippocampus")["withdrawn"]
        assert study_key in {entry["study_key"] for entry in listed} and all(e["dataset_version"] for e in listed)
    _forget_what_was_heard(survived)
    with _platform(survived):
        _wait_for(lambda: _quiet(survived.folder), 120, "the replay")
        assert forgotten(), _places_of(survived, study_key)
    after = _said(survived)
    assert [after.get(topic) for topic in MUST_NOT_BE_SAID_AGAIN] == [before.get(t) for t in MUST_NOT_BE_SAID_AGAIN]
    assert not [topic for topic in after if topic.endswith(".dlq")]
