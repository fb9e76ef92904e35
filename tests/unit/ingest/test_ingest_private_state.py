"""What keeps patients private, in the fake and on each engine; and what is read of it for reports, requests and retention."""

import dataclasses

import pytest

from ingest.adapters.finding import Finding
from ingest.adapters.sql import SqlIngestUnitOfWork
from ingest.adapters.sql_profiles import Reports
from ingest.adapters.sql_retention import Kept
from ingest.adapters.tables import METADATA
from ingest.adapters.vault import Vault
from ingest.adapters.wire import make_wire
from ingest.domain.changes import Changes
from ingest.domain.model import HeldInstance, Instance, StudyState
from ingest.domain.pseudonyms import PatientIdentity
from ingest.domain.reasons import RejectReason, WithdrawReason
from ingest.domain.retention import KeptCase, KeptStudy
from ingest.ports import StoredCase
from radloop.errors import NotFound
from radloop.references import Split
from radloop.remains_http import Remains
from radloop.sql import Database
from radloop.testing.databases import ENGINES
from tests.unit.ingest.test_ingest_repositories import REF, formed, study

CHANGES = Changes("radloop profile 1", ("113100",), {"remove": ("00081030",), "keep": ("00280010",)})
OTHER = Changes("radloop profile 1", ("113100",), {"remove": ("00081030", "0029xxxx")})


@pytest.fixture(params=ENGINES)
def index(request, make_database):
    database = Database(make_database(request.param), "ingest")
    database.migrate("ingest.adapters.migrations")
    yield database
    database.close()


def opened(database):
    return SqlIngestUnitOfWork(database, make_wire(), source="/site-1/ingest")


@pytest.fixture(params=["fake", *ENGINES])
def state(request, uow, make_database):
    if request.param == "fake":
        yield uow
        return
    database = Database(make_database(request.param), "ingest")
    database.migrate("ingest.adapters.migrations")
    with opened(database) as sql:
        yield sql
    database.close()


def test_changes_are_kept_once(state):
    state.changes.remember(CHANGES)
    state.changes.remember(Changes.read(CHANGES.text))
    assert Changes.read(CHANGES.text) == CHANGES and CHANGES.digest != OTHER.digest


def test_site_profiles(state):
    assert state.site_profiles.fingerprint("a 1") is None
    state.site_profiles.remember("a 1", "f", "{}", 1.0)
    assert state.site_profiles.fingerprint("a 1") == "f"


def test_refused_patients(state):
    assert not state.refused_patients.has(["one", "two"]) and not state.refused_patients.has([])
    state.refused_patients.add("two", WithdrawReason.CONSENT, 1.0, 1)
    state.refused_patients.add("two", WithdrawReason.IDENTIFIABLE, 2.0, 2)
    assert state.refused_patients.has(["one", "two"]) and not state.refused_patients.has(["one"])
    assert state.refused_patients.remove(["one", "two"]) == 1
    assert state.refused_patients.remove(["one", "two"]) == 0 and not state.refused_patients.has(["two"])


def test_who_proposed_a_release(state, header):
    held = HeldInstance("h", RejectReason.BURNED_IN_TEXT, "", "sop", "series", "2.25.9", REF, header(), 1, "digest")
    state.held.add(held, 1.0)
    assert state.held.get("h") == held
    state.held.propose("h", "anna", 2.0)
    assert state.held.get("h") == dataclasses.replace(held, proposed_by="anna")


def test_what_a_key_version_is_needed_by(index):
    with opened(index) as uow:
        uow.refused_patients.add("somebody", WithdrawReason.CONSENT, 1.0, 3)
        assert uow.site_keys.needs()[3]["refused patients"] == 1


def filled(index, header, vault) -> None:
    """Two studies of one patient: with two instances cleaned alike, one otherwise, one before there were reports; and one case."""
    with opened(index) as uow:
        for number, (issuer, accession) in enumerate((("", "ACC-1"), ("HOSP", "ACC-2"))):
            plain = study(f"2.25.{number}", state=StudyState.INGESTED, completed_generation=1)
            sealed = vault.seal_fields({"patient_id": "PAT-1", "issuer": issuer, "accession_number": accession})
            record = dataclasses.replace(plain.record, identity=sealed, patient=f"patient-{number}")
            uow.studies.save(dataclasses.replace(plain, record=record))
        for changes in (CHANGES, OTHER):
            uow.changes.remember(changes)
        for number, digest in enumerate((CHANGES.digest, CHANGES.digest, OTHER.digest, "")):
            uow.instances.add(Instance(f"sop-{number}", "series", "2.25.0", REF, header(), digest), 1)
        uow.cases.add(StoredCase(formed(study_key="2.25.0"), 1, "patient", Split.TRAIN))
        uow.used_cases.flag("case-1", "2.25.0", 50.0)
        uow.used_cases.flag("case-1", "2.25.0", 70.0)
        uow.commit()


@pytest.fixture
def vault(site_key):
    return Vault(site_key.vault_keys)


def test_report_of_a_study(index, header, vault):
    filled(index, header, vault)
    found = Reports(index).of_study("2.25.0")
    assert (found["instances"], found["without_report"], found["held"]) == (4, 1, [])
    (applied,) = found["profiles"]
    assert applied["instances"] == 3
    assert applied["actions"]["remove"] == [
        {"attribute": "00081030", "instances": 3},
        {"attribute": "0029xxxx", "instances": 1},
    ]
    assert Reports(index).of_study("2.25.1")["profiles"] == []
    with pytest.raises(NotFound, match="study-unknown"):
        Reports(index).of_study("2.25.7")


def test_finding(index, header, vault):
    filled(index, header, vault)
    finding = Finding(index, vault)
    assert finding.of_patient(["patient-1", "nobody"]) == ["2.25.1"]
    assert finding.of_accession_number("ACC-2") == ["2.25.1"] and finding.of_accession_number("ACC-3") == []
    assert finding.of_other_issuers(PatientIdentity("", "PAT-1")) == 1
    assert finding.of_other_issuers(PatientIdentity("X", "PAT-1")) == 2
    (one,) = finding.what_hangs_on(["2.25.0", "2.25.7"])
    assert (one["instances"], one["cases"], one["held"], one["projects"]) == (4, 1, 0, ["p"])


def test_what_retention_reads(index, header, vault):
    filled(index, header, vault)
    kept = Kept(index)
    assert list(kept.studies()) == [
        KeptStudy("2.25.0", 100.0, (KeptCase("p", labelled=False, flagged_at=70.0),)),
        KeptStudy("2.25.1", 100.0, ()),
    ]
    with opened(index) as uow:
        uow.used_cases.label("case-1", "2.25.0")
        uow.used_cases.label("case-1", "2.25.0")
        uow.used_cases.notice("2.25.1", "why", 3.0)
        uow.used_cases.notice("2.25.1", "why", 4.0)
        uow.commit()
    assert next(iter(kept.studies())).cases == (KeptCase("p", labelled=True, flagged_at=70.0),)
    assert kept.notices() == {"2.25.1": 3.0}
    with opened(index) as uow:
        uow.used_cases.drop_notice("2.25.1")
        uow.used_cases.forget("2.25.0")
        uow.commit()
    assert kept.notices() == {}
    assert next(iter(kept.studies())).cases == (KeptCase("p", labelled=False, flagged_at=None),)


def test_what_remains_of_a_study(index, header, vault):
    filled(index, header, vault)

    def unit_of_work(**options):
        return SqlIngestUnitOfWork(index, make_wire(), source="/site-1/ingest", **options)

    remains = Remains("ingest", METADATA, unit_of_work, "tombstones", {"flagged_cases": "nothing"})
    found = remains.of_study("2.25.0")
    assert found["rows"] == {"studies": 1, "instances": 4, "cases": 1} and not found["forgets"]
    assert found["kept"] == [{"table": "flagged_cases", "rows": 1, "says": "nothing"}]
    assert found["events"] == {"outbox": 0, "parked": 0} and found["objects"] == 0
    with opened(index) as uow:
        uow.tombstones.add("2.25.0", WithdrawReason.CONSENT, 1.0, 1)
        uow.studies.forget("2.25.0")
        uow.used_cases.forget("2.25.0")
        uow.commit()
    found = remains.of_study("2.25.0")
    assert found["forgets"] and found["rows"] == {}
    assert [one["table"] for one in found["kept"]] == ["tombstones"]
