"""A site is backed up while senders and readers work, destroyed, and brought back: nothing acknowledged before is lost.

What is compared is what the platform itself answers, before and after: events, cases, labels, drafts, models, lineage.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from radloop.auth import Role
from radloop.errors import RadloopError
from radloop.events import read_on
from standalone.client import Client, connect, issue_token
from standalone.demo.cohort import Cohort, CohortPatient, invented_uid, load_cohort
from standalone.demo.facts import Facts
from standalone.demo.sending import Destination, send_patients
from standalone.demo.state import PROJECT_ID, remembered
from standalone.eventlog import open_log
from standalone.layout import Layout, Platform, read_platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PASSPHRASE = "correct horse battery staple"
SIZES = ["--cohort", "phantom", "--patients", "5", "--test", "3", "--validation", "3", "--start", "3", "--batch", "3",
         "--rounds", "1", "--initial-steps", "20", "--update-steps", "10"]  # fmt: skip
WITHDRAWN = 0x0124
ENVIRONMENT = os.environ | {"RADLOOP_BACKUP_PASSPHRASE": PASSPHRASE}


def radloop(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "standalone", *words], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(condition: Callable[[], object], limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what}"
        time.sleep(0.2)


@contextlib.contextmanager
def process(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    log = folder.with_suffix(".log")
    with log.open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "standalone", *words], stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.terminate()
            started.wait(60)


def said(folder: Path) -> str:
    return folder.with_suffix(".log").read_text(errors="replace")


def platform_of(folder: Path) -> Platform | None:
    try:
        found = read_platform(Layout(folder))
    except RadloopError:
        return None
    return found if found.ready else None


def destroy(folder: Path, demo: subprocess.Popen[bytes]) -> None:
    """Kill every process of the site, and delete its folder."""
    supervisor = psutil.Process(read_platform(Layout(folder)).pid)
    doomed = [psutil.Process(demo.pid), supervisor, *supervisor.children(recursive=True)]
    doomed += [each for each in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(each.info["cmdline"] or [])]
    for each in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(doomed, timeout=20)
    shutil.rmtree(folder)


def cohort_of(folder: Path) -> Cohort:
    choices, source = remembered(Layout(folder))
    sizes = {name: getattr(choices, name) for name in ("seed", "test", "validation", "start", "pool")}
    return load_cohort(source, **sizes)


def stranger(patient: CohortPatient) -> CohortPatient:
    """A patient outside the cohort, whose study is withdrawn before it comes."""
    volumes = tuple(replace(v, series_instance_uid=invented_uid("stranger", v.name)) for v in patient.volumes)
    return replace(
        patient, patient_id="STRANGER", study_instance_uid=invented_uid("stranger", "study"), volumes=volumes
    )


def send(folder: Path, *patients: CohortPatient) -> list[int]:
    platform = read_platform(Layout(folder))
    place = Destination(platform.dicom_host, platform.dicom_port, platform.dicom_ae_title)
    return send_patients(patients, place, associations=1).refused


def events_of(folder: Path) -> dict[tuple[str, str, str], bytes]:
    """Return every event's bytes by topic, source and id."""
    with contextlib.closing(open_log(Layout(folder))) as log:
        stored = [each.record for topic in log.topics() for each in read_on(log, topic, {})]
    return {(r.topic, r.headers["ce_source"], r.headers["ce_id"]): r.value for r in stored}


def facts_of(folder: Path) -> Facts:
    facts = Facts(PROJECT_ID)
    with contextlib.closing(open_log(Layout(folder))) as log:
        facts.look(log)
    return facts


def reader_of(folder: Path) -> Client:
    roles = {PROJECT_ID: (Role.READER,)}
    return Client(read_platform(Layout(folder)).url, issue_token(Layout(folder), "drafting-reader", roles))


def draft_of(folder: Path, task_id: str) -> Any:
    with contextlib.closing(reader_of(folder)) as reader:
        return reader.get(f"/labeling/v1/tasks/{task_id}/draft")["entries"]


def begin_draft(folder: Path) -> str:
    """Draw a little, and put the task back for others; return its id."""
    with contextlib.closing(reader_of(folder)) as reader:
        task = None

        def taken() -> bool:
            nonlocal task
            task = reader.post("/labeling/v1/tasks/next", {"project_id": PROJECT_ID})
            return task is not None

        wait_for(taken, 300, "a task")
        path, lease_id = f"/labeling/v1/tasks/{task['task_id']}", task["lease"]["lease_id"]
        reader.post(f"{path}/draft", {"lease_id": lease_id, "after_sequence": 0, "entries": [{"stroke": [1, 2, 3]}]})
        reader.request("DELETE", f"{path}/lease", params={"lease_id": lease_id})
    return task["task_id"]


def answers_of(client: Client, facts: Facts) -> dict[str, Any]:
    """Ask for everything that must be there again: cases, labels, models with their lineage, who serves."""
    return {
        "cases": {case: client.get(f"/ingest/v1/cases/{case}") for case in facts.cases()},
        "labels": {
            event.label_version_id: client.get_bytes(f"/labeling/v1/labels/{event.label_version_id}")
            for event in facts.of("label-submitted")
        },
        "models": {
            event.model_digest: client.get(f"/control-plane/v1/models/{event.model_digest}")
            for event in facts.of("model-trained")
        },
        "serving": client.get("/inference/v1/status")["serving"],
        "splits": {case: event.split for case, (event, _) in facts.cases().items()},
    }


def test_the_embedded_site_comes_back_and_the_loop_goes_on(tmp_path: Path) -> None:
    site, again, backup = tmp_path / "site", tmp_path / "again", tmp_path / "backup"
    with process(site, "demo", "--data", str(site), *SIZES) as demo:
        mining = "round 1: predict on the pool, mine: begins"
        wait_for(lambda: mining in said(site) or demo.poll() is not None, 900, "the first model")
        assert demo.poll() is None, said(site)[-3000:]
        # The demo's readers rest for a moment, so that somebody else finds a task.
        demo.send_signal(signal.SIGSTOP)
        task_id = begin_draft(site)
        demo.send_signal(signal.SIGCONT)
        wait_for(lambda: any(event.task_id for event in facts_of(site).of("label-submitted")), 240, "a reader")
        unwanted = stranger(cohort_of(site).pool[0])
        with connect(site) as client:
            client.post(
                "/ingest/v1/withdraw",
                {"study_instance_uid": unwanted.study_instance_uid, "reason": "consent"},
            )
            facts, events = facts_of(site), events_of(site)
            answers, draft = answers_of(client, facts), draft_of(site, task_id)
        made = json.loads(radloop("backup", "create", "--data", str(site), "--to", str(backup), "--json"))
        assert demo.poll() is None, "the backup was to be made while the loop runs"
        destroy(site, demo)
    radloop("backup", "verify", "--from", str(backup))
    told = radloop("backup", "restore", "--from", str(backup), "--data", str(again))
    assert "not there" not in told
    assert sum(made["events"].values()) >= len(events) and made["objects"] > 0
    with process(again, "up", "--data", str(again), "--port", "0", "--dicom-port", "0"):
        wait_for(lambda: platform_of(again), 180, "the platform")
        check_all_is_there(again, events, facts, answers, unwanted)
        assert draft_of(again, task_id) == draft
        check_the_model_serves(again, facts)
        finished = subprocess.run(
            [sys.executable, "-m", "standalone", "demo", "--data", str(again), *SIZES],
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout[-3000:]
        check_the_loop_is_whole(facts_of(again), events_of(again), events)


@pytest.mark.integration
def test_the_site_on_real_engines_comes_back(tmp_path_factory: pytest.TempPathFactory, engines_folder: Path) -> None:
    place = engines_folder / "backup"
    place.mkdir()
    site, again, backup = place / "site", place / "again", place / "backup"
    with process(site, "demo", "--data", str(site), "--engines", "real", *SIZES) as demo:
        labelled = "train the first model: begins"
        wait_for(lambda: labelled in said(site) or demo.poll() is not None, 600, "the labels")
        assert demo.poll() is None, said(site)[-3000:]
        unwanted = stranger(cohort_of(site).pool[0])
        with connect(site) as client:
            client.post(
                "/ingest/v1/withdraw",
                {"study_instance_uid": unwanted.study_instance_uid, "reason": "consent"},
            )
            facts, events = facts_of(site), events_of(site)
            answers = answers_of(client, facts)
        radloop("backup", "create", "--data", str(site), "--to", str(backup))
        destroy(site, demo)
    radloop("backup", "verify", "--from", str(backup))
    assert "not there" not in radloop("backup", "restore", "--from", str(backup), "--data", str(again))
    with process(again, "up", "--data", str(again), "--port", "0", "--dicom-port", "0"):
        wait_for(lambda: platform_of(again), 240, "the platform")
        check_all_is_there(again, events, facts, answers, unwanted)
        # The loop goes on: the training that was running is begun again, and its model serves.
        wait_for(lambda: facts_of(again).of("model-deployed"), 300, "a model")
        assert facts_of(again).dead_letters == 0


def check_all_is_there(folder: Path, events: dict, facts: Facts, answers: dict, unwanted: CohortPatient) -> None:
    found = events_of(folder)
    assert {key: found.get(key) for key in events} == events
    patient = cohort_of(folder).start[0]
    with connect(folder) as client:
        assert answers_of(client, facts) == answers
        before = client.get("/ingest/v1/status")["instances"]
        # The same study again is a repeat, and a withdrawn one stays refused.
        assert send(folder, patient) == []
        assert client.get("/ingest/v1/status")["instances"] == before
        refused = send(folder, unwanted)
        assert refused and set(refused) == {WITHDRAWN}


def check_the_model_serves(folder: Path, facts: Facts) -> None:
    with connect(folder) as client:
        case_id = next(iter(facts.cases()))
        made = client.post("/inference/v1/infer", {"project_id": PROJECT_ID, "case_id": case_id})
        assert client.get_bytes(f"/inference/v1/predictions/{made['prediction_id']}/mask")


def check_the_loop_is_whole(facts: Facts, after: dict, before: dict) -> None:
    """Nothing is lost and nothing doubled over the gap."""
    assert facts.dead_letters == 0
    assert before.keys() <= after.keys()
    for topic, field in (("label-submitted", "label_version_id"), ("label-approved", "label_version_id"),
                         ("model-trained", "run_id"), ("prediction-made", "prediction_id")):  # fmt: skip
        counts = Counter(getattr(event, field) for event in facts.of(topic))
        assert counts and max(counts.values()) == 1, topic
    assert len(facts.flagged(1)) == 3
    assert {flag.case_id for flag in facts.flagged(1)} <= facts.approved_cases()
    assert len(facts.models()) == len(facts.outcomes()) == 2
