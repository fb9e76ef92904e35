"""``audit``: the site's audit trail, of all services together."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json, print_table

if TYPE_CHECKING:
    from standalone.client import Client

COLUMNS = ("service", "id", "at", "subject", "action", "target")
_PAGE = 10_000
_NEWEST = 50


def audit(
    data: DataOption = DEFAULT_DATA,
    service: Annotated[
        list[str] | None, typer.Option(help="Only of this service. May be given again.", show_default="all")
    ] = None,
    subject: Annotated[str, typer.Option(help="Only of this person, as the identity provider names them.")] = "",
    target: Annotated[str, typer.Option(help="Only about this case, task, label or study.")] = "",
    since: Annotated[str, typer.Option(help="Only from this time on, e.g. 2026-01-31 or 2026-01-31T08:00.")] = "",
    to: Annotated[
        Path | None,
        typer.Option(help="Write all of it into a new CSV file instead.", show_default=False, dir_okay=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show who looked at, changed or exported what: the newest entries, or all of them as a file.

    The trail is only ever appended to. It names people as the identity provider does and everything else by pseudonyms;
    reading it is an entry as well. It needs the role auditor or site-admin for the whole site.

    Example:

        radloop audit --since 2026-01-31 --subject anna

        radloop audit --to audit.csv
    """
    from radloop.errors import Conflict
    from standalone.client import connect

    if to is not None and to.exists():
        raise Conflict("file-exists", expected="a new file", got=str(to), do="name another")
    begin = _time(since)
    with connect(data) as client:
        found, failed = collect(client, service or [])
    entries = [
        entry
        for entry in found
        if (not subject or entry["subject"] == subject)
        and (not target or entry["target"] == target)
        and (begin is None or datetime.fromisoformat(entry["at"]) >= begin)
    ]
    if to is not None:
        with to.open("x", newline="", encoding="utf-8") as file:
            write_csv(file, entries)
        console(error=True).print(f"{len(entries)} entries in {to}")
    elif as_json:
        print_json({"entries": entries, "failed": failed})
    else:
        shown = [[entry[name] for name in COLUMNS if name != "id"] for entry in entries[-_NEWEST:]]
        print_table("", [name for name in COLUMNS if name != "id"], shown, empty="no entries")
        if len(entries) > _NEWEST:
            console().print(f"The newest {_NEWEST} of {len(entries)}; all of them: --json or --to FILE")
    for line in failed:
        console(error=True).print(line, markup=False)
    if failed:
        raise typer.Exit(1)


def collect(client: "Client", wanted: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the trail of each service to its end; return the entries in order of time, and what could not be read.

    Raises
    ------
    NotFound
        A service that was named is not there.
    Forbidden
        Not for who asks.
    """
    from radloop.errors import Forbidden, NotFound, RadloopError

    present = list(client.probe("/readyz")["services"])
    if unknown := set(wanted) - set(present):
        raise NotFound("service-unknown", expected=f"one of {', '.join(present)}", got=", ".join(sorted(unknown)))
    entries: list[dict[str, Any]] = []
    failed: list[str] = []
    for name in wanted or present:
        after: int | None = 0
        try:
            while after is not None:
                page = client.get(f"/{name}/v1/audit", after=after, limit=_PAGE)
                entries += [{"service": name} | entry for entry in page["entries"]]
                after = page["next"]
        except Forbidden:
            raise
        except RadloopError as error:
            failed.append(f"{name}: {error}")
    return sorted(entries, key=lambda entry: (entry["at"], entry["service"], entry["id"])), failed


def write_csv(file: Any, entries: list[dict[str, Any]]) -> None:
    """Write entries as CSV; what a spreadsheet would take for a formula gets an apostrophe in front."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for entry in entries:
        cells = (str(entry[name]) for name in COLUMNS)
        writer.writerow(f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells)


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected a time such as 2026-01-31T08:00, got {text}", param_hint="--since"
        ) from None
    # Without a zone it is this machine's own.
    return found.astimezone(UTC)
