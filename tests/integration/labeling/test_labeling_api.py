"""The reading room over HTTP: worklist, leases, drafts, submit, return, approve, withdraw."""

import json

import numpy as np
import pytest
import sqlalchemy as sa

from radloop.auth import Role, pseudonym
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.imaging import read_nifti, same_geometry

pytestmark = pytest.mark.integration


def test_one_case_from_flag_to_approval(site, ada) -> None:
    site.ready()
    task = ada.next()
    assert (task["case_id"], task["state"], task["reading"]) == ("c1", "leased", "first")
    assert task["reasons"] == ["uncertain"]
    assert task["proposal_available"] and not task["blind"]
    image = read_nifti(ada.ask("GET", f"/v1/tasks/{task['task_id']}/image").content)
    proposal = read_nifti(ada.ask("GET", f"/v1/tasks/{task['task_id']}/proposal").content)
    assert same_geometry(image, proposal)
    assert ada.ask("GET", f"/v1/tasks/{task['task_id']}/manifest").json()["case_id"] == "c1"

    response = ada.submit(task, proposal.array, started_from_model="true")
    assert response.status_code == 200, response.text
    made = response.json()
    assert made["segments"] == [{"value": 1, "state": "annotated"}, {"value": 2, "state": "annotated"}]
    (said,) = site.submitted()
    assert said.label_version_id == made["label_version_id"]
    assert said.reader == pseudonym("ada")
    assert (said.started_from_model, said.prediction_id, said.attempt) == (True, "pred-c1", 1)
    assert said.arm == references_pb2.ARM_MINED
    assert said.source == labeling_pb2.LABEL_SOURCE_READER
    assert said.mask.key.startswith("labeling/s1/c1/")

    site.hear(site.returned(said))
    again = ada.next()
    assert again["task_id"] == task["task_id"]
    assert (again["returned"], again["attempt"]) == (["missing-segment"], 1)
    assert ada.submit(again, np.ones_like(proposal.array)).status_code == 200
    second = site.submitted()[1]
    assert (second.attempt, second.task_id) == (2, said.task_id)
    site.hear(site.approved(second))
    assert ada.ask("GET", f"/v1/tasks/{task['task_id']}").json()["state"] == "approved"
    assert ada.next() is None
    assert site.dead_letters() == []


def test_the_same_submit_again_is_the_same_label(site, ada) -> None:
    site.ready()
    task = ada.next()
    first, again = ada.submit(task), ada.submit(task)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert len(site.submitted()) == 1
    other = ada.submit(task, np.zeros((11, 9, 5), np.uint8))
    assert (other.status_code, other.json()["error"]) == (409, "task-closed")


@pytest.mark.parametrize("stated, state", [("", "absent"), ('[{"value":1,"state":"annotated"}]', "annotated")])
def test_an_empty_label_is_an_answer(site, ada, stated, state) -> None:
    site.ready()
    response = ada.submit(ada.next(), np.zeros((11, 9, 5), np.uint8), segments=stated)
    assert response.status_code == 200
    (said,) = site.submitted()
    names = {s.value: references_pb2.SegmentState.Name(s.state) for s in said.segments}
    assert names == {1: f"SEGMENT_STATE_{state.upper()}", 2: "SEGMENT_STATE_ABSENT"}


def test_expired_and_foreign_leases(site, ada, ben) -> None:
    site.ready()
    task = ada.next()
    path = f"/v1/tasks/{task['task_id']}"
    lease = {"lease_id": task["lease"]["lease_id"]}
    entry = lease | {"after_sequence": 0, "entries": [{"stroke": [1, 2, 3]}]}
    assert ada.ask("POST", f"{path}/draft", json=entry).json() == {"sequence": 1}
    site.clock.pass_(599)
    renewed = ada.ask("PUT", f"{path}/lease", json=lease)
    assert renewed.status_code == 200
    assert renewed.json()["lease"]["lease_id"] == lease["lease_id"]
    site.clock.pass_(601)
    for lost in (
        ada.submit(task),
        ada.ask("PUT", f"{path}/lease", json=lease),
        ada.ask("POST", f"{path}/draft", json=entry | {"after_sequence": 1}),
        ada.ask("POST", f"{path}/skip", json=lease | {"reason": "no-time"}),
        ada.ask("DELETE", f"{path}/lease", params=lease),
    ):
        body = lost.json()
        assert (lost.status_code, body["error"]) == (409, "lease-expired")
        assert "nobody" in body["got"] and "draft is kept" in body["do"]
    theirs = ben.next()
    assert theirs["task_id"] == task["task_id"]
    foreign = ada.submit(task)
    assert (foreign.status_code, foreign.json()["error"]) == (409, "lease-foreign")
    assert "somebody else" in foreign.json()["got"]
    assert pseudonym("ben") not in foreign.text and "ben" not in foreign.json()["got"]
    # Nothing is lost, and nothing of it is ben's.
    assert ada.ask("GET", f"{path}/draft").json()["entries"][0]["entry"] == {"stroke": [1, 2, 3]}
    assert ben.ask("GET", f"{path}/draft").json() == {"sequence": 0, "entries": []}
    assert ben.submit(theirs).status_code == 200
    assert len(site.submitted()) == 1


def test_the_worker_gives_expired_leases_back(site, ada, ben) -> None:
    site.ready()
    task = ada.next()
    site.clock.pass_(601)
    site.workers["lease-expiry"].step()
    assert site.http.get("/v1/status", headers=ada._headers, params={"project_id": "p"}).json()["tasks"]["open"] == 1
    assert ben.next()["task_id"] == task["task_id"]


def test_drafts_are_a_journal(site, ada) -> None:
    site.ready()
    task = ada.next()
    path, lease_id = f"/v1/tasks/{task['task_id']}/draft", task["lease"]["lease_id"]
    first = {"lease_id": lease_id, "after_sequence": 0, "entries": ["a", {"b": 1}]}
    assert ada.ask("POST", path, json=first).json() == {"sequence": 2}
    assert ada.ask("POST", path, json=first).json() == {"sequence": 2}  # sent again
    wrong = ada.ask("POST", path, json=first | {"entries": ["c"]})
    assert (wrong.status_code, wrong.json()["error"]) == (409, "draft-sequence")
    assert wrong.json()["expected"] == "after_sequence 2"
    assert ada.ask("GET", path, params={"after": 1}).json()["entries"][0]["entry"] == {"b": 1}
    large = {"lease_id": lease_id, "after_sequence": 2, "entries": ["x" * 3_000_000]}
    assert ada.ask("POST", path, json=large).json() == {"sequence": 3}
    for entries, code in ((["x" * 5_000_000], "draft-entry-too-large"), (["x" * 17_000_000], "request-too-large")):
        refused = ada.ask("POST", path, json=large | {"entries": entries})
        assert (refused.status_code, refused.json()["error"]) == (422, code)
    for body in (b"{", b"[]", b'{"lease_id":"x"}', json.dumps(large | {"entries": []}).encode()):
        assert ada.ask("POST", path, content=body).json()["error"] == "draft-unreadable"
    assert ada.ask("GET", f"/v1/tasks/{task['task_id']}").json()["draft_sequence"] == 3


@pytest.mark.parametrize(
    "arm, split, shown",
    [("CONTROL", "TRAIN", False), ("MINED", "VALIDATION", True), ("MINED", "TEST", True), ("MINED", "TRAIN", False)],
)
def test_blind(site, ada, arm, split, shown) -> None:
    site.hear(site.project(), site.study(split=split), site.prediction())
    site.hear(site.flag(arm=references_pb2.Arm.Value(f"ARM_{arm}"), show_proposal=shown, reasons=[5, 6]))
    task = ada.next()
    assert task["blind"] and not task["proposal_available"] and task["reasons"] == []
    refused = ada.ask("GET", f"/v1/tasks/{task['task_id']}/proposal")
    assert (refused.status_code, refused.json()["error"]) == (403, "blind")
    made = ada.submit(task).json()
    seen = [
        json.dumps(task),
        json.dumps(made),
        ada.ask("GET", "/v1/tasks", params={"project_id": "p"}).text,
        ada.ask("GET", "/v1/cases/c1/history").text,
        site.person("eve", Role.REVIEWER).ask("GET", "/v1/cases/c1/history").text,
    ]
    assert not any(word in text for text in seen for word in ("control", "mined", '"arm"', "random", "probability"))
    (said,) = site.submitted()
    assert (said.arm, said.prediction_id) == (references_pb2.Arm.Value(f"ARM_{arm}"), "")


def test_no_proposal_where_the_model_failed(site, ada) -> None:
    site.hear(site.project(), site.study(), site.flag(reasons=[1]))
    task = ada.next()
    assert not task["blind"] and not task["proposal_available"]
    missing = ada.ask("GET", f"/v1/tasks/{task['task_id']}/proposal")
    assert (missing.status_code, missing.json()["error"]) == (404, "proposal-missing")


def test_two_blind_readers_and_an_adjudicator(site, ada, ben, eve) -> None:
    site.ready()
    first = ada.submit(ada.next()).json()["label_version_id"]
    site.hear(site.second(excluded_readers=[pseudonym("ada")]))
    assert ada.next() is None
    task = ben.next()
    assert task["reading"] == "second" and task["blind"]
    assert ben.ask("GET", f"/v1/tasks/{task['task_id']}/proposal").json()["error"] == "blind"
    # ben sees nothing of ada's: neither her label, nor that there is one, nor her task.
    assert ben.ask("GET", f"/v1/labels/{first}").json()["error"] == "blind"
    history = ben.ask("GET", "/v1/cases/c1/history").json()
    assert history["labels"] == [] and {e["reader"] for e in history["entries"]} == {pseudonym("ben")}
    listed = ben.ask("GET", "/v1/tasks", params={"project_id": "p"}).json()["tasks"]
    assert [t["task_id"] for t in listed] == [task["task_id"]]
    theirs = site.submitted()[0].task_id
    assert ben.ask("GET", f"/v1/tasks/{theirs}").json()["error"] == "task-not-yours"
    second = ben.submit(task, np.ones((11, 9, 5), np.uint8)).json()["label_version_id"]
    site.hear(
        site.second(
            request_id="adj",
            reading=labeling_pb2.READING_ADJUDICATION,
            label_version_ids=[first, second],
            excluded_readers=[pseudonym("ada"), pseudonym("ben")],
        )
    )
    assert ada.next() is None and ben.next() is None
    decision = eve.next()
    assert (decision["reading"], decision["label_version_ids"]) == ("adjudication", [first, second])
    for label_version_id in (first, second):
        assert eve.ask("GET", f"/v1/labels/{label_version_id}").status_code == 200
    assert eve.submit(decision).status_code == 200
    third = site.submitted()[2]
    assert third.reading == labeling_pb2.READING_ADJUDICATION
    site.hear(site.approved(third))
    assert eve.ask("GET", "/v1/status", params={"project_id": "p"}).json()["tasks"]["cancelled"] == 2


def test_a_reviewer_who_reads_a_case_is_blind_meanwhile(site, ada, eve) -> None:
    site.ready()
    label = ada.submit(ada.next()).json()["label_version_id"]
    site.hear(site.second(excluded_readers=[pseudonym("ada")]))
    assert eve.ask("GET", f"/v1/labels/{label}").status_code == 200
    assert eve.next()["reading"] == "second"
    assert eve.ask("GET", f"/v1/labels/{label}").json()["error"] == "blind"
    assert eve.ask("GET", "/v1/cases/c1/history").json()["labels"] == []


def test_report_keeps_the_note_at_home(site, ada) -> None:
    site.ready()
    body = {"reason": "rare-finding", "note": "looks like Jane Roe's"}
    first = ada.ask("POST", "/v1/cases/c1/report", json=body)
    assert first.status_code == 201
    assert ada.ask("POST", "/v1/cases/c1/report", json=body).json() == first.json()
    (said,) = site.said("edge-case-reported", labeling_pb2.EdgeCaseReported)
    assert said.report_id == first.json()["report_id"] == said.note_id
    assert b"Jane" not in said.SerializeToString()
    assert ada.ask("POST", "/v1/cases/c1/report", json={"reason": "bored"}).status_code == 422
    assert ada.ask("POST", "/v1/cases/no/report", json={"reason": "other"}).status_code == 404


def test_history_tells_who_when_what(site, ada, eve) -> None:
    site.ready()
    label = ada.submit(ada.next()).json()["label_version_id"]
    site.hear(site.returned(site.submitted()[0]))
    history = eve.ask("GET", "/v1/cases/c1/history").json()
    assert [e["action"] for e in history["entries"]] == ["flagged", "taken", "submitted", "returned"]
    (version,) = history["labels"]
    assert (version["label_version_id"], version["reader"]) == (label, pseudonym("ada"))
    mine = ada.ask("GET", "/v1/cases/c1/history").json()
    assert [e["action"] for e in mine["entries"]] == ["taken", "submitted", "returned"]


def test_import_is_taken_once_by_content(site, lead, ada, a_label) -> None:
    site.hear(site.project(), site.study())
    from radloop.imaging import Volume, write_nifti

    affine = np.array(site.study().cases[0].affine_lps).reshape(4, 4)
    mask = write_nifti(Volume(a_label(), affine))

    def send(person, case_id="c1", data=mask, **fields):
        form = {"project_id": "p", "format": "nifti"} | fields
        return person.ask("POST", f"/v1/cases/{case_id}/labels", data=form, files={"label": ("x.nii", data)})

    first, again = send(lead), send(lead)
    assert first.status_code == 200, first.text
    assert first.json() == again.json()
    (said,) = site.submitted()
    assert (said.source, said.reading) == (labeling_pb2.LABEL_SOURCE_IMPORT, labeling_pb2.READING_NONE)
    assert (said.task_id, said.arm, said.attempt) == ("", 0, 1)
    assert send(ada).status_code == 403
    assert send(lead, case_id="no").json()["error"] == "case-unknown"
    # Not heard of, or not theirs: without a role there, the answer does not tell.
    assert send(lead, project_id="q").status_code == 403
    other = write_nifti(Volume(a_label(seed=2), affine))
    assert send(lead, data=other).json()["label_version_id"] != first.json()["label_version_id"]


def test_withdrawal_deletes_everything_for_ever(site, ada, lead) -> None:
    site.ready("c1", "c2")
    task = ada.next()
    path = f"/v1/tasks/{task['task_id']}"
    secret = "draft-of-c1"
    draft = {"lease_id": task["lease"]["lease_id"], "after_sequence": 0, "entries": [secret]}
    assert ada.ask("POST", f"{path}/draft", json=draft).status_code == 200
    assert ada.ask("POST", "/v1/cases/c1/report", json={"reason": "other", "note": "note-of-c1"}).status_code == 201
    label = ada.submit(task).json()["label_version_id"]
    assert site.objects.keys("labeling/s1/")
    from radloop.contracts.ingest.v1 import ingest_pb2

    withdrawn = ingest_pb2.StudyWithdrawn(study_key="s1", reason=1, site="site-1")
    replay = [site.study("c1", "s1"), site.prediction(), site.flag(), site.flag(round_number=3), site.second()]
    site.hear(withdrawn, *replay, site.approved(site.submitted()[0]))
    while site.workers["purge"].step():
        pass
    assert site.objects.keys("labeling/s1/") == []
    assert ada.ask("GET", path).json()["state"] == "cancelled"
    assert ada.ask("GET", path).json()["case"] is None
    assert ada.ask("GET", f"{path}/image").json()["error"] == "study-withdrawn"
    assert ada.ask("GET", f"/v1/labels/{label}").status_code == 404
    assert ada.ask("GET", "/v1/cases/c1/history").status_code == 404
    assert ada.submit(task).json()["error"] == "study-withdrawn"
    assert ada.next()["case_id"] == "c2"
    assert site.dead_letters() == []
    with site.service.database.begin(read_only=True) as connection:
        for table in sa.inspect(connection).get_table_names():
            rows = connection.exec_driver_sql(f'select * from "{table}"').all()
            assert secret not in str(rows) and "note-of-c1" not in str(rows)


def test_an_upload_nobody_refers_to_is_swept(site, ada) -> None:
    site.ready()
    task = ada.next()
    assert ada.submit(task).status_code == 200
    kept = site.objects.keys("labeling/")
    from labeling.domain.messages import BeginUpload

    sweep = site.workers["upload-sweep"]
    sweep.step.args[0].dispatch(BeginUpload("labeling/s1/c1/lost.nii", "s1"))
    site.objects.put("labeling/s1/c1/lost.nii", b"half a submit")
    assert not sweep.step()
    site.clock.pass_(3601)
    assert sweep.step() and not sweep.step()
    assert site.objects.keys("labeling/") == kept


def test_every_look_edit_and_export_is_audited(site, ada) -> None:
    site.ready()
    task = ada.next()
    path = f"/v1/tasks/{task['task_id']}"
    for place in (path, f"{path}/image", f"{path}/manifest", f"{path}/proposal", f"{path}/draft"):
        assert ada.ask("GET", place).status_code == 200
    ada.ask("GET", "/v1/tasks", params={"project_id": "p"})
    draft = {"lease_id": task["lease"]["lease_id"], "after_sequence": 0, "entries": [1]}
    ada.ask("POST", f"{path}/draft", json=draft)
    label = ada.submit(task).json()["label_version_id"]
    for form in ("nifti", "raw", "dicom-seg"):
        assert ada.ask("GET", f"/v1/labels/{label}", params={"format": form}).status_code == 200
    ada.ask("GET", "/v1/cases/c1/history")
    ada.ask("POST", "/v1/cases/c1/report", json={"reason": "other"})
    with site.service.database.begin(read_only=True) as connection:
        rows = connection.exec_driver_sql("select subject, action from audit order by id").all()
    assert {subject for subject, _ in rows} == {"ada"}
    assert [action for _, action in rows] == [
        "task-taken",
        "task-viewed",
        "image-viewed",
        "manifest-viewed",
        "proposal-viewed",
        "draft-viewed",
        "tasks-listed",
        "draft-appended",
        "label-submitted",
        "label-exported-nifti",
        "label-exported-raw",
        "label-exported-dicom-seg",
        "history-viewed",
        "case-reported",
    ]


def test_health_and_openapi(site) -> None:
    assert site.http.get("/livez").status_code == 200
    assert site.http.get("/readyz").status_code == 200
    assert "radloop_" in site.http.get("/metrics").text
    document = site.http.get("/openapi.json").json()
    assert "/v1/tasks/{task_id}/submit" in document["paths"]
    form = document["paths"]["/v1/tasks/{task_id}/submit"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["label", "lease_id"]


def test_members_of_the_project_have_its_roles(site) -> None:
    from radloop.contracts.control_plane.v1 import control_plane_pb2

    member = control_plane_pb2.Member(subject="zoe", role=control_plane_pb2.ROLE_READER)
    zoe = site.person("zoe")
    zoe._headers = site.headers("zoe")
    site.ready()
    assert zoe.ask("POST", "/v1/tasks/next", json={"project_id": "p"}).status_code == 403
    site.hear(site.project(2, members=[member]))
    assert zoe.next()["case_id"] == "c1"
