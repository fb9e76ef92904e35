"""``export``: labels on their way back to the site's archives."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Labels on their way back to the PACS, under the original identity.")

_COLUMNS = ("export_id", "form", "destination", "state", "attempts", "asked_by", "made_at", "error")


class State(StrEnum):
    """Where an export stands."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


@app.command()
def send(
    case: Annotated[str, typer.Argument(help="Id of the case.")],
    to: Annotated[str, typer.Option(help="Name of the destination: `radloop export destinations` lists them.")],
    reason: Annotated[str, typer.Option(help="Why. It is kept for the auditor: name no patient.")],
    forms: Annotated[
        str,
        typer.Option(
            "--as", help="seg, seg-labelmap, rtstruct, sr; several by commas.", show_default="the destination's"
        ),
    ] = "",
    source: Annotated[
        str,
        typer.Option(help="A label version or a prediction.", show_default="the newest approved label"),
    ] = "",
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Send a case's label to an archive, as DICOM under the original patient and study.

    It is queued, and sent until the archive has it. Asking twice sends it once. Every request is in the audit trail.

    Example:

        radloop export send 3f0c5b6e-… --to pacs --as seg,sr --reason "tumour board"
    """
    from standalone.client import connect

    wanted = [form.strip() for form in forms.split(",") if form.strip()]
    body = {"case_id": case, "destination": to, "forms": wanted, "source_id": source, "reason": reason}
    with connect(data) as client:
        answer = client.post("/ingest/v1/exports", body)
    if as_json:
        print_json(answer)
        return
    console().print(f"{len(answer['exports'])} on the way: radloop export list --case {case}")


@app.command("list")
def list_exports(
    case: Annotated[str, typer.Option(help="Only of this case.")] = "",
    state: Annotated[State | None, typer.Option(help="Only those that stand so.", show_default="all")] = None,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Show what was and is to be sent, the newest first, and why something was not.

    Example:

        radloop export list --state failed
    """
    from standalone.client import connect

    wanted: dict[str, Any] = {"limit": 1000} | ({"case_id": case} if case else {}) | ({"state": state} if state else {})
    with connect(data) as client:
        page = client.get("/ingest/v1/exports", **wanted)
    if as_json:
        print_json(page)
        return
    rows = [[_shown(each, name) for name in _COLUMNS] for each in page["exports"]]
    print_table("", list(_COLUMNS), rows, empty="nothing was asked for")


@app.command()
def retry(
    export: Annotated[str, typer.Argument(help="Id of the export.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Try at once what waits or has failed.

    Example:

        radloop export retry 3f0c5b6e-…
    """
    from standalone.client import connect

    with connect(data) as client:
        client.post(f"/ingest/v1/exports/{export}/retry")
    console().print("It is tried now: radloop export list")


@app.command()
def destinations(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Show where labels can go, and what goes there by itself.

    Example:

        radloop export destinations
    """
    from standalone.client import connect

    with connect(data) as client:
        answer = client.get("/ingest/v1/destinations")
    if as_json:
        print_json(answer)
        return
    rows = [
        [each["name"], ", ".join(each["forms"]), each["labelmap"], ", ".join(each["automatic"]), each["predictions"]]
        for each in answer["destinations"]
    ]
    print_table("", ["name", "forms", "labelmap", "automatic", "predictions"], rows, empty="none is configured")


def _shown(export: dict[str, Any], name: str) -> Any:
    if name == "made_at":
        return datetime.fromtimestamp(export[name]).astimezone().isoformat(" ", "seconds")
    return export[name]
