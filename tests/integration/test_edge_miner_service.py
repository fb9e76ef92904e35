"""The whole service on a real event log, database and object store: events in, flags out, restarted in the middle."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from google.protobuf.message import Message as Protobuf

from edge_miner.app import build
from edge_miner.settings import EdgeMinerSettings
from radloop.auth import Role, open_authenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2 as control
from radloop.contracts.edge_miner.v1 import edge_miner_pb2 as edge
from radloop.contracts.inference.v1 import inference_pb2 as inference
from radloop.contracts.ingest.v1 import ingest_pb2 as ingest
from radloop.contracts.labeling.v1 import labeling_pb2 as labeling
from radloop.contracts.qa.v1 import qa_pb2 as qa
from radloop.contracts.references.v1 import references_pb2 as references
from radloop.events import open_event_log
from radloop.imaging import Volume, write_nifti
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.service import Service
from radloop.settings import SharedSettings
from radloop.testing.databases import ENGINES
from radloop.wire import event_option

pytestmark = pytest.mark.integration

PROJECT = "hippocampus"
CASES = 24
LIMIT_S = 60.0


class Platform:
    """Everything around edge-miner: says what the other services would say, reads what edge-miner says."""

    def __init__(self, folder: Path, database_url: str, objects_url: str) -> None:
        self.settings = EdgeMinerSettings(
            shared=SharedSettings(
                events_url=f"sqlite:///{folder}/events.db",
                database_url=database_url,
                objects_url=objects_url,
                auth_url=f"token:{folder}/secret",
            ),
            cold_start_quiet_s=0.0,
            poll_s=0.02,
            ask_at_once=5,
        )
        self.log = open_event_log(self.settings.shared.events_url)
        self.objects = open_objects(self.settings.shared.objects_url)
        self.service: Service | None = None

    def start(self) -> Service:
        self.service = build(self.settings)
        self.service.start()
        return self.service

    def stop(self) -> None:
        assert self.service is not None
        self.service.drain()
        self.service = None

    def say(self, *events: Protobuf) -> None:
        records = []
        for event in events:
            option = event_option(type(event))
            key = getattr(event, option.key)
            envelope = Envelope.new(option.topic, source="/site-1/test", subject=key)
            records.append(Record(option.topic, key, event.SerializeToString(), envelope.headers()))
        self.log.append(records)

    def heard(self, cls: type[Protobuf]) -> list[Any]:
        return [cls.FromString(stored.record.value) for stored in self.log.read(event_option(cls).topic, {}, 10_000)]

    def wait_for(self, cls: type[Protobuf], count: int) -> list[Any]:
        return self.wait_until(lambda: (found := self.heard(cls)) and len(found) >= count and found)

    def wait_until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.02)  # between two looks
        raise AssertionError("did not happen in time")

    def get(self, path: str, roles: Sequence[Role] = (Role.SITE_ADMIN,), subject: str = "test") -> Any:
        assert self.service is not None
        token = open_authenticator(self.settings.shared.auth_url).issue(subject, {"*": roles}, lifetime_s=60)
        with TestClient(self.service.http) as client:
            return client.get(path, headers={"Authorization": f"Bearer {token}"})

    # What the others say

    def configured(self, **selection: Any) -> control.ProjectConfigured:
        policy = {"strategy": "entropy-and-sanity", "pool_sample": 100, "batch_size": 8, "control_fraction": 0.25}
        return control.ProjectConfigured(
            project_id=PROJECT,
            project_version=1,
            model_name=PROJECT,
            segments=[control.Segment(value=1, name="anterior", always_present=True)],
            selection=control.SelectionPolicy(**(policy | {"seed": 7} | selection)),
            members=[control.Member(subject="lead", role=control.ROLE_PROJECT_LEAD)],
        )

    def ingested(self, number: int, split: int = references.SPLIT_TRAIN) -> ingest.StudyIngested:
        return ingest.StudyIngested(
            study_key=f"study-{number}",
            site="site-1",
            project_id=PROJECT,
            revision=1,
            patient_key=f"patient-{number // 2}",
            split=split,  # type: ignore[arg-type]
            cases=[ingest.Case(case_id=f"case-{number:03d}")],
        )

    def predicted(self, request: Any) -> Protobuf:
        """Answer a request as inference would; case 5 cannot be predicted, case 9 comes in many parts."""
        number = int(request.case_id[5:])
        ids = {
            "prediction_id": f"{request.model_digest}-{number}",
            "case_id": request.case_id,
            "study_key": request.study_key,
            "project_id": PROJECT,
            "model_digest": request.model_digest,
            "round_id": request.round_id,
        }
        if number == 5:
            return inference.PredictionFailed(**ids, reason=inference.PREDICTION_FAILURE_NOT_FINITE)
        array = np.zeros((20, 20, 20), dtype=np.uint8)
        array[::4, 0, 0] = 1
        array[1:, 0, 0] *= number == 9
        mask = self.objects.put(
            f"inference/{request.study_key}/{ids['prediction_id']}/mask.nii", write_nifti(Volume(array, np.eye(4)))
        )
        return inference.PredictionMade(
            **ids,
            model_name=PROJECT,
            settings_digest="sha256:0",
            mask=references.ObjectRef(key=mask.key, digest=mask.digest, size_bytes=mask.size_bytes),
            scores=[references.Score(name="foreground-entropy", value=(number * 7 % 24) / 100)],
            volumes=[references.Score(name="segment-1-ml", value=3.0 + number / 100)],
        )

    def approved(self, flag: Any, dice: float) -> qa.LabelApproved:
        return qa.LabelApproved(
            review_id=f"review-{flag.case_id}",
            label_version_id=f"label-{flag.case_id}",
            case_id=flag.case_id,
            study_key=flag.study_key,
            project_id=PROJECT,
            source=labeling.LABEL_SOURCE_READER,
            prediction_dice=[references.Score(name="dice-segment-1", value=dice)],
            prediction_id=flag.prediction_id,
            round_id=flag.round_id,
            arm=flag.arm,
            sequence=1,
        )

    def deployed(self, model: str, sequence: int) -> inference.ModelDeployed:
        return inference.ModelDeployed(
            model_name=PROJECT,
            project_id=PROJECT,
            serving_digest=model,
            candidate_digest=model,
            outcome=inference.DEPLOYMENT_SERVING,
            sequence=sequence,
        )


@pytest.fixture
def platform(tmp_path: Path, database_url: str, objects_url: str) -> Iterator[Platform]:
    site = Platform(tmp_path, database_url, objects_url)
    yield site
    if site.service is not None:
        site.stop()
    site.log.close()


def _until_flagged(site: Platform, *, restart: bool) -> list[bytes]:
    """Run one round; with ``restart`` the service goes away twice while the round collects."""
    site.start()
    site.say(*(site.ingested(number) for number in range(CASES)), site.deployed("model-1", 1), site.configured())
    requests = site.wait_for(edge.PredictionRequested, CASES)
    if restart:
        site.stop()
    site.say(*(site.predicted(request) for request in requests[: CASES // 2]))
    if restart:
        site.start()
        round_id = requests[0].round_id
        site.wait_until(lambda: site.get(f"/v1/rounds/{round_id}").json()["cases"].get("waiting") == CASES // 2)
        site.stop()
        site.start()
    site.say(*(site.predicted(request) for request in requests[CASES // 2 :]))
    site.wait_for(edge.EdgeCaseFlagged, 8)
    assert len(site.heard(edge.PredictionRequested)) == CASES
    return [flag.SerializeToString(deterministic=True) for flag in site.heard(edge.EdgeCaseFlagged)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_round_over_the_real_log_with_and_without_restarts(
    tmp_path: Path, make_database: Callable[[str], str], engine: str
) -> None:
    platform = Platform(tmp_path / "disturbed", make_database(engine), f"file://{tmp_path}/disturbed/objects")
    other = Platform(tmp_path / "undisturbed", make_database(engine), f"file://{tmp_path}/undisturbed/objects")
    try:
        flags = _until_flagged(platform, restart=True)
        assert _until_flagged(other, restart=False) == flags
    finally:
        for each in (platform, other):
            each.stop()
            each.log.close()
    assert len(flags) == 8


def test_ledger_estimate_and_access(platform: Platform) -> None:
    _until_flagged(platform, restart=False)
    flags = platform.heard(edge.EdgeCaseFlagged)
    assert Counter(flag.arm for flag in flags) == {references.ARM_MINED: 6, references.ARM_CONTROL: 2}
    round_id = flags[0].round_id
    platform.say(
        *(
            platform.approved(flag, 0.8 if flag.arm == references.ARM_CONTROL else 0.5)
            for flag in flags
            if flag.prediction_id
        )
    )
    labelled = sum(1 for flag in flags if flag.prediction_id)

    def all_labelled() -> Any:
        shown = platform.get(f"/v1/rounds/{round_id}").json()
        return shown if sum(1 for line in shown["ledger"] if line["dice"]) == labelled else None

    ledger = platform.wait_until(all_labelled)
    assert ledger["state"] == "flagged" and ledger["pool_size"] == CASES and len(ledger["ledger"]) == CASES
    assert ledger["patient_count"] == CASES // 2
    by_case = {line["case_id"]: line for line in ledger["ledger"]}
    for flag in flags:
        line = by_case[flag.case_id]
        assert line["rank"] == flag.rank and line["mined_as_well"] == flag.mined_as_well
        assert line["inclusion_probability"] == flag.inclusion_probability
        assert line["scores"] == {score.name: score.value for score in flag.scores}
    assert by_case["case-009"]["scores"]["components-segment-1"] == 5.0
    assert by_case["case-005"]["state"] == "failed"
    estimate = ledger["estimate"]
    assert estimate["pool_performance"]["mean"] == pytest.approx(0.8)
    assert estimate["mined_minus_control"]["difference"] == pytest.approx(0.3)
    assert estimate["mined_minus_control"]["known"] is False

    listed = platform.get(f"/v1/rounds?project_id={PROJECT}").json()
    assert [each["round_id"] for each in listed["rounds"]] == [round_id]
    assert listed["mined_minus_control"]["difference"] == pytest.approx(0.3)
    page = platform.get(f"/v1/rounds/{round_id}?flagged_only=true&limit=3&after=6").json()
    assert [line["rank"] for line in page["ledger"]] == [7, 8] and page["next"] is None
    assert platform.get(f"/v1/rounds/{round_id}?limit=3").json()["next"] == 3
    status = platform.get("/v1/status").json()["projects"][PROJECT]
    assert status["eligible"] == CASES - labelled - (8 - labelled) and status["open_round"] is None
    # A ledger names arms: readers and reviewers are kept out, a member of the project is let in.
    for role in (Role.READER, Role.REVIEWER):
        assert platform.get(f"/v1/rounds/{round_id}", [role]).status_code == 403
        assert platform.get(f"/v1/rounds?project_id={PROJECT}", [role]).status_code == 403
    assert platform.get(f"/v1/rounds/{round_id}", [], "lead").status_code == 200
    assert platform.get("/v1/rounds/no-such").status_code == 404
    assert platform.get("/v1/rounds?project_id=other").json()["error"] == "project-unknown"


def test_cold_start_and_what_a_replay_brings_back(platform: Platform) -> None:
    platform.start()

    def known() -> int:
        with platform.service.database.begin(read_only=True) as connection:  # type: ignore[union-attr]
            return connection.exec_driver_sql("SELECT count(*) FROM cases").scalar_one()

    platform.say(*(platform.ingested(number) for number in range(8)))
    platform.say(*(platform.ingested(number, references.SPLIT_TEST) for number in range(8, 12)))
    platform.wait_until(lambda: known() == 12)
    platform.say(platform.configured(cold_start=True, batch_size=4))
    flags = platform.wait_for(edge.EdgeCaseFlagged, 4)
    assert {flag.arm for flag in flags} == {references.ARM_COLD_START} and {flag.round_number for flag in flags} == {0}
    withdrawn = flags[0].study_key
    platform.say(ingest.StudyWithdrawn(study_key=withdrawn, reason=ingest.WITHDRAW_REASON_CONSENT, site="site-1"))
    eligible = 8 - 4  # the withdrawn one was before the readers already
    platform.wait_until(lambda: known() == 11)
    # Everything again, under new event ids as after a loss of the inbox: nothing comes back, nothing is said twice.
    platform.say(
        platform.configured(cold_start=True, batch_size=4), *(platform.ingested(number) for number in range(8))
    )
    platform.say(platform.ingested(20, references.SPLIT_TEST))
    platform.wait_until(lambda: known() == 12)
    assert platform.get("/v1/status").json()["projects"][PROJECT]["eligible"] == eligible
    assert len(platform.heard(edge.EdgeCaseFlagged)) == 4


def test_an_unknown_strategy_goes_to_the_dead_letters(platform: Platform) -> None:
    platform.start()
    platform.say(platform.configured(strategy="best"))
    letters = platform.wait_until(lambda: platform.log.read("project-configured.edge-miner.dlq", {}, 10))
    assert "strategy-unknown" in letters[0].record.headers["dlq_reason"]
