"""The whole loop as a person runs it: ``radloop demo``, small, interrupted five times, and by SIGKILL twice of these.

Everything is asserted from what is stored: events, objects, expert masks; nothing is taken from the demo's own word.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radloop.events import open_event_log
from radloop.imaging import dice, read_nifti
from radloop.objects import open_objects
from radloop.references import ObjectRef
from standalone.client import Client, connect
from standalone.demo.answers import ReadingOf, planted_error
from standalone.demo.cohort import Cohort, load_cohort
from standalone.demo.facts import Facts, enum_word
from standalone.demo.report import pool_of_round
from standalone.demo.run import report_of
from standalone.demo.script import mining_step, reading_step, training_step
from standalone.demo.state import PROJECT_ID, remembered
from standalone.demo.tables import plain
from standalone.layout import Layout, read_platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SIZES = ["--patients", "8", "--test", "4", "--validation", "3", "--start", "3", "--batch", "4"]
STEPS = ["--initial-steps", "40", "--update-steps", "20"]
ROUNDS = 2
BATCH = 4
OPTIONS = ["--rounds", str(ROUNDS), "--error-share", "0.5"]


class Demo:
    """A demo as a process, with its lines as they come."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "standalone", "demo", "--data", str(folder), *SIZES, *STEPS, *options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip())
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def says(self, text: str, limit_s: float) -> None:
        """Wait until a line holds the text, or the demo has ended."""
        with self._news:
            heard = self._news.wait_for(
                lambda: any(text in line for line in self.lines) or self.process.poll() is not None, limit_s
            )
        assert heard, f"never said {text!r}: {self.lines[-5:]}"

    def ended(self, limit_s: float) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(limit_s)
        self.close()
        return code

    def close(self) -> None:
        """Hear the last line and close the pipe."""
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Demo]:
    demo = Demo(folder, *options)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            os.killpg(demo.process.pid, signal.SIGKILL)
            demo.process.wait()
        demo.close()


@contextmanager
def platform(folder: Path) -> Iterator[Client]:
    """Start the platform of a finished demo again, as the demo's last lines say."""
    command = [sys.executable, "-m", "standalone", "up", "--data", str(folder), "--port", "0", "--dicom-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            wait_for(lambda: is_ready(folder), 120)
            with connect(folder) as client:
                yield client
        finally:
            began = time.monotonic()
            process.terminate()
            process.wait(20)
            assert time.monotonic() - began < 12


def is_ready(folder: Path) -> bool:
    try:
        return read_platform(Layout(folder)).ready
    except Exception:
        return False


def wait_for(condition: Callable[[], object], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def facts_of(folder: Path) -> Facts:
    facts = Facts(PROJECT_ID)
    log = open_event_log(Layout(folder).events_url)
    facts.look(log)
    log.close()
    return facts


def cohort_of(folder: Path) -> Cohort:
    choices, source = remembered(Layout(folder))
    return load_cohort(
        source,
        seed=choices.seed,
        test=choices.test,
        validation=choices.validation,
        start=choices.start,
        pool=choices.pool,
    )


def experts_by_case(client: Client, cohort: Cohort) -> dict[str, np.ndarray]:
    """Ask ingest which case became of which series, as any client may."""
    volumes = {volume.series_instance_uid: volume for volume in cohort.volumes}
    answer = client.post("/ingest/v1/cases/resolve", {"project_id": PROJECT_ID, "series": list(volumes)})
    assert not answer["unknown"]
    return {case["case_id"]: volumes[case["series"]].load_mask().array for case in answer["cases"]}


def check_whole(facts: Facts, rounds: int) -> None:
    """Nothing is lost and nothing doubled, whatever happened on the way."""
    assert facts.dead_letters == 0
    check_labels(facts)
    check_rounds(facts, rounds)
    check_lineage(facts, rounds)


def check_labels(facts: Facts) -> None:
    submitted = Counter(event.label_version_id for event in facts.of("label-submitted"))
    returned = Counter(event.label_version_id for event in facts.of("label-returned"))
    approved = Counter(event.label_version_id for event in facts.of("label-approved"))
    reviews = Counter(event.review_id for event in facts.of("label-approved"))
    assert set(submitted.values()) == {1}
    assert set(returned.values()) <= {1}
    assert set(approved.values()) == {1}
    assert set(reviews.values()) == {1}
    assert not returned.keys() & approved.keys()
    assert returned.keys() | approved.keys() <= submitted.keys()
    # A reading that is neither approved nor returned itself stands behind the approval of its case: a second reader's.
    settled = facts.approved_cases()
    for event in facts.of("label-submitted"):
        if event.label_version_id not in approved and event.label_version_id not in returned:
            assert event.case_id in settled
            approvals = [approval for approval in facts.of("label-approved") if approval.case_id == event.case_id]
            assert any(event.reader in approval.readers for approval in approvals)


def check_rounds(facts: Facts, rounds: int) -> None:
    flags, cases = facts.of("edge-case-flagged"), facts.cases()
    assert {flag.round_number for flag in flags} == set(range(1, rounds + 1))
    for number in range(1, rounds + 1):
        batch = facts.flagged(number)
        assert len({flag.round_id for flag in batch}) == 1
        assert [flag.rank for flag in batch] == list(range(1, BATCH + 1))
        assert len({flag.case_id for flag in batch}) == BATCH == batch[0].batch_size
        pool = pool_of_round(facts, number)
        assert len(pool) == batch[0].pool_size
        patients = [cases[case_id][0].patient_key for case_id in pool]
        arms = Counter(enum_word(flag, "arm") for flag in batch)
        assert arms["control"] == 2
        for flag in batch:
            if enum_word(flag, "arm") == "control":
                assert not flag.show_proposal
                # Two patients are drawn, then one case of each.
                beside = patients.count(cases[flag.case_id][0].patient_key)
                assert flag.inclusion_probability == pytest.approx(2 / len(set(patients)) / beside)
    assert len({flag.case_id for flag in flags}) == rounds * BATCH
    assert {flag.case_id for flag in flags} <= facts.approved_cases()


def check_lineage(facts: Facts, rounds: int) -> None:
    models = facts.models()
    assert [model.run_number for model in models] == list(range(1, rounds + 2))
    assert len(facts.outcomes()) == rounds + 1
    runs = {event.run_id: event for event in facts.of("training-started")}
    assert len(runs) == len(facts.of("training-started")) == rounds + 1
    approvals = {event.label_version_id: event for event in facts.of("label-approved")}
    cases = facts.cases()
    labelled = 0
    for model in models:
        run = runs[model.run_id]
        assert (model.dataset_version, model.plan_digest) == (run.dataset_version, run.plan_digest)
        assert len({item.case_id for item in run.items}) == len(run.items)
        for item in run.items:
            approval = approvals[item.label_version_id]
            study, case = cases[item.case_id]
            assert (approval.case_id, approval.mask.digest) == (item.case_id, item.label_digest)
            assert case.volumes[0].digest == item.image_digest
            assert enum_word(study, "split") == enum_word(item, "split")
        training = [item for item in run.items if enum_word(item, "split") == "train"]
        assert len(training) > labelled
        labelled = len(training)
        patients = {cases[item.case_id][0].patient_key for item in training}
        assert model.train_patient_count == len(patients)
        assert all(item.weight > 1 for item in training if enum_word(item, "arm") == "mined")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A demo that came to its end though it was interrupted five times; its folder and what it said last."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    draw = random.Random(20)
    places = [
        "send the studies by C-STORE: begins",
        "import the expert labels: begins",
        f"{training_step(0)}: begins",
        f"{mining_step(1)}: begins",
        f"{reading_step(1)}: begins",
    ]
    for number, place in enumerate(places):
        with running(folder, *OPTIONS) as demo:
            demo.says(place, 300)
            assert demo.process.poll() is None, demo.text[-2000:]
            interrupt(demo, draw.uniform(0.0, 2.5), kill=number % 2 == 1)
    with running(folder, *OPTIONS) as demo:
        assert demo.ended(600) == 0, demo.text[-3000:]
    assert "Going on where it was." in demo.text
    return folder, demo.text


def interrupt(demo: Demo, after_s: float, *, kill: bool) -> None:
    """Stop the script a moment later: Ctrl-C to its whole group, or SIGKILL to it alone."""
    try:
        demo.process.wait(after_s)
    except subprocess.TimeoutExpired:
        if kill:
            demo.process.kill()
        else:
            os.killpg(demo.process.pid, signal.SIGINT)
    code = demo.ended(30)
    assert code in (0, 130, -signal.SIGKILL), demo.text[-2000:]


def test_the_first_line_says_which_images_and_the_last_ones_what_to_type(finished: tuple[Path, str]) -> None:
    folder, text = finished
    assert text.splitlines()[0].startswith("radloop demo on ")
    assert f"radloop up --data {folder}" in text
    assert "Dice anterior" in text
    assert "left in all" in text or "begins" in text


def test_five_interrupts_lose_and_double_nothing(finished: tuple[Path, str]) -> None:
    check_whole(facts_of(finished[0]), ROUNDS)


def test_quality_control_returns_gross_errors_and_few_clean_labels(finished: tuple[Path, str]) -> None:
    facts = facts_of(finished[0])
    returned = facts.returned_versions()
    wrong, clean = [], []
    for event in facts.of("label-submitted"):
        if enum_word(event, "source") == "reader":
            asked = ReadingOf(event.case_id, enum_word(event, "reading"), event.attempt)
            (wrong if planted_error(1, 0.5, asked) else clean).append(event.label_version_id in returned)
    assert wrong
    # A handful is too few for a share; tests/integration/test_qa_label_errors.py holds the shares on many.
    assert wrong.count(False) <= max(1, 0.1 * len(wrong))
    assert sum(clean) <= 0.1 * len(clean)


def test_every_number_of_the_report_follows_from_what_is_stored(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    layout = Layout(folder)
    stored = json.loads((layout.report_folder / "report.json").read_text())
    facts = facts_of(folder)
    choices, source = remembered(layout)
    with platform(folder) as client:
        experts = experts_by_case(client, cohort_of(folder))
        check_served_model(client, facts, experts)
    again = report_of(layout, facts, experts.__getitem__, choices, source)
    assert plain(asdict(again)) == stored
    check_rounds_by_hand(stored, facts, experts, layout)
    check_models_by_hand(stored, facts)


def check_models_by_hand(stored: dict[str, Any], facts: Facts) -> None:
    for row, model in zip(stored["models"], facts.models(), strict=True):
        by_patient: dict[str, list[float]] = {}
        for entry in model.test_dice:
            by_patient.setdefault(entry.patient_key, []).append(entry.dice)
        means = [sum(values) / len(values) for values in by_patient.values()]
        assert row["mean_dice"]["mean"] == pytest.approx(sum(means) / len(means))
        assert row["mean_dice"]["count"] == len(means) == 4


def check_rounds_by_hand(stored: dict[str, Any], facts: Facts, experts: dict[str, np.ndarray], layout: Layout) -> None:
    objects = open_objects(layout.objects_url)
    approvals = {event.case_id: event for event in facts.of("label-approved")}
    for row in stored["rounds"]:
        batch = facts.flagged(row["number"])
        assert row["pool"] == batch[0].pool_size
        made = {e.case_id: e for e in facts.of("prediction-made") if e.model_digest == batch[0].model_digest}
        before = {}
        for case_id, event in made.items():
            mask = read_nifti(objects.get(ObjectRef(event.mask.key, event.mask.digest, event.mask.size_bytes))).array
            before[case_id] = np.mean([dice(mask, experts[case_id], value) for value in (1, 2)])
        earlier = {flag.case_id for n in range(1, row["number"]) for flag in facts.flagged(n)}
        pool = sorted((d, c) for c, d in before.items() if c not in earlier and is_unread_training_case(facts, c))
        worst = {case_id for _, case_id in pool[: math.ceil(len(pool) / 10)]}
        assert row["worst_flagged"] == len(worst & {flag.case_id for flag in batch})
        for arm in ("mined", "control"):
            values = [
                np.mean([score.value for score in approvals[flag.case_id].prediction_dice])
                for flag in batch
                if enum_word(flag, "arm") == arm
            ]
            assert row[arm]["mean"] == pytest.approx(np.mean(values))


def is_unread_training_case(facts: Facts, case_id: str) -> bool:
    imported = {event.case_id for event in facts.of("label-approved") if not event.task_id}
    return case_id not in imported and enum_word(facts.cases()[case_id][0], "split") == "train"


def check_served_model(client: Client, facts: Facts, experts: dict[str, np.ndarray]) -> None:
    """What the model that serves predicts through Triton is as good as its training said."""
    serving = client.get("/inference/v1/status")["serving"][PROJECT_ID]
    model = next(model for model in facts.models() if model.model_digest == serving)
    case_id = model.test_dice[0].case_id
    prediction = client.post("/inference/v1/infer", {"project_id": PROJECT_ID, "case_id": case_id})
    mask = read_nifti(client.get_bytes(f"/inference/v1/predictions/{prediction['prediction_id']}/mask")).array
    for entry in model.test_dice:
        if entry.case_id == case_id:
            assert dice(mask, experts[case_id], entry.segment) == pytest.approx(entry.dice, abs=0.02)


def test_a_finished_demo_prints_its_report_again_at_once(finished: tuple[Path, str]) -> None:
    folder, text = finished
    began = time.monotonic()
    with running(folder, *OPTIONS) as demo:
        assert demo.ended(30) == 0
    assert time.monotonic() - began < 15
    assert "This demo is finished" in demo.text
    headline = next(line for line in text.splitlines() if line.startswith("The model that serves"))
    assert headline in demo.text
