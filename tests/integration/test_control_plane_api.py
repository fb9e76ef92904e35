"""The control plane with its real parts: REST in, database, outbox, event log; events in, catalogue out."""

import copy
import json
from itertools import combinations
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from control_plane.adapters.tables import METADATA
from control_plane.app import build
from control_plane.settings import ControlPlaneSettings
from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.messages import Envelope, Record
from radloop.settings import SharedSettings
from radloop.testing import assert_migrations_match
from radloop.wire import event_option

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
BODY = json.loads((ROOT / "docs/examples/project.json").read_text())
SPLIT = references_pb2.Split.Value
ARM = references_pb2.Arm.Value
PROJECT = "hippocampus"
ANNA, DORA, ADMIN, STRANGER = "anna", "dora", "root", "zoe"


def digest(name: str) -> str:
    return "sha256:" + name.encode().hex().ljust(64, "0")


class Platform:
    """A control plane whose loops are turned by hand, and everybody else as records in its event log."""

    def __init__(self, folder: Path) -> None:
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder / 'events.db'}",
            database_url=f"sqlite:///{folder / 'state'}",
            objects_url=f"file:///{folder / 'objects'}",
            auth_url=f"token:{folder / 'secret'}",
            work_dir=folder / "work",
        )
        self.service = build(ControlPlaneSettings(shared=shared))
        self.client = TestClient(self.service.http, raise_server_exceptions=True)
        self.said_by_others = 0

    def token(self, subject: str, **roles: list[Role]) -> dict[str, str]:
        authenticator = self.service.http.state.authenticator
        every = {("*" if name == "everywhere" else name): names for name, names in roles.items()}
        return {"Authorization": f"Bearer {authenticator.issue(subject, every, lifetime_s=600)}"}

    @property
    def admin(self) -> dict[str, str]:
        return self.token(ADMIN, everywhere=[Role.SITE_ADMIN])

    def put(self, body: dict, headers: dict[str, str] | None = None, project: str = PROJECT):
        return self.client.put(f"/v1/projects/{project}", json=body, headers=headers or self.admin)

    def get(self, path: str, headers: dict[str, str] | None = None, status: int = 200):
        answer = self.client.get(path, headers=headers or self.admin)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, body: dict | None = None, headers: dict[str, str] | None = None):
        return self.client.post(path, json=body, headers=headers or self.admin)

    def hear(self, *events, service: str = "somebody", site: str = "site-1") -> None:
        records = []
        for event in events:
            option = event_option(type(event))
            key = getattr(event, option.key)
            envelope = Envelope.new(option.topic, source=f"/{site}/{service}", subject=key)
            records.append(Record(option.topic, key, event.SerializeToString(), envelope.headers()))
        self.service.event_log.append(records)
        while self.service.consumer.step(timeout_s=0):
            pass
        assert not [topic for topic in self.service.event_log.topics() if topic.endswith(".dlq")]

    def said(self, topic: str) -> list[Record]:
        while self.service.relay.step():
            pass
        return [stored.record for stored in self.service.event_log.read(topic, 0, 1000)]

    def close(self) -> None:
        self.client.close()
        self.service.consumer.close()
        self.service.event_log.close()
        self.service.database.close()


@pytest.fixture
def platform(tmp_path):
    platform = Platform(tmp_path)
    yield platform
    platform.close()


@pytest.fixture
def project(platform):
    assert platform.put(BODY).status_code == 200
    return platform


# Events of a small history: two patients with two cases each train, two test.


def study(number: int, split: str = "TRAIN", patient: str | None = None, revision: int = 1):
    return ingest_pb2.StudyIngested(
        study_key=f"study-{number}",
        site="site-1",
        project_id=PROJECT,
        project_version=1,
        revision=revision,
        patient_key=patient or f"patient-{number}",
        split=SPLIT(f"SPLIT_{split}"),
        cases=[ingest_pb2.Case(case_id=f"case-{number}")],
    )


def approved(number: int, arm: str = "UNSPECIFIED", round_id: str = "", dice: float | None = None, sequence: int = 1):
    scores = [] if dice is None else [("dice-segment-1", dice - 0.02), ("dice-segment-2", dice + 0.02)]
    return qa_pb2.LabelApproved(
        review_id=f"review-{number}-{sequence}",
        label_version_id=f"label-{number}-{sequence}",
        case_id=f"case-{number}",
        study_key=f"study-{number}",
        project_id=PROJECT,
        project_version=1,
        mask=references_pb2.ObjectRef(key=f"labeling/study-{number}/x.nii", digest=digest("mask"), size_bytes=1),
        source="LABEL_SOURCE_READER" if round_id else "LABEL_SOURCE_IMPORT",
        prediction_dice=[references_pb2.Score(name=name, value=value) for name, value in scores],
        round_id=round_id,
        arm=ARM(f"ARM_{arm}"),
        sequence=sequence,
    )


def flagged(number: int, arm: str, round_id: str = "round-1", round_number: int = 1):
    return edge_miner_pb2.EdgeCaseFlagged(
        round_id=round_id,
        round_number=round_number,
        case_id=f"case-{number}",
        study_key=f"study-{number}",
        project_id=PROJECT,
        arm=ARM(f"ARM_{arm}"),
        pool_size=40,
        batch_size=4,
        model_digest=digest("m1"),
    )


def started(run: int, *numbers: int, request_id: str = ""):
    return trainer_pb2.TrainingStarted(
        run_id=f"run-{run}",
        project_id=PROJECT,
        dataset_version=digest(f"d{run}"),
        plan_digest=digest(f"p{run}"),
        run_number=run,
        request_id=request_id,
        items=[
            trainer_pb2.DatasetItem(
                case_id=f"case-{number}",
                study_key=f"study-{number}",
                image_digest=digest("image"),
                label_version_id=f"label-{number}-1",
                label_digest=digest("label"),
                weight=1.0,
                split=SPLIT("SPLIT_TRAIN"),
            )
            for number in numbers
        ],
    )


def dice(number: int, first: float, second: float, patient: str | None = None):
    name = patient or f"patient-{number}"
    return [
        references_pb2.CaseDice(case_id=f"case-{number}", patient_key=name, segment=segment, dice=value)
        for segment, value in ((1, first), (2, second))
    ]


def trained(run: int, test: list | None = None, serving: str = ""):
    return trainer_pb2.ModelTrained(
        model_name="hippocampus",
        model_digest=digest(f"m{run}"),
        project_id=PROJECT,
        run_id=f"run-{run}",
        run_number=run,
        dataset_version=digest(f"d{run}"),
        plan_digest=digest(f"p{run}"),
        bundle=references_pb2.ObjectRef(key=f"trainer/{PROJECT}/m{run}.zip", digest=digest(f"m{run}"), size_bytes=10),
        train_patient_count=2,
        test_dice=test or [],
        comparison=trainer_pb2.Comparison(serving_digest=serving, patient_count=3, passes=True),
        duration_s=12.5,
    )


def deployed(sequence: int, serving: str, candidate: str, outcome: str = "SERVING", previous: str = ""):
    name = candidate and references_pb2.ObjectRef(key=f"x/{candidate}.zip", digest=digest(candidate), size_bytes=10)
    return inference_pb2.ModelDeployed(
        model_name="hippocampus",
        project_id=PROJECT,
        serving_digest=digest(serving) if serving else "",
        candidate_digest=digest(candidate) if candidate else "",
        outcome=inference_pb2.Deployment.Value(f"DEPLOYMENT_{outcome}"),
        sequence=sequence,
        previous_digest=digest(previous) if previous else "",
        candidate_bundle=name or None,
    )


def test_migrations_make_the_tables():
    assert_migrations_match("control_plane.adapters.migrations", METADATA)


def test_a_project_is_announced_once_per_change(platform):
    first = platform.put(BODY)
    assert first.json() == {"project_id": PROJECT, "project_version": 1, "sequence": 1}
    assert platform.put(BODY).json()["project_version"] == 1

    changed = copy.deepcopy(BODY)
    changed["selection"]["batch_size"] = 12
    assert platform.put(changed).json()["project_version"] == 2

    records = platform.said("project-configured")
    assert [record.key for record in records] == [PROJECT, PROJECT]
    said = [control_plane_pb2.ProjectConfigured.FromString(record.value) for record in records]
    assert [event.project_version for event in said] == [1, 2]
    assert [event.selection.batch_size for event in said] == [10, 12]
    assert said[0].promotion.mode == control_plane_pb2.PROMOTION_MODE_AUTOMATIC
    assert said[0].members[3].role == control_plane_pb2.ROLE_PROJECT_LEAD
    assert records[0].headers["ce_source"] == "/site-1/control-plane"

    read = platform.get(f"/v1/projects/{PROJECT}")
    assert read["project_version"] == 2 and read["selection"]["batch_size"] == 12
    assert platform.get(f"/v1/projects/{PROJECT}?version=1")["selection"]["batch_size"] == 10
    assert platform.get(f"/v1/projects/{PROJECT}?version=7", status=404)["error"] == "version-unknown"
    # What was read can be put back: it is the same project.
    body = {name: value for name, value in read.items() if name not in ("project_id", "project_version", "sequence")}
    assert platform.put(body).json()["project_version"] == 2


BAD = [
    ("a value beyond uint8", lambda b: b["segments"][0].update(value=256)),
    ("a value as a string", lambda b: b["segments"][0].update(value="1")),
    ("one value twice", lambda b: b["segments"][1].update(value=1)),
    ("one name twice", lambda b: b["segments"][1].update(name="anterior")),
    ("a name with a space", lambda b: b["segments"][0].update(name="Anterior part")),
    ("a colour by name", lambda b: b["segments"][0].update(color="red")),
    ("a coded term without meaning", lambda b: b["segments"][0]["type"].update(meaning="")),
    ("a fraction above one half", lambda b: b["split"].update(test_fraction=0.6)),
    ("nothing left to train", lambda b: b["split"].update(test_fraction=0.5, validation_fraction=0.5)),
    ("an unknown strategy", lambda b: b["selection"].update(strategy="clever")),
    ("a batch larger than the pool", lambda b: b["selection"].update(pool_sample=5)),
    ("not a number", lambda b: b["promotion"].update(margin="NaN")),
    ("an unknown role", lambda b: b["members"][0].update(role="boss")),
    ("a routing rule that takes everything", lambda b: b["routing"].append({})),
    ("no routing", lambda b: b.update(routing=[])),
    ("a field nobody knows", lambda b: b.update(hook="x")),
    ("a class to call", lambda b: b["training"].update({"_target_": "subprocess.run"})),
    ("a class to call as a value", lambda b: b["segments"][0]["type"].update(meaning="_target_: os.system")),
    ("an expression", lambda b: b["routing"][0].update(description_contains="$import os")),
    ("a reference", lambda b: b["members"][0].update(subject="@network")),
    ("an absolute path", lambda b: b["segments"][0]["type"].update(meaning="/etc/passwd")),
    ("a relative path", lambda b: b["routing"][0].update(description_contains="../../secrets")),
    ("a URL", lambda b: b["segments"][0]["type"].update(meaning="https://example.org/x")),
    ("two of three spacings", lambda b: b["training"].update(spacing_mm=[1.0, 1.0])),
]


@pytest.mark.parametrize(("why", "break_it"), BAD, ids=[why for why, _ in BAD])
def test_a_bad_project_is_refused_and_says_why(platform, why, break_it):
    body = copy.deepcopy(BODY)
    break_it(body)
    answer = platform.put(body)
    assert answer.status_code == 422, answer.text
    error = answer.json()
    assert error["error"] and error["expected"] and error["do"]
    assert platform.said("project-configured") == []
    assert platform.get("/v1/projects") == {"projects": []}


def test_words_with_a_slash_are_still_words(platform):
    body = copy.deepcopy(BODY)
    body["routing"][0]["description_contains"] = "T1/T2 brain"
    body["members"][0]["subject"] = "anna@example.org"
    assert platform.put(body).status_code == 200


def test_values_are_never_renumbered_or_reused(project):
    retired = copy.deepcopy(BODY)
    del retired["segments"][1]
    assert project.put(retired).json()["project_version"] == 2

    reused = copy.deepcopy(retired)
    reused["segments"].append(BODY["segments"][1] | {"name": "amygdala"})
    answer = project.put(reused)
    assert (answer.status_code, answer.json()["error"]) == (409, "segment-value-reused")
    assert "3" in answer.json()["do"]

    renumbered = copy.deepcopy(retired)
    renumbered["segments"].append(BODY["segments"][1] | {"value": 5})
    answer = project.put(renumbered)
    assert (answer.status_code, answer.json()["error"]) == (409, "segment-renumbered")

    recoded = copy.deepcopy(BODY)
    recoded["segments"][1]["type"]["value"] = "OTHER"
    assert project.put(recoded).json()["error"] == "segment-value-reused"

    brought_back = copy.deepcopy(BODY)
    brought_back["segments"][1]["color"] = "#00ff00"
    assert project.put(brought_back).json()["project_version"] == 3
    assert len(project.said("project-configured")) == 3


def test_model_names_are_unique_and_fixed(project):
    answer = project.put(BODY, project="second")
    assert (answer.status_code, answer.json()["error"]) == (409, "model-name-taken")
    answer = project.put(BODY | {"model_name": "other"})
    assert (answer.status_code, answer.json()["error"]) == (409, "model-name-fixed")


def test_roles_come_from_tokens_and_from_membership(project):
    dora, anna, zoe = project.token(DORA), project.token(ANNA), project.token(STRANGER)
    changed = BODY | {"overlapping_segments": True}
    assert project.put(changed, zoe).status_code == 403
    assert project.put(changed, anna).status_code == 403
    assert project.put(changed, dora).status_code == 200
    assert project.put(BODY | {"model_name": "more"}, dora, project="more").status_code == 403
    assert project.client.get("/v1/projects").status_code == 401

    assert project.get(f"/v1/projects/{PROJECT}", anna)["project_version"] == 2
    project.get(f"/v1/projects/{PROJECT}", zoe, status=403)
    assert project.get("/v1/projects", zoe) == {"projects": []}
    assert [each["project_id"] for each in project.get("/v1/projects", anna)["projects"]] == [PROJECT]
    for path in ("train", "rollback", "serve-none"):
        assert project.post(f"/v1/projects/{PROJECT}/{path}", headers=anna).status_code == 403

    # Nobody gives away more than they have.
    appointed = copy.deepcopy(changed)
    appointed["members"].append({"subject": DORA, "role": "site-admin"})
    assert project.put(appointed, dora).status_code == 403
    assert project.put(appointed).status_code == 200


def test_training_is_requested_and_its_run_found(project):
    answer = project.post(f"/v1/projects/{PROJECT}/train")
    assert answer.status_code == 202
    (record,) = project.said("training-requested")
    event = control_plane_pb2.TrainingRequested.FromString(record.value)
    assert event.request_id == answer.json()["request_id"]

    project.hear(started(1, 1, request_id=event.request_id), trained(1))
    model = project.get(f"/v1/models/{digest('m1')}")
    assert model["lineage"]["request_id"] == event.request_id
    assert project.post("/v1/projects/unknown/train").status_code == 404


def test_lineage_from_labels_to_deployments(project):
    project.hear(study(1), study(2), approved(1), approved(2), started(1, 1, 2), trained(1), deployed(1, "m1", "m1"))
    (listed,) = project.get(f"/v1/models?project_id={PROJECT}")["models"]
    assert listed["serving"] is True and listed["outcome"] == "serving" and listed["origin"] == "trained"

    lineage = project.get(f"/v1/models/{digest('m1')}")["lineage"]
    assert lineage["label_version_ids"] == ["label-1-1", "label-2-1"]
    assert lineage["dataset_version"] == digest("d1")
    assert lineage["run_id"] == "run-1"
    assert [(one["site"], one["sequence"], one["outcome"]) for one in lineage["deployments"]] == [
        ("site-1", 1, "serving")
    ]

    (dataset,) = project.get("/v1/datasets")["datasets"]
    assert dataset["labels"] == {"train": 2} and dataset["runs"][0]["state"] == "trained"
    items = project.get(f"/v1/datasets/{digest('d1')}")["items"]
    assert [item["label_version_id"] for item in items] == ["label-1-1", "label-2-1"]
    assert project.get("/v1/datasets/sha256:none", status=404)["error"] == "dataset-unknown"
    assert project.get("/v1/models/sha256:none", status=404)["error"] == "model-unknown"


def test_promote_roll_back_and_serve_none(project):
    assert project.post(f"/v1/projects/{PROJECT}/rollback").json()["error"] == "no-earlier-model"
    unknown = project.post(f"/v1/models/{digest('m9')}/promote", {"project_id": PROJECT})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "model-unknown")

    project.hear(trained(1), deployed(1, "m1", "m1"))
    assert project.post(f"/v1/projects/{PROJECT}/rollback").status_code == 409
    project.hear(trained(2), deployed(2, "m2", "m2", previous="m1"), deployed(3, "m2", "m3", "KEPT"))

    assert project.post(f"/v1/projects/{PROJECT}/rollback").json() == {
        "project_id": PROJECT,
        "model_digest": digest("m1"),
        "sequence": 1,
    }
    assert project.post(f"/v1/projects/{PROJECT}/serve-none").json()["sequence"] == 2
    assert project.post(f"/v1/models/{digest('m3')}/promote", {"project_id": PROJECT}).json()["sequence"] == 3

    said = [control_plane_pb2.ModelPromoted.FromString(record.value) for record in project.said("model-promoted")]
    assert [event.sequence for event in said] == [1, 2, 3]
    assert [event.model_digest for event in said] == [digest("m1"), "", digest("m3")]
    assert said[0].bundle.key == f"trainer/{PROJECT}/m1.zip"
    assert not said[1].HasField("bundle")
    assert said[2].bundle.digest == digest("m3")


def test_a_brought_model_is_in_the_registry(project):
    project.hear(deployed(1, "", "brought", "IMPORTED"))
    (model,) = project.get("/v1/models")["models"]
    assert (model["origin"], model["outcome"], model["serving"]) == ("imported", "imported", False)
    assert project.post(f"/v1/models/{digest('brought')}/promote", {"project_id": PROJECT}).status_code == 202


def test_counts(project):
    project.hear(
        study(1),
        study(2),
        study(3, "TEST"),
        approved(1),
        approved(1, sequence=2),
        approved(3),
        approved(99),
        flagged(1, "MINED"),
        flagged(2, "CONTROL"),
        inference_pb2.PredictionMade(
            prediction_id="p1", case_id="case-1", study_key="study-1", project_id=PROJECT, model_digest=digest("m1")
        ),
        inference_pb2.PredictionFailed(
            prediction_id="p2",
            case_id="case-2",
            study_key="study-2",
            project_id=PROJECT,
            model_digest=digest("m1"),
            reason="PREDICTION_FAILURE_UNREADABLE",
        ),
    )
    counts = project.get(f"/v1/projects/{PROJECT}/counts")
    assert counts["splits"]["train"] == {"studies": 2, "patients": 2, "cases": 2, "approved_labels": 1}
    assert counts["splits"]["test"] == {"studies": 1, "patients": 1, "cases": 1, "approved_labels": 1}
    assert counts["approved_labels_of_unknown_split"] == 1
    (round_one,) = counts["rounds"]
    assert round_one["flagged"] == {"mined": 1, "control": 1, "reported": 0, "cold-start": 0}
    assert counts["predictions"] == [{"model_digest": digest("m1"), "made": 1, "failed": 1}]


def test_the_curve_takes_patients_not_cases(project):
    # Patient A: cases 11 and 12 (0.8, 0.9 -> 0.85), B: 0.95. Mean 0.9, sd 0.0707, half-width 12.706 * 0.05 = 0.6353.
    test = dice(11, 0.8, 0.8, "A") + dice(12, 0.9, 0.9, "A") + dice(13, 0.95, 0.95, "B")
    project.hear(
        *(study(number) for number in (1, 2, 3, 4)),
        started(1, 1, 2),
        trained(1, test),
        flagged(1, "MINED"),
        flagged(2, "MINED"),
        flagged(3, "CONTROL"),
        flagged(4, "CONTROL"),
        approved(1, "MINED", "round-1", 0.5),
        approved(2, "MINED", "round-1", 0.7),
        approved(3, "CONTROL", "round-1", 0.8),
        approved(4, "CONTROL", "round-1", 0.9),
    )
    curve = project.get(f"/v1/projects/{PROJECT}/curve")
    (point,) = curve["models"]
    assert point["labels"] == {"train": 2, "by_arm": {"import": 2}, "all": 2}
    assert point["train_patient_count"] == 2
    assert point["test"]["mean"] == pytest.approx(0.9)
    assert point["test"]["patients"] == 2
    assert point["test"]["high"] - point["test"]["mean"] == pytest.approx(0.6353, abs=1e-4)
    assert [segment["value"] for segment in point["test_segments"]] == [1, 2]
    (round_one,) = curve["rounds"]
    assert round_one["approved"]["mined"] == 2
    assert round_one["prediction_dice"]["mined"]["mean"] == pytest.approx(0.6)
    assert round_one["prediction_dice"]["control"]["mean"] == pytest.approx(0.85)
    assert curve["mined_against_control"]["mean"] == pytest.approx(0.25)
    assert curve["mined_against_control"]["known"] is False


def withdrawn(number: int):
    return ingest_pb2.StudyWithdrawn(study_key=f"study-{number}", reason="WITHDRAW_REASON_CONSENT", site="site-1")


def everything_about_one_study():
    prediction = inference_pb2.PredictionMade(
        prediction_id="p1", case_id="case-1", study_key="study-1", project_id=PROJECT, model_digest=digest("m0")
    )
    return [
        study(1),
        prediction,
        flagged(1, "MINED"),
        approved(1, "MINED", "round-1", 0.5),
        started(1, 1, 2),
        trained(1, dice(1, 0.5, 0.5) + dice(2, 0.9, 0.9)),
        trained(2, serving=digest("m1")),
        withdrawn(1),
    ]


def picture(platform: Platform) -> dict:
    return {
        path: platform.get(path)
        for path in (
            f"/v1/projects/{PROJECT}/counts",
            f"/v1/projects/{PROJECT}/curve",
            "/v1/datasets",
            f"/v1/datasets/{digest('d1')}",
            "/v1/models",
            f"/v1/models/{digest('m1')}",
            "/v1/withdrawals",
        )
    }


def test_withdrawal_forgets_the_study_and_lists_what_contained_it(project):
    project.hear(*everything_about_one_study())
    assert project.get("/v1/withdrawals")["withdrawals"] == [
        {
            "study_key": "study-1",
            "site": "site-1",
            "reason": "consent",
            "dataset_versions": [digest("d1")],
            "models": [digest("m1")],
            "models_from_their_weights": [digest("m2")],
        }
    ]
    counts = project.get(f"/v1/projects/{PROJECT}/counts")
    assert counts["splits"]["train"]["studies"] == 0 and counts["rounds"] == [] and counts["predictions"] == []
    cases = project.get(f"/v1/models/{digest('m1')}")["metrics"]["test"]["cases"]
    assert {case["case_id"] for case in cases} == {"case-2"}

    before = picture(project)
    project.hear(*everything_about_one_study()[:-1])
    assert picture(project) == before


def test_every_pair_of_topics_may_arrive_in_either_order(tmp_path):
    """Any interleaving of topics gives one picture; order holds within a topic and key only."""
    events = everything_about_one_study()
    orders = [events, events[::-1]]
    orders += [[b, a, *(e for e in events if e not in (a, b))] for a, b in combinations(events, 2)]
    orders = [order for order in orders if order.index(events[5]) < order.index(events[6])]
    pictures = []
    for number, order in enumerate(orders):
        platform = Platform(tmp_path / str(number))
        platform.put(BODY)
        platform.hear(*order)
        pictures.append(picture(platform))
        platform.close()
    assert all(each == pictures[0] for each in pictures)


def test_repeats_and_replay_double_nothing(project):
    events = everything_about_one_study()[:-1] + [deployed(1, "m1", "m1")]
    project.hear(*events)
    before = picture(project)
    project.hear(*events)  # new ids, as a producer's second outbox would say them
    assert picture(project) == before


def test_sites_serve_by_themselves(project):
    project.hear(trained(1), trained(2), deployed(1, "m1", "m1"), deployed(2, "m2", "m2"))
    project.hear(deployed(1, "m2", "m2"), deployed(2, "m1", "m1"), site="site-2")
    answer = project.post(f"/v1/projects/{PROJECT}/rollback")
    assert (answer.status_code, answer.json()["error"]) == (409, "sites-differ")


def test_status_counts_rejections_without_identities(project):
    project.hear(
        ingest_pb2.StudyRejected(
            study_key="s", reason="REJECT_REASON_TILTED", instance_count=30, site="site-1", rejection_id="r1"
        )
    )
    assert project.get("/v1/status")["rejected_instances"] == {"tilted": 30}
    assert project.client.get("/readyz").status_code == 200


def test_values_too_large_for_the_database_are_refused(project):
    assert project.get(f"/v1/projects/{PROJECT}?version={2**70}", status=422)["error"] == "request-invalid"
    body = copy.deepcopy(BODY)
    body["selection"]["seed"] = 2**63
    assert project.put(body).status_code == 422
    body["selection"]["seed"] = 2**63 - 1
    assert project.put(body).status_code == 200
    (_, record) = project.said("project-configured")
    assert control_plane_pb2.ProjectConfigured.FromString(record.value).selection.seed == 2**63 - 1
