"""``labels``: labels that exist already, brought in."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, ProjectOption, console, print_table, the_project

if TYPE_CHECKING:
    from standalone.client import Client

app = typer.Typer(no_args_is_help=True, help="Labels: import those that exist already.")


@app.callback()
def _group() -> None:
    """Keep ``labels import`` two words, as there will be more."""


COLUMNS = ("series_instance_uid", "label_path")


@dataclass(frozen=True)
class Row:
    """One label to import: the series it belongs to, by its original UID, and the NIfTI file."""

    series_instance_uid: str
    label_path: Path


@app.command("import")
def import_labels(
    table: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns series_instance_uid,label_path; paths count from the table's folder.",
            exists=True,
            dir_okay=False,
        ),
    ],
    data: DataOption = DEFAULT_DATA,
    project: ProjectOption = "",
) -> None:
    """Import NIfTI label maps for series that were sent before.

    Each label is checked against the geometry of its case, then by the same rules as a reader's; only what passes trains.
    Importing the same file again changes nothing.

    Example:

        radloop labels import labels.csv --project hippocampus

    where labels.csv holds

        series_instance_uid,label_path
        1.2.840.113619.2.5.17,labels/case17.nii.gz
    """
    from standalone.client import connect

    rows = read_table(table)
    with connect(data) as client:
        done, failed = import_rows(client, the_project(client, project), rows)
    console().print(
        f"{done} of {len(rows)} labels submitted. Quality control decides on each, and says what it returns:"
    )
    console().print(f"  radloop events tail --topic label-returned --from-start --no-follow --data {data}")
    if failed:
        print_table("Not imported", ["series", "why"], failed, empty="")
        raise typer.Exit(1)


def read_table(table: Path) -> list[Row]:
    """Read the table of labels.

    Raises
    ------
    Invalid
        It is no such table, a cell or a file is missing, or a series stands in it twice.
    """
    from radloop.errors import Invalid

    try:
        # Spreadsheets put a byte order mark before the first column's name.
        lines = list(csv.reader(table.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(
            "label-table", expected="comma-separated UTF-8 text", got=type(error).__name__, do=f"save {table} as such"
        ) from error
    columns = [name.strip() for name in lines[0]] if lines else []
    if not set(COLUMNS) <= set(columns):
        raise Invalid(
            "label-table",
            expected=f"the columns {','.join(COLUMNS)}",
            got=",".join(columns) or "an empty file",
            do=f"mend the first line of {table}",
        )
    rows: dict[str, Row] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        row = _row(table, number, dict(zip(columns, cells, strict=False)))
        if row.series_instance_uid in rows:
            raise Invalid(
                "label-table",
                expected="one label for a series",
                got=f"a second one at line {number}",
                do=f"leave one of them in {table}",
            )
        rows[row.series_instance_uid] = row
    if not rows:
        raise Invalid("label-table", expected="a line for each label", got="none", do=f"fill {table}")
    return list(rows.values())


def _row(table: Path, number: int, cells: dict[str, str]) -> Row:
    from radloop.errors import Invalid

    series, path = (cells.get(name, "").strip() for name in COLUMNS)
    if not series or not path:
        missing = "label_path" if series else "series_instance_uid"
        raise Invalid(
            "label-table", expected=f"a {missing} at line {number}", got="none", do=f"mend this line of {table}"
        )
    if not (table.parent / path).is_file():
        raise Invalid("label-file", expected=f"a file at line {number}", got="none", do=f"mend the path {path}")
    return Row(series, table.parent / path)


def import_rows(client: "Client", project_id: str, rows: Sequence[Row]) -> tuple[int, list[list[Any]]]:
    """Import labels; return how many were submitted, and (series, reason) of those that were not."""
    from rich.progress import track

    from radloop.errors import PermanentError

    failed: list[list[Any]] = []
    done = 0
    asked = {"project_id": project_id, "series": [row.series_instance_uid for row in rows]}
    cases_of: dict[str, list[str]] = {}
    for case in client.post("/ingest/v1/cases/resolve", asked)["cases"]:
        cases_of.setdefault(case["series"], []).append(case["case_id"])
    for row in track(rows, description="importing", console=console(error=True), transient=True):
        cases = cases_of.get(row.series_instance_uid, [])
        if not cases:
            failed.append([row.series_instance_uid, "no case of this project was formed from such a series"])
            continue
        if len(cases) > 1:
            why = f"{len(cases)} cases were formed from it, one for each phase; send a label to each by its case_id:"
            failed.append([row.series_instance_uid, f"{why} POST /labeling/v1/cases/{{case_id}}/labels"])
            continue
        try:
            submit(client, project_id, cases[0], row.label_path.read_bytes())
            done += 1
        except PermanentError as error:
            failed.append([row.series_instance_uid, str(error)])
    return done, failed


def submit(client: "Client", project_id: str, case_id: str, label: bytes) -> str:
    """Import one NIfTI label map for a case; return the id of its label version."""
    answer = client.post(
        f"/labeling/v1/cases/{case_id}/labels",
        {"project_id": project_id, "format": "nifti"},
        files={"label": ("label.nii", label)},
    )
    return str(answer["label_version_id"])
