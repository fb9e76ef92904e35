"""Projects, roles, wishes: REST in, announcements out."""

import copy

import pytest

from control_plane.adapters.tables import METADATA
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.testing import assert_migrations_match

pytestmark = pytest.mark.integration
PROJECT = "hippocampus"


def test_migrations_make_the_tables(empty_database_url):
    assert_migrations_match(empty_database_url, "control-plane", "control_plane.adapters.migrations", METADATA)


def test_a_project_is_announced_once_per_change(platform, body):
    first = platform.put(body)
    assert first.json() == {"project_id": PROJECT, "project_version": 1, "sequence": 1}
    assert platform.put(body).json()["project_version"] == 1

    changed = copy.deepcopy(body)
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
    ("instructions too long", lambda b: b["reading"].update(instructions="x" * 20_001)),
    ("instructions with a control character", lambda b: b["reading"].update(instructions="read\x1b[2Jthis")),
    ("two of three spacings", lambda b: b["training"].update(spacing_mm=[1.0, 1.0])),
]


@pytest.mark.parametrize(("why", "break_it"), BAD, ids=[why for why, _ in BAD])
def test_a_bad_project_is_refused_and_says_why(platform, why, break_it, body):
    body = copy.deepcopy(body)
    break_it(body)
    answer = platform.put(body)
    assert answer.status_code == 422, answer.text
    error = answer.json()
    assert error["error"] and error["expected"] and error["do"]
    assert platform.said("project-configured") == []
    assert platform.get("/v1/projects") == {"projects": []}


def test_readers_get_their_instructions_with_every_version(platform, body):
    text = (
        "# How to read\n\n1. See https://example.org/protocol, page `3`.\n\t$ costs nothing: ../ and _all_ are words.\n"
        + "x" * 19_000
    )
    for version, instructions in enumerate((text, "shorter", text), start=1):
        changed = copy.deepcopy(body)
        changed["reading"]["instructions"] = instructions
        assert platform.put(changed).json()["project_version"] == version
    said = [control_plane_pb2.ProjectConfigured.FromString(r.value) for r in platform.said("project-configured")]
    assert [event.reading.instructions for event in said] == [text, "shorter", text]
    assert platform.get(f"/v1/projects/{PROJECT}?version=2")["reading"]["instructions"] == "shorter"


def test_words_with_a_slash_are_still_words(platform, body):
    body = copy.deepcopy(body)
    body["routing"][0]["description_contains"] = "T1/T2 brain"
    body["members"][0]["subject"] = "anna@example.org"
    assert platform.put(body).status_code == 200


def test_values_are_never_renumbered_or_reused(project, body):
    retired = copy.deepcopy(body)
    del retired["segments"][1]
    assert project.put(retired).json()["project_version"] == 2

    reused = copy.deepcopy(retired)
    reused["segments"].append(body["segments"][1] | {"name": "amygdala"})
    answer = project.put(reused)
    assert (answer.status_code, answer.json()["error"]) == (409, "segment-value-reused")
    assert "3" in answer.json()["do"]

    renumbered = copy.deepcopy(retired)
    renumbered["segments"].append(body["segments"][1] | {"value": 5})
    answer = project.put(renumbered)
    assert (answer.status_code, answer.json()["error"]) == (409, "segment-renumbered")

    recoded = copy.deepcopy(body)
    recoded["segments"][1]["type"]["value"] = "OTHER"
    assert project.put(recoded).json()["error"] == "segment-value-reused"

    brought_back = copy.deepcopy(body)
    brought_back["segments"][1]["color"] = "#00ff00"
    assert project.put(brought_back).json()["project_version"] == 3
    assert len(project.said("project-configured")) == 3


def test_model_names_are_unique_and_fixed(project, body):
    answer = project.put(body, project="second")
    assert (answer.status_code, answer.json()["error"]) == (409, "model-name-taken")
    answer = project.put(body | {"model_name": "other"})
    assert (answer.status_code, answer.json()["error"]) == (409, "model-name-fixed")
    answer = project.put(body | {"overlapping_segments": True})
    assert (answer.status_code, answer.json()["error"]) == (409, "overlap-fixed")


def test_roles_come_from_tokens_and_from_membership(project, body):
    dora, anna, zoe = project.token("dora"), project.token("anna"), project.token("zoe")
    changed = body | {"routing": [{"modality": "CT"}]}
    assert project.put(changed, zoe).status_code == 403
    assert project.put(changed, anna).status_code == 403
    assert project.put(changed, dora).status_code == 200
    assert project.put(body | {"model_name": "more"}, dora, project="more").status_code == 403
    assert project.client.get("/v1/projects").status_code == 401

    assert project.get(f"/v1/projects/{PROJECT}", anna)["project_version"] == 2
    project.get(f"/v1/projects/{PROJECT}", zoe, status=403)
    assert project.get("/v1/projects", zoe) == {"projects": []}
    assert [each["project_id"] for each in project.get("/v1/projects", anna)["projects"]] == [PROJECT]
    for path in ("train", "rollback", "serve-none"):
        assert project.post(f"/v1/projects/{PROJECT}/{path}", headers=anna).status_code == 403

    # Nobody gives away more than they have.
    appointed = copy.deepcopy(changed)
    appointed["members"].append({"subject": "dora", "role": "site-admin"})
    assert project.put(appointed, dora).status_code == 403
    assert project.put(appointed).status_code == 200


def test_training_is_requested_and_its_run_found(project, story):
    answer = project.post(f"/v1/projects/{PROJECT}/train")
    assert answer.status_code == 202
    (record,) = project.said("training-requested")
    event = control_plane_pb2.TrainingRequested.FromString(record.value)
    assert event.request_id == answer.json()["request_id"]

    project.hear(story.started(1, 1, request_id=event.request_id), story.trained(1))
    model = project.get(f"/v1/models/{story.digest('m1')}")
    assert model["lineage"]["request_id"] == event.request_id
    assert project.post("/v1/projects/unknown/train").status_code == 404


def test_promote_roll_back_and_serve_none(project, story):
    assert project.post(f"/v1/projects/{PROJECT}/rollback").json()["error"] == "no-earlier-model"
    unknown = project.post(f"/v1/models/{story.digest('m9')}/promote", {"project_id": PROJECT})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "model-unknown")

    project.hear(story.trained(1), story.deployed(1, "m1", "m1"))
    assert project.post(f"/v1/projects/{PROJECT}/rollback").status_code == 409
    project.hear(story.trained(2), story.deployed(2, "m2", "m2", previous="m1"), story.deployed(3, "m2", "m3", "KEPT"))

    assert project.post(f"/v1/projects/{PROJECT}/rollback").json() == {
        "project_id": PROJECT,
        "model_digest": story.digest("m1"),
        "sequence": 1,
    }
    assert project.post(f"/v1/projects/{PROJECT}/serve-none").json()["sequence"] == 2
    assert project.post(f"/v1/models/{story.digest('m3')}/promote", {"project_id": PROJECT}).json()["sequence"] == 3

    said = [control_plane_pb2.ModelPromoted.FromString(record.value) for record in project.said("model-promoted")]
    assert [event.sequence for event in said] == [1, 2, 3]
    assert [event.model_digest for event in said] == [story.digest("m1"), "", story.digest("m3")]
    assert said[0].bundle.key == f"trainer/{PROJECT}/m1.zip"
    assert not said[1].HasField("bundle")
    assert said[2].bundle.digest == story.digest("m3")


def test_a_wish_is_shown_until_it_is_answered_and_going_back_undoes_it(project, story):
    def states():
        models = project.get("/v1/models")["models"]
        return [(each["outcome"], each["serving"], each["wanted"]) for each in models]

    def back() -> str:
        return project.post(f"/v1/projects/{PROJECT}/rollback").json()["model_digest"]

    project.hear(story.trained(1), story.deployed(1, "m1", "m1"))
    project.hear(
        story.trained(2), story.deployed(2, "m2", "m2"), story.trained(3), story.deployed(3, "m2", "m3", "KEPT")
    )
    assert project.post(f"/v1/models/{story.digest('m3')}/promote", {"project_id": PROJECT}).json()["sequence"] == 1
    assert states() == [("serving", False, False), ("serving", True, False), ("kept", False, True)]
    assert back() == story.digest("m2")
    project.hear(story.deployed(4, "m2", "m3", "OVERTAKEN", wish=1), story.deployed(5, "m2", "m2", wish=2))
    assert states() == [("serving", False, False), ("serving", True, False), ("kept", False, False)]
    assert back() == story.digest("m1")
    assert [wanted for _, _, wanted in states()] == [True, False, False]


def test_a_brought_model_is_in_the_registry(project, story):
    project.hear(story.deployed(1, "", "brought", "IMPORTED"))
    (model,) = project.get("/v1/models")["models"]
    assert (model["origin"], model["outcome"], model["serving"]) == ("imported", "imported", False)
    assert project.post(f"/v1/models/{story.digest('brought')}/promote", {"project_id": PROJECT}).status_code == 202


def test_sites_serve_by_themselves(project, story):
    project.hear(story.trained(1), story.trained(2), story.deployed(1, "m1", "m1"), story.deployed(2, "m2", "m2"))
    project.hear(story.deployed(1, "m2", "m2"), story.deployed(2, "m1", "m1"), site="site-2")
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


def test_values_too_large_for_the_database_are_refused(project, body):
    assert project.get(f"/v1/projects/{PROJECT}?version={2**70}", status=422)["error"] == "request-invalid"
    body = copy.deepcopy(body)
    body["selection"]["seed"] = 2**63
    assert project.put(body).status_code == 422
    body["selection"]["seed"] = 2**63 - 1
    assert project.put(body).status_code == 200
    (_, record) = project.said("project-configured")
    assert control_plane_pb2.ProjectConfigured.FromString(record.value).selection.seed == 2**63 - 1
