"""``labels``: labels that exist already, brought in."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from standalone.commands.options import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    ProjectOption,
    console,
    print_json,
    print_table,
    the_project,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from standalone.client import Client
    from standalone.labels.bringing import Line
    from standalone.labels.files import Format

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Labels: import those that exist already.")


@app.callback()
def _group() -> None:
    """Keep ``labels import`` two words, as there will be more."""


@app.command("import")
def import_labels(
    path: Annotated[
        Path,
        typer.Argument(help="A table (CSV), a DICOM file, or a folder: of DICOM, of nnU-Net, of MSD.", exists=True),
    ],
    data: DataOption = DEFAULT_DATA,
    project: ProjectOption = "",
    format: Annotated[
        str, typer.Option("--format", help="seg, rtstruct, nifti, nnunet or msd; guessed from the path, if left out.")
    ] = "",
    table: Annotated[
        Path | None,
        typer.Option("--table", help="CSV that says whose label each NIfTI file is.", exists=True, dir_okay=False),
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="theirs=ours: their name, number or SCHEME:CODE, and the project's segment; theirs= leaves one out. "
            "Or a file of such lines. May be given several times.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Share of the maximum from which a voxel of a fractional SEG counts."),
    ] = None,
    take: Annotated[bool, typer.Option("--take", help="Take what the report says can be taken.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the labels you have: DICOM SEG, RTSTRUCT, NIfTI, nnU-Net and MSD folders.

    First a report: which case each file belongs to, which segments it has, how its geometry differs, whether it is there already.
    Nothing is taken before you say --take, or type yes. Nothing is resampled, and no segment is dropped unsaid.

    A DICOM file says itself which images it was made on. For NIfTI a table says it, by ids as they stand in your PACS:

        file,patient_id              (or accession_number, study_instance_uid, series_instance_uid; phase, where there are several)
        labels/case17.nii.gz,4711

    Taking the same file again changes nothing. Each label is then checked by the same rules as a reader's; only what passes trains.

    Example:

        radloop labels import export/ --project liver

        radloop labels import export/ --project liver --map 'Leber=liver' --map 'external=' --take

        radloop labels import labels.csv --project liver --take

        radloop labels import Task03_Liver/ --table ids.csv --take
    """
    from standalone.client import connect
    from standalone.labels.bringing import Bringing, State
    from standalone.labels.files import find
    from standalone.labels.mapping import read_rules

    rules, found = read_rules(map or []), find(path, _format(format), table)
    with connect(data) as client:
        bringing = Bringing(client, the_project(client, project), rules, threshold)
        bringing.look_up(found.labels)
        lines = [bringing.check(label) for label in _tracked(found.labels, "checking")]
        if not as_json:
            _print_report(lines, found.passed_over)
        wanted = [line for line in lines if line.state is State.TAKE]
        if wanted and (take or (not as_json and _typed_yes(len(wanted)))):
            for line in _tracked(wanted, "taking"):
                bringing.take(line)
            if not as_json:
                _print_taken(wanted, data)
        elif wanted and not as_json:
            console().print(f"Nothing was taken. To take {len(wanted)}, add --take.")
    if as_json:
        print_json({"labels": [line.as_dict() for line in lines], "no_labels": found.passed_over})
    if any(line.state is State.REFUSED for line in lines):
        raise typer.Exit(1)


def submit(client: "Client", project_id: str, case_id: str, label: bytes) -> str:
    """Import one NIfTI label map for a case; return the id of its label version."""
    answer = client.post(
        f"/labeling/v1/cases/{case_id}/labels",
        {"project_id": project_id, "format": "nifti"},
        files={"label": ("label.nii", label)},
    )
    return str(answer["label_version_id"])


def _format(named: str) -> "Format | None":
    from radloop.errors import Invalid
    from standalone.labels.files import Format

    if not named:
        return None
    if named not in list(Format):
        raise Invalid("label-format", expected=f"one of {', '.join(Format)}", got=named)
    return Format(named)


def _tracked(things: "Sequence[T]", doing: str) -> "Iterable[T]":
    from rich.progress import track

    return track(things, description=doing, console=console(error=True), transient=True)


def _typed_yes(count: int) -> bool:
    return sys.stdin.isatty() and console().input(f"Take {count} labels? Type yes: ").strip() == "yes"


def _print_report(lines: "Sequence[Line]", passed_over: int) -> None:
    rows = [[line.label.shown, line.state, _case(line), _segments(line), _remarks(line)] for line in lines]
    print_table("", ["file", "", "case", "segments", "differences, or why not"], rows, empty="")
    counts = {state: sum(1 for line in lines if line.state == state) for state in ("take", "there", "refused")}
    said = f"{counts['take']} can be taken, {counts['there']} are there already, {counts['refused']} are refused"
    console().print(said + (f"; {passed_over} other files were passed over" if passed_over else "") + ".")


def _case(line: "Line") -> str:
    phase = "" if line.phase is None else f" phase {line.phase}"
    return f"{line.case_id[:8]}{phase} {line.split}".strip()


def _segments(line: "Line") -> str:
    how = {m.ours: f"{m.theirs.name or m.theirs.number} by {m.how}" for m in line.matches}
    told = [f"{name} {voxels}" for name, voxels in line.voxels.items()]
    matched = "; ".join(text for ours, text in how.items() if ours)
    missing = f"not annotated: {', '.join(line.not_annotated)}" if line.not_annotated and line.voxels else ""
    return " | ".join(part for part in (", ".join(told), matched, missing) if part)


def _remarks(line: "Line") -> str:
    others = f"the case has {line.others} other label versions" if line.others else ""
    return "; ".join(part for part in (line.why, *line.notes, others) if part)


def _print_taken(lines: "Sequence[Line]", data: Path) -> None:
    failed = [[line.label.shown, line.why] for line in lines if line.state != "taken"]
    console().print(
        f"{len(lines) - len(failed)} of {len(lines)} labels submitted. Quality control decides on each, and says what it returns:"
    )
    console().print(f"  radloop events tail --topic label-returned --from-start --no-follow --data {data}")
    if failed:
        print_table("Not taken", ["file", "why"], failed, empty="")
