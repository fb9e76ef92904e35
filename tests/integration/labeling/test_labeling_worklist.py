"""The worklist and a project's reading instructions over HTTP."""

import pytest

from radloop.auth import Role
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.references.v1 import references_pb2

pytestmark = pytest.mark.integration


def listed(who, **params):
    response = who.ask("GET", "/v1/worklist", params={"project_id": "p"} | params)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_row_has_what_the_table_shows(site, ada, ben, eve) -> None:
    site.ready("c1", "c2", scores=[{"name": "ranked-by", "value": 0.25}])
    task = ada.next()
    lease = {"lease_id": task["lease"]["lease_id"], "after_sequence": 0, "entries": [1, 2]}
    assert ada.ask("POST", f"/v1/tasks/{task['task_id']}/draft", json=lease).status_code == 200
    table = listed(ada)
    assert table["total"] == 2
    row = table["tasks"][0]
    created_at = row.pop("created_at")
    assert created_at == task["created_at"]
    assert row == {
        "task_id": task["task_id"],
        "case_id": "c1",
        "state": "leased",
        "reading": "first",
        "round_number": 1,
        "rank": 1,
        "priority": 2,
        "reasons": ["uncertain"],
        "score": 0.25,
        "attempt": 0,
        "returned": [],
        "held_by": "you",
        "blind": False,
        "modality": "MR",
        "shape": [11, 9, 5],
        "draft_sequence": 2,
        "reported_by_reader": False,
    }
    assert [r["case_id"] for r in listed(ben)["tasks"]] == ["c2"], "what somebody else holds is not ben's to see"
    (theirs, _) = listed(eve, scope="team")["tasks"]
    assert (theirs["held_by"], theirs["draft_sequence"]) == ("somebody-else", 0)
    site.clock.pass_(601)
    assert {r["state"] for r in listed(ada)["tasks"]} == {"open"}, "as it stands now, whether a worker came by or not"


def test_scopes(site, ada, ben, eve, lead) -> None:
    site.ready("c1", "c2", "c3")
    ada.submit(ada.next())
    for reader, count in ((ada, 3), (ben, 2)):
        assert listed(reader)["total"] == listed(reader, scope="all")["total"] == count
        refused = reader.ask("GET", "/v1/worklist", params={"project_id": "p", "scope": "team"})
        assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    assert (listed(eve)["total"], listed(eve, scope="all")["total"], listed(eve, scope="team")["total"]) == (2, 3, 3)
    assert (listed(lead)["total"], listed(lead, scope="team")["total"]) == (0, 3)


def test_a_blind_row_tells_nothing(site, ada, lead) -> None:
    flag = {"scores": [{"name": "ranked-by", "value": 0.9}], "show_proposal": False}
    reasons = [edge_miner_pb2.FLAG_REASON_REPORTED, edge_miner_pb2.FLAG_REASON_UNCERTAIN]
    site.ready("c1", reasons=reasons, arm=references_pb2.ARM_REPORTED, **flag)
    for who in (ada, lead):
        (row,) = listed(who, scope="all")["tasks"]
        assert (row["blind"], row["score"], row["reasons"], row["reported_by_reader"]) == (True, None, [], False)
        assert listed(who, scope="all", reason="uncertain")["total"] == 0


def test_a_case_that_a_reader_reported(site, ada) -> None:
    site.ready("c1", reasons=[edge_miner_pb2.FLAG_REASON_REPORTED], arm=references_pb2.ARM_REPORTED)
    (row,) = listed(ada, reason="reported,uncertain")["tasks"]
    assert (row["reasons"], row["reported_by_reader"]) == (["reported"], True)


@pytest.mark.parametrize(
    "params, error",
    [
        ({"state": "open,nowhere"}, "state-unknown"),
        ({"reason": "because"}, "reason-unknown"),
        ({"reading": "third"}, "reading-unknown"),
        ({"sort": "colour"}, "request-invalid"),
        ({"limit": "501"}, "request-invalid"),
        ({"offset": "-1"}, "request-invalid"),
        ({"offset": str(2**70)}, "request-invalid"),
    ],
)
def test_what_is_no_filter(site, ada, params, error) -> None:
    site.hear(site.project())
    response = ada.ask("GET", "/v1/worklist", params={"project_id": "p"} | params)
    assert (response.status_code, response.json()["error"]) == (422, error)


def test_a_search_with_odd_characters_is_no_error(site, ada) -> None:
    site.ready()
    assert listed(ada, search="\0%_'")["total"] == 0


def test_instructions_of_every_version(site, ada) -> None:
    for version, text in ((1, "# First"), (3, "# Third\n\nTwo parts."), (2, "")):
        project = site.project(version)
        project.reading.instructions = text
        site.hear(project)
    path = "/v1/projects/p/instructions"
    newest = {"project_id": "p", "project_version": 3, "instructions": "# Third\n\nTwo parts."}
    assert ada.ask("GET", path).json() == newest
    assert ada.ask("GET", path, params={"version": 1}).json()["instructions"] == "# First"
    assert ada.ask("GET", path, params={"version": 2}).json()["instructions"] == ""
    unknown = ada.ask("GET", path, params={"version": 4})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "version-unknown")
    assert site.person("zoe", Role.READER).ask("GET", "/v1/projects/q/instructions").status_code == 403


def test_segments_say_whether_they_may_overlap(site, ada) -> None:
    site.hear(site.project())
    assert ada.ask("GET", "/v1/projects/p/segments").json()["overlapping_segments"] is False
