"""A folder into a backup and back: what comes again, what is refused, and that nothing half is left anywhere."""

import contextlib
import json
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest.adapters.site_key import SiteKeyFile, add_key
from radloop.auth import secret_of
from radloop.errors import Conflict, Forbidden, Invalid, NotFound, PermanentError
from radloop.events import open_event_log
from radloop.messages import Record
from radloop.objects import open_objects
from radloop.sql import Database
from standalone.backup.create import create_backup
from standalone.backup.escrow import escrow_keys, fingerprints_of, recover_keys
from standalone.backup.manifest import FORMAT
from standalone.backup.restore import mirror_again, opener_of, restore_backup, verify_backup
from standalone.backup.sealing import Opener, new_identity, sealed_of
from standalone.layout import Layout
from standalone.setup import Engines, Plane, read_setup, settle_setup

# Recipients in place of a passphrase: who guesses passphrases is to take a second for each, and so do tests.
IDENTITY, RECIPIENT = new_identity()
KEYS = {
    "ingest/2.25.1/instances/a.dcm": b"pixels",
    "labeling/2.25.1/c/l.nii": b"label" * 1000,
    "trainer/models/m.zip": b"",
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A site with two databases, a log, objects and keys, none of whose services run."""
    layout = Layout(tmp_path / "site")
    settle_setup(layout.setup_file, {"site": "st-mary"})
    secret_of(layout.secret_file)
    SiteKeyFile(layout.site_key_file)
    for service in ("ingest", "labeling"):
        database = Database(layout.database_url(service), service)
        database.migrate(f"{service}.adapters.migrations")
        with database.begin() as connection:
            text = f'{{"a": "{next(key for key in KEYS if key.startswith(service))}", "b": "{service}/gone\\\\"}}'
            row = {"at": 1.0, "subject": "somebody", "action": "put", "target": text}
            connection.execute(
                sa.text("INSERT INTO audit (at, subject, action, target) VALUES (:at, :subject, :action, :target)"), row
            )
        database.close()
    objects = open_objects(layout.objects_url)
    for key, data in KEYS.items():
        objects.put(key, data)
    with contextlib.closing(open_event_log(layout.events_url)) as log:
        log.append([Record("study-ingested", "2.25.1", b"event", {"ce_id": "1"})])
        log.rewind("inference", "study-ingested", {0: 1})
    return layout


@pytest.fixture
def backup(layout: Layout, tmp_path: Path) -> Path:
    create_backup(layout, tmp_path / "backup", passphrase=None, recipients=[RECIPIENT])
    return tmp_path / "backup"


def opener(backup: Path):
    return opener_of(backup, passphrase=None, identity=IDENTITY)


def test_everything_comes_back(layout, backup, tmp_path):
    made, missing = restore_backup(backup, tmp_path / "again", opener(backup))
    again = Layout(tmp_path / "again")
    assert (made.site, made.engines, made.objects, made.events) == ("st-mary", "embedded", 3, {"study-ingested": 1})
    for name in ("site_key_file", "secret_file", "setup_file"):
        assert getattr(again, name).read_bytes() == getattr(layout, name).read_bytes()
        assert stat.S_IMODE(getattr(again, name).stat().st_mode) == 0o600
    assert {key: (again.objects_folder / key).read_bytes() for key in KEYS} == KEYS
    with contextlib.closing(open_event_log(again.events_url)) as log:
        assert [stored.record.value for stored in log.read("study-ingested", {}, 9)] == [b"event"]
        assert log.committed("inference", "study-ingested") == {0: 1}
    with contextlib.closing(sqlite3.connect(again.state_folder / "ingest.db")) as connection:
        assert connection.execute("SELECT subject FROM audit").fetchall() == [("somebody",)]
    # A row of each service names one object that is there and one that is not.
    assert missing == {"ingest": 1, "labeling": 1}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again", "backup", "site"]


def test_no_key_and_no_content_stands_in_the_clear(layout, backup):
    secrets = [layout.site_key_file.read_bytes(), layout.secret_file.read_bytes(), b"pixels", b"somebody", b"event"]
    for file in backup.iterdir():
        assert not any(secret.strip() in file.read_bytes() for secret in secrets if file.name != "manifest.json"), file
    assert layout.site_key_file.read_text() not in (backup / "manifest.json").read_text()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    assert not list(layout.folder.glob(".backup-*"))


def test_a_backup_is_verified_without_restoring(backup):
    assert verify_backup(backup, None) == verify_backup(backup, opener(backup))


@pytest.mark.parametrize("part", ["database-ingest.age", "events.age", "objects-00000.tar.age", "folder.tar.age"])
def test_a_damaged_backup_is_refused_and_nothing_is_left(backup, tmp_path, part):
    data = bytearray((backup / part).read_bytes())
    data[-1] ^= 1
    (backup / part).write_bytes(data)
    with pytest.raises(PermanentError, match=f"backup-damaged.*{part}"):
        restore_backup(backup, tmp_path / "again", opener(backup))
    # Whoever mends the digest as well is found out by what is inside.
    made = json.loads((backup / "manifest.json").read_text())
    sealed = sealed_of(backup / part)
    made["parts"][part] = {"size_bytes": sealed.size_bytes, "sha256": sealed.sha256}
    (backup / "manifest.json").write_text(json.dumps(made))
    for attempt in (
        lambda: restore_backup(backup, tmp_path / "again", opener(backup)),
        lambda: verify_backup(backup, opener(backup)),
    ):
        with pytest.raises(PermanentError, match="backup-damaged"):
            attempt()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["backup", "site"]


def test_a_newer_backup_is_refused(backup, tmp_path):
    text = (backup / "manifest.json").read_text()
    (backup / "manifest.json").write_text(text.replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    with pytest.raises(PermanentError, match="backup-too-new"):
        restore_backup(backup, tmp_path / "again", Opener(IDENTITY))
    assert not (tmp_path / "again").exists()


def test_somebody_else_cannot_open_it(backup, tmp_path):
    other = opener_of(backup, passphrase=None, identity=new_identity()[0])
    with pytest.raises(Forbidden, match="backup-closed"):
        restore_backup(backup, tmp_path / "again", other)
    with pytest.raises(Invalid, match="identity-needed"):
        opener_of(backup, passphrase="correct horse battery", identity=None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["backup", "site"]


def test_a_passphrase_opens_it(layout, tmp_path):
    create_backup(layout, tmp_path / "backup", passphrase="correct horse battery", with_objects=False)
    found = opener_of(tmp_path / "backup", passphrase="correct horse battery", identity=None)
    made, missing = restore_backup(tmp_path / "backup", tmp_path / "again", found)
    assert made.objects is None and missing == {}
    with pytest.raises(Forbidden, match="passphrase-wrong"):
        opener_of(tmp_path / "backup", passphrase="correct horse batterie", identity=None)


def test_nothing_is_overwritten(layout, backup):
    with pytest.raises(Conflict, match="folder-in-use"):
        restore_backup(backup, layout.folder, opener(backup))
    with pytest.raises(Conflict, match="backup-exists"):
        create_backup(layout, backup, passphrase=None, recipients=[RECIPIENT])
    verify_backup(backup, opener(backup))


def test_a_backup_that_fails_leaves_nothing(layout, tmp_path):
    (layout.state_folder / "qa.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        create_backup(layout, tmp_path / "backup", passphrase=None, recipients=[RECIPIENT])
    assert [file.name for file in tmp_path.iterdir()] == ["site"] and not list(layout.folder.glob(".backup-*"))


def test_where_no_platform_is_there_is_nothing_to_back_up(tmp_path):
    with pytest.raises(NotFound, match="no-platform"):
        create_backup(Layout(tmp_path / "none"), tmp_path / "backup", passphrase=None, recipients=[RECIPIENT])
    with pytest.raises(NotFound, match="no-backup"):
        opener_of(tmp_path / "backup", passphrase="correct horse battery", identity=None)
    assert list(tmp_path.iterdir()) == []


def test_escrowed_keys_come_back_with_all_versions(layout, tmp_path):
    add_key(layout.site_key_file)
    fingerprints = escrow_keys(layout, tmp_path / "keys.age", "correct horse battery")
    assert list(fingerprints) == [1, 2] and stat.S_IMODE((tmp_path / "keys.age").stat().st_mode) == 0o600
    assert layout.secret_file.read_bytes() not in (tmp_path / "keys.age").read_bytes()
    with pytest.raises(Conflict, match="escrow-exists"):
        escrow_keys(layout, tmp_path / "keys.age", "correct horse battery")
    again = Layout(tmp_path / "again")
    assert recover_keys(tmp_path / "keys.age", "correct horse battery", again) == fingerprints == fingerprints_of(again)
    assert again.site_key_file.read_bytes() == layout.site_key_file.read_bytes()
    assert again.secret_file.read_bytes() == layout.secret_file.read_bytes()
    assert again.setup == layout.setup
    with pytest.raises(Conflict, match="folder-in-use"):
        recover_keys(tmp_path / "keys.age", "correct horse battery", again)


def test_a_folder_without_a_site_has_no_keys(tmp_path):
    with pytest.raises(NotFound, match="no-site-key"):
        fingerprints_of(Layout(tmp_path))


def test_a_mirror_carries_everything_again_only_where_there_is_one(layout):
    mirror_again(layout)
    assert layout.setup.mirror_notes == ""
    site = replace(layout.setup, plane=Plane.DATA, engines=Engines.REAL, control_plane_events="kafka://127.0.0.1:9092")
    layout.setup_file.unlink()
    settle_setup(
        layout.setup_file, {name: getattr(site, name) for name in ("plane", "engines", "control_plane_events")}
    )
    mirror_again(layout)
    found = read_setup(layout.setup_file)
    assert found.mirror_notes and replace(found, mirror_notes="") == replace(site, site="site-1")
