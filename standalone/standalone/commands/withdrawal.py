"""``withdraw`` and ``withdrawn``: studies, or all studies of a patient, out for good; and the proof of it."""

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json, print_table

if TYPE_CHECKING:
    from standalone.client import Client

app = typer.Typer(no_args_is_help=True, help="Studies that were withdrawn: the list, and the proof of one.")


class WithdrawReason(StrEnum):
    """Why a study is to be forgotten."""

    CONSENT = "consent"
    SENT_IN_ERROR = "sent-in-error"
    IDENTIFIABLE = "identifiable"


def withdraw(
    reason: Annotated[WithdrawReason, typer.Option(help="Why.")],
    study: Annotated[
        str, typer.Argument(help="Its original Study Instance UID, or the platform's study key.", show_default=False)
    ] = "",
    data: DataOption = DEFAULT_DATA,
    patient_id: Annotated[
        bool,
        typer.Option("--patient-id", help="All studies of a patient; you are asked for the id, or it is in the file."),
    ] = False,
    accession_number: Annotated[
        bool, typer.Option("--accession-number", help="The studies of an accession number; asked for likewise.")
    ] = False,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from-file",
            help="File with one line each: patient id, issuer (may be empty), accession number (only with its option).",
            dir_okay=False,
            exists=True,
            show_default=False,
        ),
    ] = None,
    refuse_future: Annotated[
        bool, typer.Option("--refuse-future", help="Refuse whatever comes of the patient from now on.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be forgotten.")] = False,
    as_json: JsonOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make the platform forget a study, or all studies of a patient, everywhere and for good.

    Its images, predictions, tasks and labels are deleted, it is refused when sent again, and datasets and models that
    contained it are listed for you; they are not rebuilt by themselves. An id of a patient is never an argument, which
    others on this machine could read.

    Example:

        radloop withdraw 1.2.840.113619.2.5.1762583153.215519 --reason consent

        radloop withdraw --patient-id --reason consent --dry-run
    """
    from radloop.errors import Invalid
    from standalone.client import connect

    if bool(study) == (patient_id or accession_number) or (refuse_future and not patient_id):
        raise Invalid(
            "withdrawal-unclear",
            expected="a study, or --patient-id or --accession-number; --refuse-future only with --patient-id",
            got="none or both",
            do="see radloop withdraw --help",
        )
    if study and not re.fullmatch(r"[0-9.]{1,64}", study):
        raise Invalid("study-uid", expected="a UID: digits and dots", got=repr(study), do="copy the Study Instance UID")
    if not study:
        asked = _asked(from_file, patient=patient_id, accession=accession_number)
        _withdraw_many(data, asked | {"reason": reason.value}, refuse_future, dry_run, as_json, yes)
        return
    if not (yes or dry_run):
        typer.confirm("Forget this study for good?", abort=True)
    with connect(data) as client:
        answer = asked_of_one(client, study, reason, dry_run=dry_run)
    if as_json:
        print_json(answer)
    elif dry_run:
        _show(answer["studies"], dry_run=True)
    else:
        console().print(_OUTCOMES[answer["before"]])


_OUTCOMES = {
    "received": "Withdrawn. Every service forgets it now; see: radloop withdrawn proof STUDY_KEY",
    "withdrawn": "It was withdrawn before. Nothing changes.",
    "unknown": "No such study was received. It is refused from now on; mend the UID if you meant another.",
}


def _withdraw_many(
    data: Path, asked: dict[str, Any], refuse_future: bool, dry_run: bool, as_json: bool, yes: bool
) -> None:
    from standalone.client import connect

    with connect(data) as client:
        found = client.post("/ingest/v1/withdraw", asked | {"dry_run": True})
        if not dry_run:
            if not as_json:
                _show(found["studies"], dry_run=True)
            if not yes:
                typer.confirm(f"Forget these {len(found['studies'])} studies for good?", abort=True)
            found = client.post("/ingest/v1/withdraw", asked | {"refuse_future": refuse_future})
    if as_json:
        print_json(found)
        return
    out = console()
    if dry_run:
        _show(found["studies"], dry_run=True)
    else:
        _show(found["studies"], dry_run=False)
        out.print("Every service forgets them now; see: radloop withdrawn proof STUDY_KEY")
    if found["refused_from_now_on"]:
        out.print("What comes of this patient is refused from now on.")
    if found["other_issuers"]:
        out.print(
            f"{found['other_issuers']} more studies have the same patient id under another issuer: name it, if it is the same person."
        )


def asked_of_one(client: "Client", study: str, reason: WithdrawReason, *, dry_run: bool = False) -> dict[str, Any]:
    """Withdraw a study by its key or its original UID, and return what the service answers."""
    from radloop.errors import NotFound

    more = {"reason": reason.value} | ({"dry_run": True} if dry_run else {})
    # A study key is a UID too (2.25.…): which of the two this is, is seen by looking for it.
    try:
        answer: dict[str, Any] = client.post("/ingest/v1/withdraw", {"study_key": study} | more)
    except NotFound:
        answer = client.post("/ingest/v1/withdraw", {"study_instance_uid": study} | more)
    return answer


def forget(client: "Client", study: str, reason: WithdrawReason) -> str:
    """Withdraw a study by its key or its original UID; return whether it was received, withdrawn before, or unknown."""
    return str(asked_of_one(client, study, reason)["before"])


def _asked(file: Path | None, *, patient: bool, accession: bool) -> dict[str, str]:
    """Take ids from a file or from the person at the terminal; they are shown nowhere."""
    from radloop.errors import Invalid

    wanted = (["patient_id", "issuer"] if patient else []) + (["accession_number"] if accession else [])
    if file is not None:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        values = dict(zip(wanted, lines + [""] * len(wanted), strict=False))
    elif not sys.stdin.isatty():
        raise Invalid("ids-needed", expected="--from-file, or somebody at the terminal", got="neither")
    else:
        values = {
            name: typer.prompt(_PROMPTS[name], hide_input=True, default="", show_default=False, err=True)
            for name in wanted
        }
    if any(not values[name] for name in wanted if name != "issuer"):
        raise Invalid("ids-needed", expected="an id", got="an empty line")
    return values


_PROMPTS = {
    "patient_id": "Patient ID (not shown)",
    "issuer": "Issuer of Patient ID (not shown; empty if none)",
    "accession_number": "Accession Number (not shown)",
}


def _show(studies: list[dict[str, Any]], *, dry_run: bool) -> None:
    from datetime import UTC, datetime

    rows = [
        [
            study["study_key"],
            f"{datetime.fromtimestamp(study['received_at'], UTC):%Y-%m-%d}",
            study["instances"],
            study["cases"],
            study["held"],
            ", ".join(study["projects"]),
        ]
        for study in studies
    ]
    title = "Would be forgotten" if dry_run else "Forgotten"
    print_table(
        title, ["study", "received", "instances", "cases", "held", "projects"], rows, empty="No study is found."
    )


@app.command("list")
def list_withdrawn(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """List the studies that were withdrawn, newest first.

    Example:

        radloop withdrawn list
    """
    from datetime import UTC, datetime

    from standalone.client import connect

    with connect(data) as client:
        found = client.get("/ingest/v1/withdrawn")["withdrawn"]
    if as_json:
        print_json(found)
        return
    rows = [
        [
            one["study_key"],
            one["reason"],
            f"{datetime.fromtimestamp(one['at'], UTC):%Y-%m-%d %H:%M}",
            "yes" if one["emptied"] else "not yet",
        ]
        for one in found
    ]
    print_table("", ["study", "why", "when (UTC)", "deleted here"], rows, empty="None was withdrawn.")


@app.command()
def due(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """List the studies that the site's retention rules say are to go, and when; nothing is done.

    Example:

        radloop withdrawn due
    """
    from datetime import UTC, datetime

    from standalone.client import connect

    with connect(data) as client:
        found = client.get("/ingest/v1/retention")
    if as_json:
        print_json(found)
        return
    rows = [
        [
            one["study_key"],
            one["why"],
            "yes" if one["in_use_by_a_round"] else "",
            f"{datetime.fromtimestamp(one['goes_at'], UTC):%Y-%m-%d}" if one["goes_at"] else "only listed",
        ]
        for one in found["due"]
    ]
    print_table("", ["study", "why", "in use by a round", "goes"], rows, empty="None is due.")


@app.command()
def proof(
    study: Annotated[str, typer.Argument(help="The platform's study key: radloop withdrawn list")],
    data: DataOption = DEFAULT_DATA,
    backups: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a backup, or of several. May be given again.", exists=True, file_okay=False),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write the page into a new file.", dir_okay=False, show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is left of a withdrawn study, service by service: a page for who asked that it be forgotten.

    Ends with 1 while something is left that should be gone, or a service does not answer.

    Example:

        radloop withdrawn proof 2.25.4711 --backups /mnt/backup --to proof.md
    """
    from radloop.errors import Conflict
    from standalone.client import connect
    from standalone.proof import collected, page

    if to is not None and to.exists():
        raise Conflict("file-exists", expected="a new file", got=str(to), do="name another")
    with connect(data) as client:
        found = collected(client, study, backups or [])
    if to is not None:
        to.write_text(page(found), encoding="utf-8")
        console().print(f"Wrote {to}. {found['verdict']}")
    elif as_json:
        print_json(found)
    else:
        print(page(found))
    if not found["complete"]:
        raise typer.Exit(1)
