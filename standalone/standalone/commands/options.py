"""Options that several commands share, and how they print."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from standalone.client import Client

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="RADLOOP_HOME",
        help="Folder of the platform: everything it stores is in there.",
        show_default=True,
        file_okay=False,
    ),
]
DEFAULT_DATA = Path(".radloop")
_LONGEST_ID = 44  # a pseudonymous UID

EventsUrlOption = Annotated[
    str,
    typer.Option("--url", envvar="RADLOOP_EVENTS_URL", help="Event log; that of the data folder, if left out."),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of a table for a person.")]

ProjectOption = Annotated[str, typer.Option("--project", "-p", help="Project; the only one there is, if left out.")]


def console(*, error: bool = False) -> "Console":
    """Open the terminal; a pipe gets plain lines that are not cut to a terminal's width."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else int(os.environ.get("COLUMNS", "200"))
    return Console(stderr=error, width=width, highlight=False, soft_wrap=not stream.isatty())


def print_json(value: Any) -> None:
    """Print a value as JSON, keys in their order."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(title: str, columns: list[str], rows: list[list[Any]], *, empty: str) -> None:
    """Print rows as a table, or the sentence that says why there are none."""
    from rich.markup import escape
    from rich.table import Table

    out = console()
    if not rows:
        out.print(empty)
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        # What stands first is mostly an id, which people copy: it stays in one piece.
        whole = column == columns[0]
        table.add_column(column, overflow="fold", no_wrap=whole, min_width=_widest(rows) if whole else None)
    for row in rows:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    out.print(table)


def the_project(client: "Client", named: str) -> str:
    """Return the project somebody named, or the only one there is.

    Raises
    ------
    Invalid
        None was named and there is not exactly one.
    """
    from radloop.errors import Invalid

    if named:
        return named
    known = [project["project_id"] for project in items(client.get("/control-plane/v1/projects"), "projects")]
    if len(known) == 1:
        return known[0]
    raise Invalid(
        "project-needed",
        expected="--project NAME",
        got=f"no name, and {len(known)} projects" + (f": {', '.join(known)}" if known else ""),
        do="name one" if known else "set one up with: radloop project apply FILE",
    )


def items(answer: Any, name: str) -> list[dict[str, Any]]:
    """Return the list in an answer: it is the answer, or stands in it under a name."""
    return answer if isinstance(answer, list) else answer[name]


def short(digest: str) -> str:
    """Shorten a digest for people: its first twelve hex digits."""
    return digest.removeprefix("sha256:")[:12]


def _widest(rows: list[list[Any]]) -> int:
    return min(_LONGEST_ID, max((len(str(row[0])) for row in rows), default=0))
