"""The audit trail: what is in it after a reader's day, who may read it, and that reading it whole misses nothing."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from radloop.auth import Role
from radloop.sql.unit_of_work import SqlUnitOfWork

pytestmark = pytest.mark.integration


def everywhere(site, *roles: Role) -> dict[str, str]:
    return site.headers("auditor", *roles, project="*")


def read(site, **parameters) -> list[dict]:
    """Read the whole trail, page by page."""
    entries, after = [], 0
    while after is not None:
        answer = site.http.get(
            "/v1/audit", params={"after": after} | parameters, headers=everywhere(site, Role.AUDITOR)
        )
        assert answer.status_code == 200, answer.text
        entries += answer.json()["entries"]
        after = answer.json()["next"]
    return entries


def test_views_edits_and_exports_are_in_it(site, ada, eve) -> None:
    site.ready("c1")
    task = ada.next()
    ada.ask("GET", f"/v1/tasks/{task['task_id']}/image")
    draft = {"lease_id": task["lease"]["lease_id"], "after_sequence": 0, "entries": [1]}
    ada.ask("POST", f"/v1/tasks/{task['task_id']}/draft", json=draft)
    label = ada.submit(task).json()["label_version_id"]
    eve.ask("GET", f"/v1/labels/{label}", params={"format": "nifti"})
    found = [(entry["subject"], entry["action"], entry["target"]) for entry in read(site)]
    assert found == [
        ("ada", "task-taken", task["task_id"]),
        ("ada", "image-viewed", task["task_id"]),
        ("ada", "draft-appended", task["task_id"]),
        ("ada", "label-submitted", label),
        ("eve", "label-exported-nifti", label),
    ]
    assert read(site)[-1]["action"] == "audit-read-json"
    assert all(entry["at"].endswith("+00:00") for entry in read(site))


def test_only_an_auditor_or_administrator_of_the_whole_site_reads_it(site) -> None:
    for role in Role:
        may = role in (Role.AUDITOR, Role.SITE_ADMIN)
        assert site.http.get("/v1/audit", headers=everywhere(site, role)).status_code == (200 if may else 403)
        assert site.http.get("/v1/audit", headers=site.headers("x", role, project="p")).status_code == 403
    assert site.http.get("/v1/audit", headers=site.headers("x")).status_code == 403
    assert site.http.get("/v1/audit").status_code == 401


def write(site, *entries: tuple[str, str, str]) -> None:
    with uow_of(site) as uow:
        for entry in entries:
            uow.audit(*entry)
        uow.commit()


def uow_of(site) -> SqlUnitOfWork:
    return SqlUnitOfWork(site.service.database, None, source="/site-1/labeling")


def test_pages_hold_every_entry_once(site) -> None:
    write(site, *(("ada", "looked", f"t-{number}") for number in range(35)))
    looked = [entry["target"] for entry in read(site, limit=10) if entry["action"] == "looked"]
    assert looked == [f"t-{number}" for number in range(35)]
    for wrong in ({"limit": 9}, {"limit": 10_001}, {"after": -1}, {"after": 2**63}, {"format": "xml"}):
        assert site.http.get("/v1/audit", params=wrong, headers=everywhere(site, Role.AUDITOR)).status_code == 422


def test_as_csv_for_a_spreadsheet_that_takes_nothing_for_a_formula(site) -> None:
    write(site, ("=cmd|' /C calc'!A0", "looked", 'a,"b"\nc'), *(("ada", "looked", "t") for _ in range(10)))
    headers = everywhere(site, Role.SITE_ADMIN)
    answer = site.http.get("/v1/audit", params={"format": "csv", "limit": 10}, headers=headers)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["id", "at", "subject", "action", "target"]
    assert rows[1][2:] == ["'=cmd|' /C calc'!A0", "looked", 'a,"b"\nc']
    assert len(rows) == 11 and answer.headers["x-next"] == rows[-1][0]
    last = site.http.get("/v1/audit", params={"format": "csv", "after": rows[-1][0]}, headers=headers)
    assert last.headers["x-next"] == ""


def test_who_commits_late_is_not_passed_by(site) -> None:
    """An entry gets its number before its commit: whoever came between would never see it, did writers not take turns."""
    with ThreadPoolExecutor(2) as others:
        with uow_of(site) as slow:
            slow.audit("ada", "looked", "first")
            quick = others.submit(write, site, ("ben", "looked", "second"))
            wait([quick], timeout=1)
            reading = others.submit(read, site)
            wait([reading], timeout=1)
            slow.commit()
        entries = [entry["target"] for entry in reading.result(timeout=20) if entry["action"] == "looked"]
        quick.result(timeout=20)
    seen = entries + [entry["target"] for entry in read(site) if entry["id"] > len(entries)]
    assert entries[0] == "first" and "second" in seen
