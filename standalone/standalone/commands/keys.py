"""``keys``: the site key behind every pseudonym: seen by its fingerprint, kept elsewhere, rotated."""

from pathlib import Path
from typing import Annotated

import typer

from standalone.commands.backup import read_passphrase
from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="The site key: fingerprints, escrow, rotation.")

PASSPHRASE_VARIABLE = "RADLOOP_ESCROW_PASSPHRASE"

PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help=f"File whose first line is the passphrase. Else {PASSPHRASE_VARIABLE}, else you are asked.",
        show_default=False,
        dir_okay=False,
    ),
]


@app.command("show-fingerprints")
def show_fingerprints(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Show each version of the site key by its fingerprint; while the platform runs, with what needs it.

    Example:

        radloop keys show-fingerprints
    """
    from radloop.errors import NotFound
    from standalone.backup.escrow import fingerprints_of
    from standalone.client import connect
    from standalone.layout import Layout

    found = [
        {"version": v, "fingerprint": each, "needed_by": None} for v, each in fingerprints_of(Layout(data)).items()
    ]
    try:
        with connect(data) as client:
            found = client.get("/ingest/v1/keys")["versions"]
    except NotFound:  # it is down: the file says less
        pass
    _show(found, as_json=as_json)


@app.command()
def rotate(data: DataOption = DEFAULT_DATA) -> None:
    """Make a new version of the site key.

    New patients and their studies are named under it; whoever is known keeps every pseudonym, UID and date. What the index
    keeps encrypted is encrypted anew by and by. While the platform is down, the new version is taken up at its next start.

    Example:

        radloop keys rotate
    """
    from ingest.adapters.site_key import add_key
    from radloop.errors import NotFound
    from standalone.backup.escrow import fingerprints_of
    from standalone.client import connect
    from standalone.layout import Layout

    layout = Layout(data)
    fingerprints_of(layout)
    out = console()
    try:
        with connect(data) as client:
            found = client.post("/ingest/v1/keys/rotate")["versions"]
    except NotFound:
        version = add_key(layout.site_key_file)
        out.print(f"Version {version} is made; the next start takes it up.")
    else:
        _show(found, as_json=False)
    out.print("Escrow the keys again now: radloop keys escrow. Older escrow files lack this version.")


@app.command()
def drop(
    version: Annotated[int, typer.Argument(help="Version, as shown.", min=1)], data: DataOption = DEFAULT_DATA
) -> None:
    """Let go of an old version that nothing needs any more; the platform must run.

    Example:

        radloop keys drop 1
    """
    from standalone.client import connect

    with connect(data) as client:
        _show(client.post(f"/ingest/v1/keys/{version}/drop")["versions"], as_json=False)


@app.command()
def escrow(
    to: Annotated[Path, typer.Option(help="New file.", dir_okay=False)],
    data: DataOption = DEFAULT_DATA,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Write all keys of the site into a file that only the passphrase opens.

    Give file and passphrase to different people, away from the site. The file is an age file: any age program opens it.

    Example:

        radloop keys escrow --to /mnt/usb/site-1-keys.age
    """
    from standalone.backup.escrow import escrow_keys
    from standalone.layout import Layout

    passphrase = read_passphrase(passphrase_file, PASSPHRASE_VARIABLE, new=True)
    fingerprints = escrow_keys(Layout(data), to, passphrase)
    console().print(f"Wrote {to}. Fingerprints: {_listed(fingerprints)}")


@app.command()
def recover(
    source: Annotated[Path, typer.Option("--from", help="Escrow file.", dir_okay=False, exists=True)],
    data: DataOption = DEFAULT_DATA,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Put the keys of an escrow file into a new folder, so that a site whose disk is lost gives the same names again.

    What the site had stored comes by radloop backup restore, which brings the keys as well; without a backup, studies that
    are sent again get the pseudonyms, UIDs and dates they had.

    Example:

        radloop keys recover --from /mnt/usb/site-1-keys.age --data /srv/radloop-again
    """
    from standalone.backup.escrow import recover_keys
    from standalone.layout import Layout

    passphrase = read_passphrase(passphrase_file, PASSPHRASE_VARIABLE)
    fingerprints = recover_keys(source, passphrase, Layout(data))
    console().print(f"Recovered into {data}. Fingerprints: {_listed(fingerprints)}")


def _listed(fingerprints: dict[int, str]) -> str:
    return ", ".join(f"{version}: {fingerprint}" for version, fingerprint in fingerprints.items())


def _show(found: list[dict], *, as_json: bool) -> None:  # type: ignore[type-arg]
    if as_json:
        print_json(found)
        return
    rows = []
    for each in found:
        needs = each["needed_by"]
        said = "start the platform to see" if needs is None else ", ".join(f"{n} {what}" for what, n in needs.items())
        rows.append([each["version"], each["fingerprint"], said or "nothing"])
    print_table("", ["version", "fingerprint", "needed by"], rows, empty="no keys")
