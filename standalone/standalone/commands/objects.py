"""``objects``: what stands in the object store and nothing refers to."""

import re
from typing import Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="The object store: remove what nothing refers to.")

OWNERS = ("ingest", "labeling", "inference", "trainer")
"""Services that store objects."""

_UNITS_S = {"m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> float:
    """Read a time such as ``24h``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text)
    if found is None:
        raise typer.BadParameter(f"expected a number and m, h or d, e.g. 24h; got {text}", param_hint="--grace")
    return float(found[1]) * _UNITS_S[found[2]]


@app.command()
def sweep(
    data: DataOption = DEFAULT_DATA,
    grace: Annotated[
        str, typer.Option(help="Age below which nothing is touched, e.g. 30m, 24h, 7d; 10m is the least.")
    ] = "24h",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove objects that nothing refers to any more, uploads that broke off, and what retention lets go.

    What killed processes left behind is found here. Each service looks after its own objects and asks its own tables, and
    every removal is an entry in its audit trail. It may run while the platform works; once a day is enough. Maps and
    embeddings of predictions go after INFERENCE_KEEP_MAPS_DAYS.

    Example:

        radloop objects sweep --dry-run

        radloop objects sweep --grace 7d
    """
    from radloop.errors import RadloopError
    from standalone.client import connect

    asked = {"grace_s": seconds_of(grace), "dry_run": dry_run}
    found: list[dict[str, Any]] = []
    failed: list[str] = []
    with connect(data) as client:
        for service in OWNERS:
            try:
                # A million objects take minutes to go through.
                found.append(client.post(f"/{service}/v1/objects/sweep", asked, timeout=3600))
            except RadloopError as error:
                failed.append(f"{service}: {error}")
    if as_json:
        print_json({"dry_run": dry_run, "services": found, "failed": failed})
    else:
        _print(found, dry_run)
        for line in failed:
            console(error=True).print(line, markup=False)
    if failed:
        raise typer.Exit(1)


def _print(found: list[dict[str, Any]], dry_run: bool) -> None:
    rows = [
        [
            each["service"],
            each["kept"],
            _megabytes(each["kept_bytes"]),
            each["removed"],
            _megabytes(each["removed_bytes"]),
            each["uploads_aborted"],
        ]
        for each in found
    ]
    removed = "would remove" if dry_run else "removed"
    print_table("", ["service", "kept", "MB", removed, "MB", "uploads ended"], rows, empty="no service answered")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f}"
