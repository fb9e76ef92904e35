"""Brings a platform back from a backup, into a folder where none is. What was begun and not finished leaves nothing behind."""

import contextlib
import json
import os
import shutil
import tarfile
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from radloop.errors import Conflict, Invalid
from radloop.events import open_event_log
from radloop.objects import open_objects
from standalone.backup import manifest
from standalone.backup.create import KEPT_FILES, KEPT_FOLDERS, PORTS, setup_of
from standalone.backup.events import load_events
from standalone.backup.manifest import Manifest, read_manifest
from standalone.backup.objects import check_objects, load_objects, read_index
from standalone.backup.references import missing_objects
from standalone.backup.sealing import Opener, open_with_passphrase
from standalone.backup.servers import engines_up
from standalone.engines.provision import provision
from standalone.engines.real import RealEngines
from standalone.layout import Layout
from standalone.setup import Engines, write_private
from standalone.supervisor.ports import check_port

Said = Callable[[str], None]


def opener_of(backup: Path, *, passphrase: str | None, identity: str | None) -> Opener:
    """Open a backup's identity with its passphrase, or take that of a recipient.

    Raises
    ------
    RadloopError
        See `read_manifest`.
    Invalid
        ``identity-needed``: neither was given, or the backup has no passphrase.
    Forbidden
        ``passphrase-wrong``.
    """
    if identity is not None:
        return Opener(identity)
    read_manifest(backup)
    locked = backup / manifest.IDENTITY
    if passphrase is None or not locked.exists():
        raise Invalid(
            "identity-needed",
            expected="the passphrase, or --identity with a recipient's file",
            got="a backup for recipients alone" if passphrase is not None else "neither",
        )
    return Opener(open_with_passphrase(locked.read_bytes(), passphrase).decode())


def verify_backup(backup: Path, opener: Opener | None, said: Said = lambda _text: None) -> Manifest:
    """Check a backup without restoring it: digests of all parts; with an opener, everything inside as well.

    Raises
    ------
    RadloopError
        See `read_manifest`, `Manifest.check_parts` and `Opener`.
    """
    made = read_manifest(backup)
    said("digests")
    made.check_parts(backup)
    if opener is not None:
        for name in made.parts:
            if name not in _volumes(made):
                said(name)
                with opener.reading(backup / name):
                    pass
        if made.objects is not None:
            said("objects")
            check_objects(opener, backup, _volumes(made), read_index(opener, backup))
    return made


def restore_backup(
    backup: Path, folder: Path, opener: Opener, said: Said = lambda _text: None
) -> tuple[Manifest, dict[str, int]]:
    """Bring a platform back; it is not started.

    Parameters
    ----------
    backup
        Folder of the backup.
    folder
        New data folder; nothing may be in it.
    opener
        See `opener_of`.
    said
        Told what is being done.

    Returns
    -------
    Manifest, dict of str to int
        What was restored; and, by service, how many objects its rows name that are not there, see `missing_objects`.

    Raises
    ------
    Conflict
        ``folder-in-use``.
    RadloopError
        As `verify_backup`, or an engine refuses.
    """
    made = read_manifest(backup)
    _check_empty(folder)
    said("digests")
    made.check_parts(backup)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Under its name only when it is whole: nobody can start half a platform.
    staging = folder.parent / f".{folder.name}.restoring-{uuid.uuid4().hex[:8]}"
    staging.mkdir()
    try:
        layout = Layout(staging)
        _load_folder(opener, backup / manifest.FOLDER, staging)
        mirror_again(layout)
        (_load_embedded if made.engines == Engines.EMBEDDED.value else _prepare_real)(layout, made, opener, backup)
        index = {} if made.objects is None else read_index(opener, backup)
        with engines_up(layout):
            if layout.engines is not None:
                _load_real(layout, layout.engines, made, opener, backup, said)
            if made.objects is not None:
                said("objects")
                objects = open_objects(layout.objects_url)
                load_objects(objects, opener, backup, _volumes(made), index)
            said("references")
            restored = [name for name in made.services if manifest.DATABASE.format(name) in made.parts]
            missing = {} if made.objects is None else missing_objects(layout, restored, index.keys())
        if layout.engines is not None:
            replace(layout.engines, folder=str(Layout(folder).engines_folder.resolve())).write(layout.engines_file)
        _check_empty(folder)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return made, missing


def mirror_again(layout: Layout) -> None:
    """Let a data plane's mirror carry everything again at its next start: it noted offsets of a log that is no more.

    To be called at each site as well when the control plane was restored. The inboxes make what comes twice harmless.

    Raises
    ------
    NotFound
        ``no-platform``.
    """
    setup = setup_of(layout)
    if setup.control_plane_events:
        notes = f"-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        write_private(layout.setup_file, json.dumps(asdict(replace(setup, mirror_notes=notes)), indent=2) + "\n")


def _volumes(made: Manifest) -> list[str]:
    known = {manifest.OBJECTS_INDEX, manifest.FOLDER, manifest.EVENTS}
    return sorted(name for name in made.parts if name.startswith("objects-") and name not in known)


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            "folder-in-use",
            expected="a folder that is not there, or is empty",
            got=f"{folder} with something in it",
            do="name another folder with --data: a restore never overwrites",
        )


def _load_folder(opener: Opener, file: Path, staging: Path) -> None:
    with opener.reading(file) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        for member in tar:
            if member.name.split("/")[0] in (*KEPT_FOLDERS, *KEPT_FILES, PORTS):
                tar.extract(member, staging, filter="data")
    for folder in KEPT_FOLDERS:
        for kept in (staging / folder).rglob("*"):
            kept.chmod(0o700 if kept.is_dir() else 0o600)


def _load_embedded(layout: Layout, made: Manifest, opener: Opener, backup: Path) -> None:
    layout.state_folder.mkdir()
    targets = {manifest.DATABASE.format(name): layout.state_folder / f"{name}.db" for name in made.services}
    for part, target in (targets | {manifest.EVENTS: layout.events_file}).items():
        if part in made.parts:
            with target.open("xb") as opened:
                opener.open_into(backup / part, opened)
                opened.flush()
                os.fsync(opened.fileno())


def _prepare_real(layout: Layout, made: Manifest, opener: Opener, backup: Path) -> None:
    """Choose passwords anew, and keep the ports where they are free: others may dial them."""
    setup = layout.setup
    engines = RealEngines.make(layout.engines_folder, brokers=setup.brokers, services=setup.services)
    ports = layout.folder / PORTS
    known = json.loads(ports.read_text())
    ports.unlink()
    kafka_ports, controller_ports = tuple(known["kafka_ports"]), tuple(known["controller_ports"])
    postgresql_port, s3_port = known["postgresql_port"], known["s3_port"]
    if _are_free([*kafka_ports, *controller_ports, postgresql_port, s3_port]):
        engines = replace(
            engines,
            kafka_ports=kafka_ports,
            controller_ports=controller_ports,
            postgresql_port=postgresql_port,
            s3_port=s3_port,
        )
    engines.write(layout.engines_file)


def _are_free(ports: list[int]) -> bool:
    try:
        for port in ports:
            check_port(port, "")
    except Conflict:
        return False
    return True


def _load_real(layout: Layout, engines: RealEngines, made: Manifest, opener: Opener, backup: Path, said: Said) -> None:
    from standalone.backup import real

    provision(engines, layout.setup)
    dump = layout.folder / "dump"
    for service in made.services:
        said(f"database of {service}")
        with dump.open("wb") as opened:
            opener.open_into(backup / manifest.DATABASE.format(service), opened)
        real.load_schema(engines, service, dump)
        dump.unlink()
    said("event log")
    with contextlib.closing(open_event_log(engines.events_url)) as log:
        with opener.reading(backup / manifest.EVENTS) as plain:
            load_events(log, plain)
