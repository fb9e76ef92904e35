"""``up``, ``status`` and ``token``: the platform itself."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from standalone.commands.options import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    console,
    items,
    print_json,
    print_table,
    short,
)
from standalone.setup import Engines, Plane


def up(
    data: DataOption = DEFAULT_DATA,
    port: Annotated[int, typer.Option(help="Port of the one door; 0 for any free one.", min=0, max=65535)] = 8080,
    dicom_port: Annotated[
        int, typer.Option("--dicom-port", help="Port that takes C-STORE; 0 for any free one.", min=0, max=65535)
    ] = 11112,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of one service, e.g. QA_STRAY_DISTANCE_MM=12. May be given again.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    engines: Annotated[
        Engines | None,
        typer.Option(
            help="embedded: SQLite and a folder. real: Kafka, PostgreSQL and S3, started here. Decided at the first start.",
            show_default="embedded",
        ),
    ] = None,
    plane: Annotated[
        Plane | None,
        typer.Option(help="Which half runs here. Decided at the first start.", show_default="all"),
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Name of the site. Decided at the first start.", show_default="site-1")
    ] = None,
    brokers: Annotated[
        int | None, typer.Option(help="Kafka brokers, 1 or 3. Decided at the first start.", show_default="1")
    ] = None,
    control_plane_events: Annotated[
        str | None,
        typer.Option(
            help="With --plane data: the control plane's Kafka, kafka://host:port, which a mirror here dials.",
            show_default=False,
        ),
    ] = None,
    owner: Annotated[int, typer.Option(hidden=True, help="Process the platform lives and dies with.")] = 0,
) -> None:
    """Start the platform on this machine and keep it running until Ctrl-C.

    Seven services, Triton and one door, each its own process; what crashes is started again. Everything it stores is in
    the data folder, so the next start goes on where this one ended. A training that runs when you press Ctrl-C runs on to
    its end, and the next start takes its result.

    Example:

        radloop up --data /srv/radloop --port 8080

        radloop up --data /srv/cloud --plane control --engines real

        radloop up --data /srv/site --plane data --engines real --site st-mary --control-plane-events kafka://127.0.0.1:19092
    """
    import os

    from standalone.supervisor.run import run_up

    overrides = dict(_pair(text) for text in setting or [])
    asked = {
        "engines": engines,
        "plane": plane,
        "site": site,
        "brokers": brokers,
        "control_plane_events": control_plane_events,
    }
    run_up(
        data,
        port=port,
        dicom_port=dicom_port,
        environment=os.environ,
        overrides=overrides,
        owner=owner,
        asked={name: value for name, value in asked.items() if value is not None},
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"expected NAME=VALUE, got {text}", param_hint="--set")
    return name, value


def token(
    data: DataOption = DEFAULT_DATA,
    subject: Annotated[str, typer.Option(help="Who will use it, as the projects' members name them.")] = "operator",
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="reader, reviewer, project-lead, site-admin or auditor. May be given again.", show_default=False
        ),
    ] = None,
    project: Annotated[str, typer.Option("--project", "-p", help="Project the roles hold in; * for all.")] = "*",
    hours: Annotated[float, typer.Option(help="How long it is valid.", min=0.1)] = 12,
    browser: Annotated[bool, typer.Option("--browser", help="Print an address that logs a browser in, once.")] = False,
) -> None:
    """Make a token for a person or a program.

    Whoever can read the data folder may make tokens: keep the folder to yourself. Without --role the token is the
    operator's, who may do everything but read cases.

    Example:

        radloop token --subject anna --role reader --project hippocampus

        radloop token --browser
    """
    from radloop.auth import Role
    from radloop.errors import Invalid
    from standalone.client import connect, issue_token, operator_token
    from standalone.layout import Layout, read_platform

    layout = Layout(data)
    if browser:
        with connect(data) as client:
            code = client.post("/login-codes")["code"]
        print(f"{read_platform(layout).url}/?token={code}")
        return
    if not role:
        print(operator_token(layout))
        return
    known = {each.value for each in Role}
    if unknown := set(role) - known:
        raise Invalid("role-unknown", expected=f"one of {', '.join(sorted(known))}", got=", ".join(sorted(unknown)))
    print(issue_token(layout, subject, {project: tuple(Role(each) for each in role)}, hours * 3600))


def status(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Say how the platform is: services, projects, what waits and what runs.

    Ends with exit code 1 when something is not ready, so that a script can ask.

    Example:

        radloop status

        radloop status --json | jq .services
    """
    from standalone.client import connect
    from standalone.layout import Layout, read_platform

    with connect(data) as client:
        found = collect_status(client)
    layout = Layout(data)
    if layout.platform_file.exists():
        platform = read_platform(layout)
        found = {
            "url": platform.url,
            "dicom": f"{platform.dicom_ae_title}@{platform.dicom_host}:{platform.dicom_port}",
            **found,
        }
    if as_json:
        print_json(found)
    else:
        _print_status(found, data)
    if not found["ready"]:
        raise typer.Exit(1)


def collect_status(client: Any) -> dict[str, Any]:
    """Gather what every service says about itself; a service that is away leaves its part empty."""
    from radloop.errors import RadloopError

    response = client.probe("/readyz")
    services = response["services"]
    for name, state in services.items():
        state["status"] = {}
        if state["ready"]:
            with contextlib.suppress(RadloopError):
                state["status"] = client.get(f"/{name}/v1/status")
    projects = []
    if services.get("control-plane", {}).get("ready"):
        projects = [
            _project_status(client, project) for project in items(client.get("/control-plane/v1/projects"), "projects")
        ]
    return {"ready": response["ready"], "services": services, "projects": projects}


def _project_status(client: Any, project: dict[str, Any]) -> dict[str, Any]:
    from radloop.errors import RadloopError

    project_id = project["project_id"]
    found: dict[str, Any] = {"project_id": project_id, "project_version": project["project_version"]}
    for name, path in (("rounds", "/edge-miner/v1/rounds"), ("runs", "/trainer/v1/runs")):
        try:
            found[name] = len(items(client.get(path, project_id=project_id), name))
        except RadloopError:
            found[name] = None
    try:
        found["serving"] = client.get("/inference/v1/status")["serving"].get(project_id, "")
    except RadloopError:
        found["serving"] = None
    return found


def _print_status(found: dict[str, Any], data: Path) -> None:
    out = console()
    out.print(
        f"[bold]radloop[/bold] in {data}" + (f"  {found['url']}  DICOM {found['dicom']}" if "url" in found else "")
    )
    rows = []
    for name, state in found["services"].items():
        said = ", ".join(_flat(state["status"]))
        rows.append([name, state["detail"], said])
    print_table("", ["service", "state", "says"], rows, empty="no services")
    rows = [
        [
            each["project_id"],
            each["project_version"],
            short(each["serving"] or "") or "none",
            each["rounds"],
            each["runs"],
        ]
        for each in found["projects"]
    ]
    columns = ["project", "version", "serving model", "rounds", "trainings"]
    print_table("", columns, rows, empty="No project yet: radloop project apply FILE")


def _flat(status: dict[str, Any], prefix: str = "") -> list[str]:
    """Write the numbers of a status as words; what nests, with its name in front; lists and what is long, left out."""
    words = []
    for name, value in status.items():
        if isinstance(value, dict):
            words += _flat(value, f"{prefix}{name} ")
        elif isinstance(value, (bool, list)) or value is None or (isinstance(value, str) and len(value) > 24):
            continue
        elif value != 0 and value != "":
            words.append(f"{prefix}{name} {value}".replace("_", " "))
    return words
