"""``project``: what is segmented, which studies are taken, how cases are chosen, read, trained on and promoted."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, items, print_json, print_table

PROJECT_ID = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"

app = typer.Typer(no_args_is_help=True, help="Projects: set up, shown, listed.")


@app.command()
def apply(
    file: Annotated[
        Path, typer.Argument(help="Project as JSON or YAML, with its project_id.", exists=True, dir_okay=False)
    ],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Set up a project, or change it; the same file again changes nothing.

    `radloop project show NAME > project.json` writes a file to start from; the demo's project is a good model.

    Example:

        radloop project apply hippocampus.yaml
    """
    from radloop.errors import Invalid
    from standalone.client import connect

    project = read_project(file)
    project_id = project.pop("project_id", None)
    if not isinstance(project_id, str) or not re.fullmatch(PROJECT_ID, project_id):
        raise Invalid(
            "project-id",
            expected="a project_id of lower-case letters, digits and single hyphens",
            got="none" if project_id is None else repr(project_id),
            do="mend the line project_id: NAME",
        )
    project.pop("project_version", None)
    project.pop("sequence", None)
    with connect(data) as client:
        answer = client.put(f"/control-plane/v1/projects/{project_id}", project)
    console().print(f"{project_id} is at version {answer['project_version']}.")


def read_project(file: Path) -> dict[str, Any]:
    """Read a project's file, JSON or YAML.

    Raises
    ------
    Invalid
        It is neither, or no mapping.
    """
    import yaml

    from radloop.errors import Invalid

    try:
        text = file.read_text()
        # JSON first: it is a subset, and its errors are better.
        project = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise Invalid(
            "project-file", expected="JSON or YAML", got=str(error).splitlines()[0], do=f"mend {file}"
        ) from error
    if not isinstance(project, dict):
        raise Invalid("project-file", expected="fields with values", got=type(project).__name__, do=f"mend {file}")
    return project


@app.command()
def show(
    project_id: Annotated[str, typer.Argument(help="Name of the project.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print a project as JSON, in the form that ``project apply`` takes.

    Example:

        radloop project show hippocampus
    """
    from standalone.client import connect

    with connect(data) as client:
        print_json(client.get(f"/control-plane/v1/projects/{project_id}"))


@app.command("list")
def list_projects(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """List the projects.

    Example:

        radloop project list
    """
    from standalone.client import connect

    with connect(data) as client:
        found = items(client.get("/control-plane/v1/projects"), "projects")
    if as_json:
        print_json(found)
        return
    rows = [[project["project_id"], project["project_version"], project["model_name"]] for project in found]
    empty = "No project yet: radloop project apply FILE"
    print_table("", ["project", "version", "model"], rows, empty=empty)
