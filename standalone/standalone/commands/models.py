"""``models`` and ``train``: the registry of models, and the wish for a new one."""

from collections.abc import Iterator
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

app = typer.Typer(no_args_is_help=True, help="Models: list, look at, bring, promote, roll back.")


@app.command("list")
def list_models(data: DataOption = DEFAULT_DATA, project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """List a project's models, which one serves, and how each did.

    Example:

        radloop models list --project hippocampus
    """
    from standalone.client import connect

    with connect(data) as client:
        found = items(client.get("/control-plane/v1/models", project_id=the_project(client, project)), "models")
    if as_json:
        print_json(found)
        return
    rows = [
        [
            short(model["model_digest"]),
            model["run_number"] or model["origin"],
            model["train_patient_count"],
            f"{model['test']['mean']:.3f}" if model["test"] else "",
            _state(model),
        ]
        for model in found
    ]
    columns = ["model", "run", "labelled patients", "test Dice", "state"]
    print_table("", columns, rows, empty="No model yet: radloop train, or radloop models import")


def _state(model: dict[str, Any]) -> str:
    """Say in words where a model stands: an outcome is of the day it was tried, serving is of now."""
    if model["serving"]:
        return "serves"
    if model["wanted"]:
        return "wanted, being loaded"
    words = {"serving": "served before", "kept": "not better, not taken", "load-failed": "could not be loaded"}
    return words.get(model["outcome"], model["outcome"] or "")


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Digest of the model, or its first digits.")],
    data: DataOption = DEFAULT_DATA,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print one model: its numbers, what it comes from, and what became of it.

    With --json everything, also each case's Dice and each label version.

    Example:

        radloop models show 3fa85f64
    """
    from standalone.client import connect

    with connect(data) as client:
        project_id = the_project(client, project)
        digest = full_digest(client, project_id, model)
        found = client.get(f"/control-plane/v1/models/{digest}", project_id=project_id)
        # Why a bundle could not be loaded never leaves the site, so the catalogue does not know.
        at_site = items(client.get("/inference/v1/models", project_id=project_id), "models")
    detail = next((each["detail"] for each in at_site if each["model_digest"] == digest), "")
    if as_json:
        print_json(found | {"detail": detail})
        return
    print_table("", ["model", found["model_digest"]], list(described(found, detail)), empty="")


def described(model: dict[str, Any], detail: str) -> Iterator[list[str]]:
    """Describe a model in lines of (what, words); what is not known of it is left out."""
    lineage, comparison = model["lineage"], model["comparison"]
    lines = {
        "name": model["model_name"],
        "state": _state(model),
        "why": detail,
        "run": model["run_number"],
        "labels": f"{len(lineage['label_version_ids'])} versions" if lineage["label_version_ids"] else "",
        "labelled patients": model["train_patient_count"],
        "dataset": short(model["dataset_version"] or ""),
    }
    if comparison and comparison["serving_digest"]:
        difference = f"{comparison['mean_difference']:+.3f} Dice on {comparison['patient_count']} patients"
        lines[f"against {short(comparison['serving_digest'])}"] = difference
    for part in ("validation", "test"):
        for segment in model["metrics"][part]["segments"]:
            lines[f"{part}, segment {segment['value']}"] = _interval(segment)
        if model["metrics"][part]["mean"]:
            lines[f"{part}, mean"] = _interval(model["metrics"][part]["mean"])
    yield from ([what, str(words)] for what, words in lines.items() if words not in (None, ""))


def _interval(found: dict[str, Any]) -> str:
    """Say a mean Dice over patients with its 95 % interval, which one patient cannot give."""
    if found["low"] is None:
        return f"{found['mean']:.3f}"
    return f"{found['mean']:.3f} ({found['low']:.3f}-{found['high']:.3f}), {found['patients']} patients"


@app.command("import")
def import_model(
    bundle: Annotated[Path, typer.Argument(help="MONAI Bundle as a zip file.", exists=True, dir_okay=False)],
    name: Annotated[str, typer.Option(help="Name of the model: lower-case letters, digits, hyphens.")],
    data: DataOption = DEFAULT_DATA,
    project: ProjectOption = "",
    serve: Annotated[bool, typer.Option("--serve", help="Let it serve at once.")] = False,
) -> None:
    """Bring your own model, as a MONAI Bundle.

    A model is code: import only what you trust. It is pinned by its digest and runs inside Triton alone.

    Example:

        radloop models import my_bundle.zip --name hippocampus --project hippocampus
    """
    from standalone.client import connect

    with connect(data) as client:
        form = {"project_id": the_project(client, project), "model_name": name, "serve": str(serve).lower()}
        answer = client.post("/inference/v1/models", form, files={"file": (bundle.name, bundle.read_bytes())})
    digest = short(answer["model_digest"])
    known = "" if answer["model_name"] == name else f" It was here already, as {answer['model_name']}."
    if serve:
        console().print(f"Imported as {digest}.{known} It serves once it is loaded and tried: radloop models list")
    else:
        console().print(f"Imported as {digest}.{known} Let it serve: radloop models promote {digest}")


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="Digest of the model, or its first digits.")],
    data: DataOption = DEFAULT_DATA,
    project: ProjectOption = "",
) -> None:
    """Let a model serve. The one that serves now goes on until the new one is loaded.

    Example:

        radloop models promote 3fa85f64
    """
    from standalone.client import connect

    with connect(data) as client:
        project_id = the_project(client, project)
        digest = full_digest(client, project_id, model)
        client.post(f"/control-plane/v1/models/{digest}/promote", {"project_id": project_id})
    console().print(f"{short(digest)} is wanted; it serves once it is loaded: radloop models list")


@app.command()
def rollback(data: DataOption = DEFAULT_DATA, project: ProjectOption = "") -> None:
    """Let the model serve again that served before.

    Example:

        radloop models rollback --project hippocampus
    """
    from standalone.client import connect

    with connect(data) as client:
        client.post(f"/control-plane/v1/projects/{the_project(client, project)}/rollback")
    console().print("The model that served before is wanted; it serves once it is loaded: radloop models list")


@app.command("serve-none")
def serve_none(data: DataOption = DEFAULT_DATA, project: ProjectOption = "") -> None:
    """Let no model serve: new studies are not predicted on until one is promoted.

    Example:

        radloop models serve-none --project hippocampus
    """
    from standalone.client import connect

    with connect(data) as client:
        client.post(f"/control-plane/v1/projects/{the_project(client, project)}/serve-none")
    console().print("No model is wanted. Let one serve again: radloop models promote, or radloop models rollback")


def train(data: DataOption = DEFAULT_DATA, project: ProjectOption = "") -> None:
    """Start a training now, with the labels approved so far, whatever the project's policy says.

    Example:

        radloop train --project hippocampus
    """
    from standalone.client import connect

    with connect(data) as client:
        client.post(f"/control-plane/v1/projects/{the_project(client, project)}/train")
    console().print("Asked for. radloop events tail --topic training-started shows when it begins.")


def full_digest(client: Any, project_id: str, beginning: str) -> str:
    """Find the one model whose digest begins so.

    Raises
    ------
    NotFound
        None does.
    Invalid
        Several do.
    """
    from radloop.errors import Invalid, NotFound

    wanted = beginning.removeprefix("sha256:")
    known = [
        model["model_digest"]
        for model in items(client.get("/control-plane/v1/models", project_id=project_id), "models")
    ]
    found = [digest for digest in known if digest.removeprefix("sha256:").startswith(wanted)]
    if not found:
        raise NotFound("model-unknown", expected="a model of this project", got=beginning, do="radloop models list")
    if len(found) > 1:
        raise Invalid(
            "digest-ambiguous", expected="one model", got=f"{len(found)} that begin so", do="give more digits"
        )
    return str(found[0])
