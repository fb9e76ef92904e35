"""``backup``: everything one platform has, as of one moment, encrypted; and back."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json

app = typer.Typer(
    no_args_is_help=True,
    help="Back up databases, objects, keys and offsets together; bring them back.",
)

PASSPHRASE_VARIABLE = "RADLOOP_BACKUP_PASSPHRASE"

PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help=f"File whose first line is the passphrase. Else {PASSPHRASE_VARIABLE}, else you are asked.",
        show_default=False,
        dir_okay=False,
    ),
]
IdentityOption = Annotated[
    Path | None,
    typer.Option("--identity", help="A recipient's identity file, instead of the passphrase.", show_default=False),
]
FromOption = Annotated[Path, typer.Option("--from", help="Folder of the backup.", file_okay=False)]


@app.command()
def create(
    to: Annotated[Path, typer.Option(help="New folder for the backup; nothing may be in it.", file_okay=False)],
    data: DataOption = DEFAULT_DATA,
    passphrase_file: PassphraseOption = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="Who can open it beside or instead of a passphrase: age1… May be given again."),
    ] = None,
    without_objects: Annotated[
        bool, typer.Option("--without-objects", help="The object store has backups of its own.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Back up a platform, while it runs or while it is down.

    Everything acknowledged before the command began is in the backup: databases, event log and where its readers stand, all
    of one moment; the objects they refer to; the keys. Every part is encrypted: without passphrase or identity nobody,
    you included, can open it.

    Example:

        radloop backup create --data /srv/radloop --to /mnt/backup/2026-11-23

        radloop backup create --to /mnt/backup/today --passphrase-file /root/backup-passphrase
    """
    from dataclasses import asdict

    from standalone.backup.create import create_backup
    from standalone.layout import Layout

    asked = passphrase_file is not None or PASSPHRASE_VARIABLE in os.environ or not recipient
    passphrase = read_passphrase(passphrase_file, PASSPHRASE_VARIABLE, new=True) if asked else None
    made = create_backup(
        Layout(data),
        to,
        passphrase=passphrase,
        recipients=recipient or (),
        with_objects=not without_objects,
        said=_say,
    )
    if as_json:
        print_json(asdict(made))
        return
    size = sum(sealed.size_bytes for sealed in made.parts.values())
    objects = "no objects" if made.objects is None else f"{made.objects} objects"
    console().print(f"Backed up {made.site} as of {made.made_at}: {objects}, {size / 1e6:.1f} MB in {to}.")


@app.command()
def verify(
    source: FromOption,
    passphrase_file: PassphraseOption = None,
    identity: IdentityOption = None,
    digests_only: Annotated[
        bool, typer.Option("--digests-only", help="Compare the parts with their digests; needs no passphrase.")
    ] = False,
) -> None:
    """Check a backup: every part as it was written, and every object inside.

    Example:

        radloop backup verify --from /mnt/backup/2026-11-23

        radloop backup verify --from /mnt/backup/2026-11-23 --digests-only
    """
    from standalone.backup.restore import opener_of, verify_backup

    opener = None
    if not digests_only:
        passphrase, text = _secret(passphrase_file, identity)
        opener = opener_of(source, passphrase=passphrase, identity=text)
    made = verify_backup(source, opener, _say)
    console().print(f"Sound: {made.site} as of {made.made_at}, release {made.release}, {len(made.parts)} parts.")


@app.command()
def restore(
    source: FromOption,
    data: DataOption = DEFAULT_DATA,
    passphrase_file: PassphraseOption = None,
    identity: IdentityOption = None,
) -> None:
    """Bring a platform back into a new folder; start it with radloop up afterwards.

    Nothing is overwritten: the folder must not be there, or be empty. A restore that is cut short leaves nothing.

    Example:

        radloop backup restore --from /mnt/backup/2026-11-23 --data /srv/radloop-again
    """
    from standalone.backup.restore import opener_of, restore_backup

    passphrase, text = _secret(passphrase_file, identity)
    opener = opener_of(source, passphrase=passphrase, identity=text)
    made, missing = restore_backup(source, data, opener, _say)
    out = console()
    out.print(f"Restored {made.site} as of {made.made_at} into {data}. Start it: radloop up --data {data}")
    for service, count in missing.items():
        out.print(f"  {service}: {count} objects its rows name are not there: gone before they could be copied.")
    if made.objects is None:
        out.print("  The backup holds no objects: put the object store's own backup in its place first.")


@app.command("mirror-again")
def mirror_again(data: DataOption = DEFAULT_DATA) -> None:
    """At a site, after its control plane was restored: let the mirror carry everything again.

    Stop the site's platform first. A site that was restored itself does so without being told.

    Example:

        radloop backup mirror-again --data /srv/site
    """
    from standalone.backup.restore import mirror_again as carry_again
    from standalone.layout import Layout
    from standalone.supervisor.platform import locked

    layout = Layout(data)
    with locked(layout):
        carry_again(layout)
    console().print("At its next start the mirror carries everything again; what comes twice changes nothing.")


def read_passphrase(file: Path | None, variable: str, *, new: bool = False) -> str:
    """Take a passphrase from a file's first line, a variable, or the person at the terminal.

    Raises
    ------
    Invalid
        ``passphrase-needed``: none of them.
    """
    from radloop.errors import Invalid

    if file is not None:
        return file.read_text().partition("\n")[0].strip()
    if variable in os.environ:
        return os.environ[variable]
    if not sys.stdin.isatty():
        raise Invalid("passphrase-needed", expected=f"--passphrase-file or {variable}", got="nobody to ask")
    answer: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
    return answer


def _secret(passphrase_file: Path | None, identity: Path | None) -> tuple[str | None, str | None]:
    if identity is None:
        return read_passphrase(passphrase_file, PASSPHRASE_VARIABLE), None
    lines = [line for line in identity.read_text().splitlines() if line and not line.startswith("#")]
    return None, lines[0] if lines else ""


def _say(text: str) -> None:
    console(error=True).print(f"  {text}")
