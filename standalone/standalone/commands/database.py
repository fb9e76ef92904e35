"""``database``: schemas and roles of the services in PostgreSQL."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Set PostgreSQL up: a schema and a role for each service.")


@app.callback()
def _group() -> None:
    """Set PostgreSQL up."""


@app.command()
def apply(
    url: Annotated[
        str,
        typer.Option(
            envvar="RADLOOP_DATABASE_ADMIN_URL",
            help="postgresql+psycopg://admin:password@host:port/database; better in the variable than on the command line.",
            show_envvar=True,
        ),
    ],
    credentials: Annotated[
        Path,
        typer.Option(
            help="File with each service's RADLOOP_DATABASE_URL, as JSON, for this user alone. Kept if there."
        ),
    ] = Path("database-urls.json"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is missing, and change nothing.")] = False,
    new_passwords: Annotated[
        bool, typer.Option("--new-passwords", help="Give every role a new one: restart the services with them.")
    ] = False,
    role_prefix: Annotated[
        str, typer.Option(help="Put before each role's name: for several platforms on one server.")
    ] = "",
    service: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be repeated.", show_default="all")
    ] = None,
) -> None:
    """Make what is missing: the database, for each service a schema, and a role with rights to that schema only.

    Nothing is ever deleted. Services make their tables themselves, at their start.

    Example:

        radloop database apply --dry-run
    """
    import json
    import secrets

    from radloop.errors import Invalid
    from radloop.sql.ownership import apply_ownership, service_url
    from standalone.setup import SERVICES, write_private

    services = tuple(service or SERVICES)
    if unknown := sorted(set(services) - set(SERVICES)):
        raise Invalid("service-unknown", expected=f"some of {', '.join(SERVICES)}", got=", ".join(unknown))
    kept: dict[str, str] = json.loads(credentials.read_text()) if credentials.exists() else {}
    new = [name for name in services if new_passwords or name not in kept]
    passwords = {name: secrets.token_urlsafe(24) if name in new else None for name in services}
    if new and not dry_run:
        # Before the roles have them, so that no crash leaves a role whose password nobody knows.
        kept |= {name: service_url(url, name, str(passwords[name]), role_prefix) for name in new}
        write_private(credentials, json.dumps(kept, indent=2) + "\n")
    for line in apply_ownership(url, passwords, prefix=role_prefix, dry_run=dry_run) or ["nothing to do"]:
        print(f"would {line}" if dry_run and line != "nothing to do" else line)
