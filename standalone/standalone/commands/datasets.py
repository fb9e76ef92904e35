"""``dataset``: the frozen versions that models were trained on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from standalone.commands.options import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    ProjectOption,
    console,
    items,
    print_json,
    print_table,
    short,
    the_project,
)

app = typer.Typer(no_args_is_help=True, help="Dataset versions: list, take out.")


class Format(StrEnum):
    """Layout of an exported dataset."""

    MONAI = "monai"
    NNUNET = "nnunet"


@app.command("list")
def list_datasets(data: DataOption = DEFAULT_DATA, project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """List the dataset versions of a project.

    Example:

        radloop dataset list --project hippocampus
    """
    from standalone.client import connect

    with connect(data) as client:
        found = items(client.get("/control-plane/v1/datasets", project_id=the_project(client, project)), "datasets")
    if as_json:
        print_json(found)
        return
    rows = [
        [
            short(_digest(each)),
            ", ".join(str(run["run_number"]) for run in each["runs"]),
            ", ".join(f"{count} {split}" for split, count in sorted(each["labels"].items())),
        ]
        for each in found
    ]
    print_table("", ["dataset", "run", "labels"], rows, empty="No dataset version yet: a training makes the first.")


def _digest(dataset: dict[str, Any]) -> str:
    return str(dataset["dataset_version"])


@app.command()
def export(
    dataset: Annotated[str, typer.Argument(help="Digest of the dataset version, or its first digits.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Zip file to write.")],
    data: DataOption = DEFAULT_DATA,
    project: ProjectOption = "",
    layout: Annotated[
        Format, typer.Option("--format", help="monai: NIfTI and a datalist; nnunet: nnU-Net's raw layout.")
    ] = Format.MONAI,
) -> None:
    """Write a dataset version as a zip file: de-identified images, label maps, and the list of both.

    Example:

        radloop dataset export 8d1f --format nnunet --out dataset.zip
    """
    from radloop.errors import Conflict, Invalid, NotFound
    from standalone.client import connect

    if out.exists():
        raise Conflict("file-exists", expected="a new file", got=str(out), do="choose another name with --out")
    if not out.parent.is_dir():
        raise NotFound("folder-missing", expected="a folder for the file", got=str(out.parent), do="make it first")
    with connect(data) as client:
        known = items(client.get("/control-plane/v1/datasets", project_id=the_project(client, project)), "datasets")
        wanted = dataset.removeprefix("sha256:")
        found = sorted({_digest(each) for each in known if _digest(each).removeprefix("sha256:").startswith(wanted)})
        if not found:
            raise NotFound(
                "dataset-unknown", expected="a dataset of this project", got=dataset, do="radloop dataset list"
            )
        if len(found) > 1:
            raise Invalid(
                "digest-ambiguous", expected="one dataset", got=f"{len(found)} that begin so", do="give more digits"
            )
        content = client.get_bytes(f"/trainer/v1/datasets/{found[0]}/export", format=layout.value)
    out.write_bytes(content)
    console().print(f"Wrote {out} ({len(content) / 1e6:.1f} MB).")
