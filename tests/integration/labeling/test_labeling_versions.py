"""What a reader saves on the way: kept, listed with what changed, restored, and taken for an answer by nobody; and notes."""

import numpy as np
import pytest

from radloop.auth import Role, pseudonym
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.imaging import Volume, read_nifti, write_nifti

pytestmark = pytest.mark.integration

SHAPE = (11, 9, 5)


def labelled(count: int, value: int = 1) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array.reshape(-1)[:count] = value
    return array


def save(who, task, array, **fields):
    who.site.clock.pass_(1)
    label = write_nifti(Volume(array, np.array(task["case"]["affine_lps"]).reshape(4, 4)))
    data = {"lease_id": task["lease"]["lease_id"], "active_time_s": "3.5"} | fields
    return who.ask("POST", f"/v1/tasks/{task['task_id']}/versions", data=data, files={"label": ("l.nii", label)})


def listed(who, task):
    response = who.ask("GET", f"/v1/tasks/{task['task_id']}/versions")
    assert response.status_code == 200, response.text
    return response.json()["versions"]


def test_saving_keeps_a_version_and_changes_nothing_else(site, ada):
    site.ready()
    task = ada.next()
    made = save(ada, task, labelled(10), started_from_model="true")
    assert made.status_code == 200, made.text
    label_version_id = made.json()["label_version_id"]
    assert site.submitted() == []
    now = ada.ask("GET", f"/v1/tasks/{task['task_id']}").json()
    assert (now["state"], now["held_by"], now["attempt"]) == ("leased", "you", 0)
    assert now["lease"]["lease_id"] == task["lease"]["lease_id"]
    raw = ada.ask("GET", f"/v1/labels/{label_version_id}", params={"format": "raw"})
    assert raw.content == labelled(10).tobytes(order="F")
    (version,) = listed(ada, task)
    volume_ml = 0.7 * 0.9 * 3.3 / 1000
    assert version.pop("made_at")
    assert version.pop("volumes_ml") == pytest.approx({"1": 10 * volume_ml, "2": 0.0})
    assert version == {
        "label_version_id": label_version_id,
        "reader": pseudonym("ada"),
        "mine": True,
        "kind": "saved",
        "attempt": 1,
        "changed_voxels": None,
        "started_from_model": True,
        "active_time_s": 3.5,
        "project_version": 1,
    }


def test_versions_say_what_changed(site, ada):
    site.ready()
    task = ada.next()
    save(ada, task, labelled(10))
    save(ada, task, labelled(7, value=2))
    save(ada, task, labelled(9, value=2))
    ada.submit(task, labelled(9, value=2))
    first, second, third, last = listed(ada, task)
    assert first["changed_voxels"] is None
    assert second["changed_voxels"] == {"1": {"added": 0, "removed": 10}, "2": {"added": 7, "removed": 0}}
    assert third["changed_voxels"] == {"2": {"added": 2, "removed": 0}}
    assert (last["changed_voxels"], last["kind"], last["attempt"]) == ({}, "submitted", 1)


def test_the_same_again_is_one_version_and_back_to_an_older_one_is_a_new_one(site, ada):
    site.ready()
    task = ada.next()
    one, again = save(ada, task, labelled(10)), save(ada, task, labelled(10))
    assert one.json() == again.json()
    save(ada, task, labelled(20))
    back = save(ada, task, labelled(10))
    assert [v["label_version_id"] for v in listed(ada, task)][-1] == back.json()["label_version_id"]
    assert len(listed(ada, task)) == 3


def test_nothing_takes_a_saved_version_for_an_answer(site, ada, eve):
    site.ready("c1")
    task = ada.next()
    save(ada, task, labelled(10))
    history = ada.ask("GET", "/v1/cases/c1/history").json()
    assert history["labels"] == []
    assert [entry["action"] for entry in history["entries"]] == ["taken"]
    # Whoever only saved may still be asked for another reading of the case, and somebody else for this one.
    lease = {"lease_id": task["lease"]["lease_id"]}
    assert ada.ask("DELETE", f"/v1/tasks/{task['task_id']}/lease", params=lease).status_code == 204
    site.hear(site.second())
    tasks = ada.ask("GET", "/v1/tasks", params={"project_id": "p"}).json()["tasks"]
    assert {t["reading"] for t in tasks} == {"first", "second"}
    second = next(t for t in tasks if t["reading"] == "second")
    assert ada.ask("POST", f"/v1/tasks/{second['task_id']}/lease").status_code == 200
    assert site.submitted() == []


def test_an_answer_is_returned_whatever_was_saved_since(site, ada):
    site.ready()
    task = ada.next()
    save(ada, task, labelled(10))
    ada.submit(task, labelled(12))
    (said,) = site.submitted()
    assert said.attempt == 1
    site.hear(site.returned(said))
    again = ada.next()
    assert (again["task_id"], again["returned"]) == (task["task_id"], ["missing-segment"])
    save(ada, again, labelled(14))
    assert [(v["kind"], v["attempt"]) for v in listed(ada, task)] == [("saved", 1), ("submitted", 1), ("saved", 2)]
    # A return of the first answer that is heard once more, by another review, still finds that answer the last.
    other = site.returned(said)
    other.review_id = "another"
    site.hear(other)
    ada.submit(again, labelled(14))
    site.hear(site.approved(site.submitted()[1]))
    assert ada.ask("GET", f"/v1/tasks/{task['task_id']}").json()["state"] == "approved"
    assert site.dead_letters() == []


def test_who_sees_which(site, ada, ben, eve, lead):
    site.ready()
    task = ada.next()
    save(ada, task, labelled(10))
    mine = save(ada, task, labelled(11)).json()["label_version_id"]
    label = write_nifti(Volume(labelled(5), np.array(task["case"]["affine_lps"]).reshape(4, 4)))
    form = {"data": {"project_id": "p"}, "files": {"label": ("l.nii", label)}}
    site.clock.pass_(1)
    assert lead.ask("POST", "/v1/cases/c1/labels", **form).status_code == 200
    assert [v["kind"] for v in listed(ada, task)] == ["saved", "saved"], "what others made of the case is not ada's"
    assert [(v["kind"], v["mine"]) for v in listed(lead, task)] == [("saved", False)] * 2 + [("imported", True)]
    refused = ben.ask("GET", f"/v1/tasks/{task['task_id']}/versions")
    assert (refused.status_code, refused.json()["error"]) == (403, "task-not-yours")
    assert ben.ask("GET", f"/v1/labels/{mine}").json()["error"] == "blind"
    site.hear(site.second())
    second = eve.next()
    assert (second["reading"], listed(eve, second)) == ("second", [])
    assert listed(eve, task) == [], "a reviewer who reads the case is blind to it"


def test_a_lost_lease_a_wrong_label_and_a_blind_task(site, ada, ben):
    site.ready()
    task = ada.next()
    wrong = save(ada, task, labelled(3, value=7))
    assert (wrong.status_code, wrong.json()["error"]) == (422, "label-value-unknown")
    site.clock.pass_(601)
    lost = save(ada, task, labelled(3))
    assert (lost.status_code, lost.json()["error"]) == (409, "lease-expired")
    ben.next()
    assert save(ada, task, labelled(3)).json()["error"] == "lease-foreign"
    site.hear(site.study("c2", "s2", split="TEST"), site.prediction("c2", "s2"), site.flag("c2", "s2"))
    blind = ada.next()
    assert save(ada, blind, labelled(3), started_from_model="true").json()["error"] == "blind"
    assert listed(ada, blind) == []


def test_saved_versions_are_needed_until_the_study_goes(site, ada):
    site.ready()
    save(ada, ada.next(), labelled(10))
    site.clock.pass_(100_000)
    while site.workers["upload-sweep"].step():
        pass
    assert len(site.objects.keys("labeling/s1/")) == 1
    site.hear(ingest_pb2.StudyWithdrawn(study_key="s1", reason=ingest_pb2.WITHDRAW_REASON_CONSENT, site="site-1"))
    site.workers["purge"].step()
    assert site.objects.keys("labeling/s1/") == []


def test_a_saved_version_comes_back_in_every_format(site, ada):
    site.ready()
    array = labelled(30)
    saved = save(ada, ada.next(), array).json()["label_version_id"]
    assert np.array_equal(read_nifti(ada.ask("GET", f"/v1/labels/{saved}").content).array, array)
    assert ada.ask("GET", f"/v1/labels/{saved}", params={"format": "dicom-seg"}).status_code == 200


def test_notes_stay_at_the_site(site, ada, ben, lead):
    site.ready()
    task = ada.next()
    note = "motion in slices 3 to 9; ask for a repeat"
    skip = {"lease_id": task["lease"]["lease_id"], "reason": "image-quality", "note": note}
    assert ada.ask("POST", f"/v1/tasks/{task['task_id']}/skip", json=skip).json()["state"] == "skipped"
    report = {"reason": "other", "note": "a cyst"}
    assert ben.ask("POST", "/v1/cases/c1/report", json=report).status_code == 201

    def notes(who):
        entries = who.ask("GET", "/v1/cases/c1/history").json()["entries"]
        return [(entry["action"], entry["note"]) for entry in entries if entry["note"]]

    assert notes(ada) == [("skipped", note)]
    assert notes(ben) == [("reported", "a cyst")]
    assert notes(lead) == notes(site.person("audrey", Role.AUDITOR)) == [("skipped", note), ("reported", "a cyst")]
    while site.service.relay.step():
        pass
    for topic in site.service.event_log.topics():
        for stored in site.service.event_log.read(topic, {}, 1000):
            assert b"motion" not in stored.record.value and b"cyst" not in stored.record.value
    too_long = ada.ask("POST", f"/v1/tasks/{task['task_id']}/skip", json=skip | {"note": "x" * 4001})
    assert too_long.status_code == 422
