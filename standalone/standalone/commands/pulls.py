"""``pull``: cohorts out of an archive (PACS), by a query file."""

import csv
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json, print_table

if TYPE_CHECKING:
    from standalone.client import Client

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Pull studies from an archive (PACS): a retrospective cohort by a query file.\n\n"
        "The site's archives stand in the file that INGEST_ARCHIVES_FILE names; what to pull stands in a query file:\n\n"
        "    archive: pacs\n"
        "    project: liver\n"
        '    purpose: "Ethics vote 2026-117"\n'
        "    way: c-move                     (or c-get, wado)\n"
        "    queries:\n"
        "      - modality: CT\n"
        "        study_date: {first: 2019-01-01, last: 2019-12-31}\n"
        '        study_description: "*abdomen*"\n'
        "    priors: 2\n"
        "    throttle: {studies_per_hour: 60}\n"
        '    window: "20:00-06:00"\n\n'
        "See first what it would do: **radloop pull start FILE --dry-run**. Every key: docs/operate/connect-pacs.md."
    ),
)

PullArgument = Annotated[str, typer.Argument(help="Id of the pull, as listed.")]
_LISTS = ("patient_ids", "accession_numbers")
_OVER = ("done", "cancelled")
_FOLLOW_EVERY_S = 1.0


@app.command()
def start(
    file: Annotated[Path, typer.Argument(help="Query file, YAML or JSON.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only ask the archive, and count.")] = False,
    follow: Annotated[
        bool, typer.Option(help="Show how far it is until it ends; Ctrl-C ends the showing only.")
    ] = True,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Begin a pull, or with --dry-run see what it would fetch: how much, of what, how long at its throttle.

    Lists of patients or accession numbers may stand in a file beside the query file: `patient_ids: patients.txt`, one a line, or
    `patient_ids: {file: cohort.csv, column: PatientID}`.

    Example:

        radloop pull start liver-2019.yaml --dry-run
    """
    from standalone.client import connect

    query = with_lists(read_query(file), file.parent)
    with connect(data) as client:
        if dry_run:
            found = client.request("POST", "/ingest/v1/pulls", params={"dry_run": "true"}, json=query).json()
            _tell(found, _print_plan, as_json=as_json)
            return
        pull = client.post("/ingest/v1/pulls", query)
        if follow and not as_json:
            pull = _follow(client, pull["pull_id"])
    _tell(pull, _print_pull, as_json=as_json)


@app.command("list")
def list_pulls(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """List the pulls, the newest first, and how far each is.

    Example:

        radloop pull list
    """
    from standalone.client import connect

    with connect(data) as client:
        pulls = client.get("/ingest/v1/pulls")["pulls"]
    if as_json:
        print_json(pulls)
        return
    rows = [
        [pull["pull_id"], pull["state"], pull["archive"], pull["project_id"], _progress(pull["counts"]), _waits(pull)]
        for pull in pulls
    ]
    columns = ["pull", "state", "archive", "project", "studies", "waits for"]
    print_table("", columns, rows, empty="No pull yet: radloop pull start FILE --dry-run")


@app.command()
def show(
    pull_id: PullArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show how far it is until it ends.")] = False,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Show one pull: how far it is, what it waits for, and which studies did not come and why.

    Example:

        radloop pull show 4f0c7d52-6f0e-4e55-9a0e-2d7a5f8a9c11 --follow
    """
    from standalone.client import connect

    with connect(data) as client:
        if follow:
            _follow(client, pull_id)
        pull = client.get(f"/ingest/v1/pulls/{pull_id}", fate="failed", limit=1000)
    _tell(pull, _print_pull, as_json=as_json)


@app.command()
def pause(pull_id: PullArgument, data: DataOption = DEFAULT_DATA) -> None:
    """Begin no further study of a pull; the one at hand is finished.

    Example:

        radloop pull pause 4f0c7d52-6f0e-4e55-9a0e-2d7a5f8a9c11
    """
    _step(data, pull_id, "pause")


@app.command()
def resume(pull_id: PullArgument, data: DataOption = DEFAULT_DATA) -> None:
    """Go on with a pull; of one that is done, try again what failed.

    Example:

        radloop pull resume 4f0c7d52-6f0e-4e55-9a0e-2d7a5f8a9c11
    """
    _step(data, pull_id, "resume")


@app.command()
def cancel(pull_id: PullArgument, data: DataOption = DEFAULT_DATA) -> None:
    """End a pull for good; what came stays.

    Example:

        radloop pull cancel 4f0c7d52-6f0e-4e55-9a0e-2d7a5f8a9c11
    """
    _step(data, pull_id, "cancel")


def read_query(file: Path) -> dict[str, Any]:
    """Read a query file, JSON or YAML; what it may hold is checked by the service.

    Raises
    ------
    Invalid
        It is neither, or no mapping.
    """
    import yaml

    from radloop.errors import Invalid

    try:
        text = file.read_text()
        query = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise Invalid("query-file", expected="JSON or YAML", got=type(error).__name__, do=f"mend {file}") from error
    if not isinstance(query, dict):
        raise Invalid("query-file", expected="keys with values", got=type(query).__name__, do=f"mend {file}")
    # YAML knows dates, JSON does not.
    plain: dict[str, Any] = json.loads(json.dumps(query, default=str))
    return plain


def with_lists(query: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put lists that a query file names by their file in its place.

    Parameters
    ----------
    query
        A query file; ``patient_ids`` and ``accession_numbers`` of its queries may be a list, a file's name, or
        ``{file, column}`` of a CSV file with a head.
    folder
        Where names begin.

    Raises
    ------
    Invalid
        There is no such file or column, or nothing in it.
    """
    queries = query.get("queries")
    if not isinstance(queries, list):
        return query  # the service says what is wrong
    read = [
        {key: _values(value, folder) if key in _LISTS else value for key, value in each.items()}
        if isinstance(each, dict)
        else each
        for each in queries
    ]
    return query | {"queries": read}


def _values(given: Any, folder: Path) -> Any:
    if isinstance(given, list):
        return [str(value) for value in given]
    if isinstance(given, str):
        return _column(folder / given, None)
    if isinstance(given, Mapping) and set(given) == {"file", "column"}:
        return _column(folder / str(given["file"]), str(given["column"]))
    return given


def _column(file: Path, column: str | None) -> list[str]:
    from radloop.errors import Invalid

    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            if column is None:
                found = [line.strip() for line in opened]
            else:
                found = [(row[column] or "").strip() for row in csv.DictReader(opened)]
    except KeyError as error:
        raise Invalid(
            "query-list", expected=f"a column {column} in {file}", got="none", do="name one of its head"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(
            "query-list", expected=f"a list in {file}", got=type(error).__name__, do="mend its name in the query file"
        ) from error
    values = [value for value in found if value]
    if not values:
        raise Invalid("query-list", expected=f"values in {file}", got="none", do="fill it")
    return values


def _tell(found: Mapping[str, Any], in_words: Callable[[Mapping[str, Any]], None], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        in_words(found)


def _step(data: Path, pull_id: str, step: str) -> None:
    from standalone.client import connect

    with connect(data) as client:
        _print_pull(client.post(f"/ingest/v1/pulls/{pull_id}/{step}"))


def _follow(client: "Client", pull_id: str) -> dict[str, Any]:
    """Show how far a pull is until it ends, is paused, or somebody has seen enough."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    terminal = console(error=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("studies"))
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("listing", total=None)
        try:
            while True:
                pull = client.get(f"/ingest/v1/pulls/{pull_id}", fate="failed", limit=1000)
                said = f"{pull['state']}, waits: {_waits(pull)}" if _waits(pull) else pull["state"]
                counts = pull["counts"]
                total = counts["studies"] if pull["listed"] else None
                progress.update(task, description=said, completed=_over(counts), total=total)
                if pull["state"] in (*_OVER, "paused"):
                    return pull
                time.sleep(_FOLLOW_EVERY_S)
        except KeyboardInterrupt:
            return pull


def _print_plan(plan: Mapping[str, Any]) -> None:
    out = console()
    rows = [[number, each["studies"], each["instances"]] for number, each in enumerate(plan["queries"], start=1)]
    print_table("Found, by query", ["query", "studies", "instances"], rows, empty="")
    years = [
        [modality, year, count]
        for modality, by_year in plan["by_modality_and_year"].items()
        for year, count in by_year.items()
    ]
    print_table("Studies, with priors", ["modality", "year", "studies"], years, empty="The archive found nothing.")
    out.print(
        f"{plan['studies']} studies, {plan['priors']} of them priors. {plan['known']} are here, "
        f"{plan['partly_known']} in part; {plan['withdrawn']} are withdrawn and stay away."
    )
    gigabytes = plan["estimated_bytes"] / 1e9
    seconds = plan["estimated_s"]
    hours = "as fast as the archive gives" if seconds is None else f"{seconds / 3600:.1f} hours at the throttle"
    windows = plan["estimated_windows"]
    nights = "" if windows is None else f", {windows} times the window"
    out.print(
        f"To pull: {plan['to_pull']} studies, {plan['instances_to_pull']} instances, about {gigabytes:.2f} GB; {hours}{nights}."
    )


def _print_pull(pull: Mapping[str, Any]) -> None:
    out, counts = console(), pull["counts"]
    out.print(
        f"Pull {pull['pull_id']}: {pull['state']}. {pull['way']} from {pull['archive']} for {pull['project_id']}."
    )
    if not pull["listed"]:
        out.print("Its studies are not listed yet.")
    else:
        out.print(
            f"{_progress(counts)} studies: {counts['done']} pulled, {counts['known']} here before, "
            f"{counts['withdrawn']} withdrawn, {counts['failed']} failed; {counts['instances']} instances."
        )
    if _waits(pull):
        out.print(f"Waits for: {_waits(pull)}")
    failed = [each for each in pull.get("entries", ()) if each["fate"] == "failed"]
    if failed:
        rows = [
            [each["study_key"], each["reason"], each["detail"], each["instances"], each["instances_expected"]]
            for each in failed
        ]
        print_table("Did not come", ["study", "reason", "more", "instances", "of"], rows, empty="")
        out.print(f"Try them again: radloop pull resume {pull['pull_id']}")


def _over(counts: Mapping[str, int]) -> int:
    return int(counts["studies"]) - int(counts["waiting"]) - int(counts["retrieving"])


def _progress(counts: Mapping[str, int]) -> str:
    return f"{_over(counts)}/{counts['studies']}"


def _waits(pull: Mapping[str, Any]) -> str:
    if not pull["waits_for"]:
        return ""
    what = pull["problem"] if pull["waits_for"] == "problem" else pull["waits_for"]
    return f"{what}, until {datetime.fromtimestamp(pull['next_at']).astimezone():%Y-%m-%d %H:%M:%S}"
