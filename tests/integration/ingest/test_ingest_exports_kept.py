"""What holds of exports whatever happens: who may, what is on record, and that nothing is lost, doubled or told to others."""

import io
import json

import httpx
import pydicom
import pytest
from typer.testing import CliRunner

from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.testing.databases import ONE_ENGINE
from standalone.commands.root import app
from standalone.supervisor.ports import free_ports
from tests.dicom_peers import AE_TITLE, needs_orthanc, orthanc
from tests.integration.ingest.conftest import Site
from tests.integration.ingest.ward import STUDY, WHY, Ward, label_map

pytestmark = [pytest.mark.integration, ONE_ENGINE, needs_orthanc]

IDENTIFIERS = ("CANARY", "ller^J", STUDY, "19701231")


def configure(environment, monkeypatch, **destinations) -> None:
    file = environment / "destinations.json"
    file.write_text(json.dumps(destinations))
    monkeypatch.setenv("INGEST_DESTINATIONS_FILE", str(file))


def test_who_may_send_and_look(empty_ward, send):
    member = cp.Member(subject="ines", role=cp.ROLE_PROJECT_LEAD)
    ward = empty_ward.receive(send, members=[member, cp.Member(subject="rita", role=cp.ROLE_READER)])
    ward.approve(label_map())
    body = {"case_id": ward.case_id, "destination": "pacs", "forms": ["seg"], **WHY}

    def asks(subject: str, path: str, body: dict, *roles: Role) -> int:
        return ward.site.client(*roles, project_id="p", subject=subject).post(path, json=body).status_code

    assert asks("rita", "/v1/exports", body) == 403
    assert asks("nobody", "/v1/exports", body, Role.REVIEWER) == 403
    assert asks("ines", "/v1/exports", body | {"reason": "  "}) == 422
    assert asks("ines", "/v1/exports", body) == 202
    lead = ward.site.client(project_id="p", subject="ines")
    (export,) = lead.get("/v1/exports", params={"case_id": ward.case_id}).json()["exports"]
    assert lead.get(f"/v1/exports/{export['export_id']}").json()["asked_by"] == "ines"
    assert lead.get("/v1/exports").status_code == 403  # those of other projects, too
    rita = ward.site.client(project_id="p", subject="rita")
    for path in ("/v1/exports", f"/v1/exports/{export['export_id']}"):
        assert rita.get(path, params={"case_id": ward.case_id}).status_code == 403
    for path in ("export", "re-identify"):
        own = {"form": "seg", **WHY} if path == "export" else WHY
        assert asks("ines", f"/v1/cases/{ward.case_id}/{path}", own) == 403
    assert list(ward.sent(1)) == ["SEG"]


def test_a_download_and_who_it_is_are_told_with_a_reason_and_on_record(ward, caplog, capfd):
    ward.approve(label_map())
    path = f"/v1/cases/{ward.case_id}"
    assert ward.site.http.post(f"{path}/export", json={"form": "seg"}).status_code == 422
    answers = [ward.site.http.post(f"{path}/export", json={"form": form, **WHY}) for form in ("seg", "sr", "rtstruct")]
    for answer in answers:
        ds = pydicom.dcmread(io.BytesIO(answer.content))
        assert (ds.StudyInstanceUID, str(ds.PatientName)) == (STUDY, "Müller^Jörg")
        assert "ller" not in answer.headers["content-disposition"]
    told = ward.site.http.post(f"{path}/re-identify", json=WHY).json()
    assert told["study_instance_uid"] == STUDY and told["attributes"]["PatientName"] == "Müller^Jörg"
    assert told["sop_instance_uids"] == [ds.SOPInstanceUID for ds in ward.slices]
    assert told["series_instance_uids"] == [f"{STUDY}.1"]
    ward.ask("pacs", "sr")
    ward.sent(2)
    trail = [(each["action"], each["target"]) for each in ward.site.http.get("/v1/audit").json()["entries"]]
    assert trail.count(("export-download", "label-1")) == 3 and ("re-identify", ward.case_id) in trail
    sent = [target for action, target in trail if action == "export-sent"]
    assert sorted(sent) == sorted(target for action, target in trail if action == "export") and len(sent) == 2
    noted = ward.site.http.get("/v1/disclosures").json()["disclosures"]
    assert len(noted) == 4 and {(each["subject"], each["reason"]) for each in noted} == {("somebody", "tumour board")}
    kept = str(
        [ward.site.rows(f"SELECT * FROM {table}") for table in ("audit", "exports", "export_sources", "disclosures")]
    )
    kept += "".join(str(stored.record.value) for stored in ward.site.service.event_log.read("study-ingested", {}, 100))
    logged = caplog.text + "".join(capfd.readouterr())
    assert [name for name in IDENTIFIERS if name in kept or name in logged] == []


def test_the_originals_touch_no_disk_in_the_clear(ward, environment):
    ward.approve(label_map())
    ward.ask("pacs", "seg", "sr", "rtstruct")
    ward.sent(3)
    files = [path for path in environment.rglob("*") if path.is_file() and "orthanc" not in path.parts]
    assert any(path.name.startswith("ingest.db") for path in files)
    data = {path: path.read_bytes() for path in files}
    found = [path.name for path, read in data.items() for name in IDENTIFIERS if name.encode() in read]
    assert found == []


def test_predictions_go_where_they_are_wanted_only(ward):
    ward.approve(label_map())
    ward.predict(label_map())
    assert ward.ask("pacs", source_id="prediction-1").json()["error"] == "predictions-not-taken"
    assert ward.ask("web", source_id="prediction-1").status_code == 202
    seg = ward.sent(1)["SEG"]
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence if item.SegmentNumber} == {"AUTOMATIC"}
    assert seg.SegmentSequence[1].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "organs"
    assert "research use only" in seg.SeriesDescription and seg.ContentLabel == "PREDICTION"


def test_labels_of_a_project_go_by_themselves(environment, monkeypatch, archive, start, slice_of, send_to):
    dicom = {"ae_title": AE_TITLE, "host": "127.0.0.1", "port": archive.port}
    configure(
        environment, monkeypatch, pacs={"dicom": dicom, "automatic": ["p"]}, other={"dicom": dicom, "automatic": ["q"]}
    )
    site = start()
    ward = Ward(site, archive, slice_of).receive(lambda instances: send_to(site.port, instances))
    ward.predict(label_map())
    ward.approve(label_map())
    assert list(ward.sent(1)) == ["SEG"]
    assert ward.states() == {("pacs", "seg"): "sent"}  # the label, not the prediction
    (export,) = site.http.get("/v1/exports").json()["exports"]
    assert (export["asked_by"], export["source_id"]) == ("ingest", "label-1")
    ward.approve(label_map(), "label-2", sequence=2)
    site.until(lambda: site.rows("SELECT count(*) FROM exports WHERE state = 'sent'") == [(2,)])


def test_an_archive_that_is_away_gets_it_when_it_is_back(environment, monkeypatch, start, slice_of, send_to, tmp_path):
    http, dicom = free_ports(2)
    way = {"ae_title": AE_TITLE, "host": "127.0.0.1", "port": dicom, "timeout_s": 5}
    configure(
        environment, monkeypatch, pacs={"dicom": way}, web={"stow": {"url": f"http://127.0.0.1:{http}/dicom-web"}}
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = start()
    with orthanc(tmp_path / "first", {}) as archive:  # whoever has it while the study comes
        ward = Ward(site, archive, slice_of).receive(lambda instances: send_to(site.port, instances))
    ward.approve(label_map())
    ward.ask("pacs")
    ward.ask("web")
    site.until(lambda: all(each["error"] for each in exports(site).values()))
    for name, export in exports(site).items():
        assert (export["state"], "archive-away" in export["error"]) == ("waiting", True), name
        assert export["due_at"] > export["made_at"] + 14
    with orthanc(tmp_path / "second", {}, (http, dicom)) as back:
        for export in exports(site).values():
            assert site.http.post(f"/v1/exports/{export['export_id']}/retry").status_code == 200
        site.until(lambda: {each["state"] for each in exports(site).values()} == {"sent"})
        assert len(back.files()) == 1  # both ways lead to one archive, and the object is the same
        assert site.http.post(f"/v1/exports/{export['export_id']}/retry").status_code == 409


def exports(site) -> dict[str, dict]:
    return {each["destination"]: each for each in site.http.get("/v1/exports").json()["exports"]}


def test_killed_while_it_sends_it_sends_the_same_object_again(
    configured, environment, archive, start, slice_of, send_to
):
    site = start()
    ward = Ward(site, archive, slice_of).receive(lambda instances: send_to(site.port, instances))
    ward.approve(label_map())
    ward.ask("pacs", "seg", "rtstruct", "sr")
    first = {name: ds.to_json_dict() for name, ds in ward.sent(3).items()}
    # As a kill leaves it after the archive has the object and before that is noted.
    with site.service.database.begin() as connection:
        connection.exec_driver_sql("UPDATE exports SET state = 'sending', sent_at = 0, due_at = 9e12")
    site.service.drain()
    for name in archive.get("instances"):
        # Orthanc keeps what it has; without it, what comes is seen to be the same. The SR is kept: it arrived.
        if archive.get(f"instances/{name}/simplified-tags")["Modality"] in ("RTSTRUCT", "SEG"):
            httpx.delete(f"{archive.url}/instances/{name}", trust_env=False).raise_for_status()
    ward.site = Site(environment)
    try:
        again = {name: ds.to_json_dict() for name, ds in ward.sent(3).items()}
        assert again == first
        assert {each["attempts"] for each in ward.site.http.get("/v1/exports").json()["exports"]} == {2}
    finally:
        ward.site.service.drain()


def test_nothing_goes_of_a_study_that_was_withdrawn(ward):
    ward.approve(label_map())
    ward.site.http.post("/v1/withdraw", json={"study_key": ward.study_key, "reason": "consent"})
    assert ward.ask("pacs").json()["error"] == "case-unknown"
    for path in ("export", "re-identify"):
        body = {"form": "seg", **WHY} if path == "export" else WHY
        assert ward.site.http.post(f"/v1/cases/{ward.case_id}/{path}", json=body).status_code == 404
    tables = ("exports", "export_sources", "originals")
    assert [ward.site.rows(f"SELECT count(*) FROM {table}") for table in tables] == [[(0,)]] * 3


def test_what_came_before_originals_were_kept(ward, send):
    ward.approve(label_map())
    with ward.site.service.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM originals")
    ward.ask("pacs", "seg")
    ward.site.until(lambda: set(ward.states().values()) == {"failed"})
    (export,) = ward.site.http.get("/v1/exports").json()["exports"]
    assert export["error"].startswith("originals-not-kept") and "send the study once more" in export["error"]
    send(ward.slices)  # the archive sends it once more: nothing is stored twice
    assert (
        ward.site.rows("SELECT count(*) FROM instances") == ward.site.rows("SELECT count(*) FROM originals") == [(5,)]
    )
    assert ward.site.http.post(f"/v1/exports/{export['export_id']}/retry").status_code == 200
    assert list(ward.sent(1)) == ["SEG"]


def test_originals_outlive_a_rotation_of_the_site_key(ward):
    ward.approve(label_map())
    ward.site.http.post("/v1/keys/rotate")
    ward.site.until(lambda: ward.site.rows("SELECT DISTINCT vault_version FROM originals") == [(2,)])
    ward.ask("pacs", "seg")
    assert ward.sent(1)["SEG"].StudyInstanceUID == STUDY


class Door:
    """What the command has of a platform: its one port, with this service behind it."""

    def __init__(self, http) -> None:
        self._http = http

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def get(self, path: str, **parameters):
        return self._http.get(path.removeprefix("/ingest"), params=parameters).raise_for_status().json()

    def post(self, path: str, body=None):
        return self._http.post(path.removeprefix("/ingest"), json=body).raise_for_status().json()


def test_the_command(ward, monkeypatch):
    monkeypatch.setattr("standalone.client.connect", lambda _data: Door(ward.site.http))

    def radloop(*words: str):
        done = CliRunner().invoke(app, ["export", *words])
        assert done.exit_code == 0, done.output
        return done.output

    ward.approve(label_map())
    assert "nothing was asked for" in radloop("list")
    answer = radloop("send", ward.case_id, "--to", "pacs", "--as", "seg,sr", "--reason", "tumour board", "--json")
    assert len(json.loads(answer)["exports"]) == 2
    assert set(ward.sent(2)) == {"SEG", "SR"}
    found = json.loads(radloop("list", "--case", ward.case_id, "--state", "sent", "--json"))["exports"]
    assert {each["form"] for each in found} == {"seg", "sr"}
    assert json.loads(radloop("list", "--state", "failed", "--json"))["total"] == 0
    assert [each["name"] for each in json.loads(radloop("destinations", "--json"))["destinations"]] == ["pacs", "web"]
