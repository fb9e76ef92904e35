"""Makes a backup of a folder's platform, while it runs or while it is down."""

import contextlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from radloop.errors import Conflict, NotFound
from radloop.events import open_event_log
from radloop.objects import open_objects
from standalone.backup import embedded, manifest
from standalone.backup.events import save_events
from standalone.backup.manifest import Manifest, this_release
from standalone.backup.objects import save_objects
from standalone.backup.sealing import Sealed, Sealer, new_identity, seal_with_passphrase
from standalone.backup.servers import engines_up
from standalone.engines.real import RealEngines
from standalone.layout import Layout
from standalone.setup import Setup

KEPT_FOLDERS = ("auth",)
KEPT_FILES = ("setup.json", "demo.json")
PORTS = "ports.json"
"""Where the real engines were reached: others may have written it down."""
PORT_FIELDS = ("kafka_ports", "controller_ports", "postgresql_port", "s3_port")

Said = Callable[[str], None]


def create_backup(
    layout: Layout,
    to: Path,
    *,
    passphrase: str | None,
    recipients: Sequence[str] = (),
    with_objects: bool = True,
    said: Said = lambda _text: None,
) -> Manifest:
    """Back up a platform into a new folder.

    Parameters
    ----------
    layout
        The data folder.
    to
        Made by this; nothing may be in it.
    passphrase
        Opens the backup; None when recipients alone shall.
    recipients
        Public keys (``age1…``) whose owners can open it as well.
    with_objects
        False where the object store has backups of its own.
    said
        Told what is being done.

    Raises
    ------
    NotFound
        ``no-platform``.
    Conflict
        ``backup-exists``.
    Invalid
        ``passphrase-short``, ``recipient-invalid``, ``recipient-needed``.
    Unavailable
        An engine is away.
    """
    setup = setup_of(layout)
    identity, recipient = new_identity()
    sealer = Sealer([*recipients, recipient] if passphrase is not None else recipients)
    locked_identity = None if passphrase is None else seal_with_passphrase(identity.encode(), passphrase)
    _make(to)
    try:
        parts: dict[str, Sealed] = {}
        count = None
        with engines_up(layout):
            made_at = datetime.now(UTC)
            engines = layout.engines
            if engines is None:
                saved, events = _save_embedded(layout, setup, sealer, to, said)
            else:
                saved, events = _save_real(engines, setup, sealer, to, said)
            parts |= saved
            # After the moment: a key is in its file before a row needs it.
            said("keys and settings")
            parts[manifest.FOLDER] = _save_folder(layout, engines, sealer, to / manifest.FOLDER)
            if with_objects:
                said("objects")
                saved, count = save_objects(open_objects(layout.objects_url), sealer, to)
                parts |= saved
        if locked_identity is not None:
            (to / manifest.IDENTITY).write_bytes(locked_identity)
        made = Manifest(
            release=this_release(),
            made_at=made_at.isoformat(timespec="seconds"),
            site=setup.site,
            plane=setup.plane.value,
            engines=setup.engines.value,
            services=setup.services,
            parts=parts,
            events=events,
            objects=count,
            recipients=tuple(recipients),
        )
        made.write(to)
    except BaseException:
        shutil.rmtree(to)
        raise
    return made


def setup_of(layout: Layout) -> Setup:
    """Return what a folder's platform was made with.

    Raises
    ------
    NotFound
        ``no-platform``.
    """
    if not layout.setup_file.exists():
        raise NotFound(
            "no-platform",
            expected=f"a platform's folder in {layout.folder}",
            got="one in which none was ever started",
            do="name its folder with --data",
        )
    return layout.setup


def _make(to: Path) -> None:
    try:
        to.mkdir(parents=True, mode=0o700)
    except FileExistsError as error:
        if not to.is_dir() or any(to.iterdir()):
            raise Conflict(
                "backup-exists",
                expected="a folder that is not there, or is empty",
                got=f"{to} with something in it",
                do="name another folder with --to: a backup is never overwritten",
            ) from error


def _save_embedded(
    layout: Layout, setup: Setup, sealer: Sealer, to: Path, said: Said
) -> tuple[dict[str, Sealed], dict[str, int]]:
    files = {name: layout.state_folder / f"{name}.db" for name in setup.services} | {"events": layout.events_file}
    parts: dict[str, Sealed] = {}
    with contextlib.ExitStack() as stack:
        # Beside the originals: unencrypted pages do not leave the folder.
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".backup-", dir=layout.folder)))
        there = {name: file for name, file in files.items() if file.exists()}
        snapshots = stack.enter_context(embedded.one_moment(there))
        for name, snapshot in snapshots.items():
            said("event log" if name == "events" else f"database of {name}")
            copy = place / name
            snapshot.copy(copy)
            part = manifest.EVENTS if name == "events" else manifest.DATABASE.format(name)
            with copy.open("rb") as source:
                parts[part] = sealer.seal_stream(source, to / part)
            copy.unlink()
        counts = {}
        if "events" in snapshots:
            query = "SELECT topic, count(*) FROM records GROUP BY topic ORDER BY topic"
            counts = dict(snapshots["events"].connection.execute(query).fetchall())
    return parts, counts


def _save_real(
    engines: RealEngines, setup: Setup, sealer: Sealer, to: Path, said: Said
) -> tuple[dict[str, Sealed], dict[str, int]]:
    from standalone.backup import real

    parts: dict[str, Sealed] = {}
    log = open_event_log(engines.events_url)
    with contextlib.closing(log), real.one_moment(engines, log, setup.services) as moment:
        for service in setup.services:
            said(f"database of {service}")
            part = manifest.DATABASE.format(service)
            parts[part] = real.save_schema(engines, service, moment.snapshot, sealer, to / part)
        said("event log")
        with sealer.writing(to / manifest.EVENTS) as writing:
            counts = save_events(log, moment.mark, writing.plain)
        parts[manifest.EVENTS] = writing.sealed
    return parts, counts


def _save_folder(layout: Layout, engines: RealEngines | None, sealer: Sealer, file: Path) -> Sealed:
    with sealer.writing(file) as writing, tarfile.open(fileobj=writing.plain, mode="w|") as tar:
        for name in (*KEPT_FOLDERS, *KEPT_FILES):
            if (layout.folder / name).exists():
                tar.add(layout.folder / name, arcname=name)
        if engines is not None:
            content = json.dumps({name: getattr(engines, name) for name in PORT_FIELDS}).encode()
            member = tarfile.TarInfo(PORTS)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content))
    return writing.sealed
