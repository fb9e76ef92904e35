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
    console().print(f"{done} of {len(rows)} labels submitted. Quality control decides on each: radloop status")
    if failed:
        print_table("Not imported", ["series", "why"], failed, empty="")
        raise typer.Exit(1)


def read_table(table: Path) -> list[Row]:
    """Read the table of labels.

    Raises
    ------
    Invalid
        A column or a file is missing.
    """
    from radloop.errors import Invalid

    with table.open(newline="") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        wanted = {"series_instance_uid", "label_path"}
        if not wanted <= columns:
            raise Invalid(
                "label-table",
                expected="the columns series_instance_uid,label_path",
                got=",".join(sorted(columns)) or "an empty file",
                do=f"mend the first line of {table}",
            )
        rows = [Row(row["series_instance_uid"].strip(), table.parent / row["label_path"].strip()) for row in reader]
    for number, row in enumerate(rows, start=2):
        if not row.label_path.is_file():
            raise Invalid(
                "label-file", expected=f"a file at line {number}", got="none", do=f"mend the path {row.label_path}"
            )
    return rows


def import_rows(client: "Client", project_id: str, rows: Sequence[Row]) -> tuple[int, list[list[Any]]]:
    """Import labels; return how many were submitted, and (series, reason) of those that were not."""
    from rich.progress import track

    from radloop.errors import PermanentError

    failed: list[list[Any]] = []
    done = 0
    asked = {"project_id": project_id, "series": [row.series_instance_uid for row in rows]}
    case_of = {case["series"]: case["case_id"] for case in client.post("/ingest/v1/cases/resolve", asked)["cases"]}
    for row in track(rows, description="importing", console=console(error=True), transient=True):
        if row.series_instance_uid not in case_of:
            failed.append([row.series_instance_uid, "no case of this project was formed from such a series"])
            continue
        try:
            submit(client, project_id, case_of[row.series_instance_uid], row.label_path.read_bytes())
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
