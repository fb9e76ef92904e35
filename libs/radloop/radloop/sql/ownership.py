"""Who owns what in a PostgreSQL database: for each service a role that may do anything in its own schema and nothing elsewhere.

Done by an administrator, once and again with each release; a service itself never has these rights.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from radloop.errors import PermanentError
from radloop.sql.outages import outage
from radloop.sql.postgresql import PATIENCE, parse_url, schema_of

OLDEST_VERSION = 140000
LIMITS = {
    # Longer than any statement of a handler, shorter than anybody's patience; migrations lift it for themselves.
    "statement_timeout": "60s",
    "lock_timeout": "30s",
    # Who dies between two statements without closing its connection gives the turn to write back.
    "idle_in_transaction_session_timeout": "60s",
}
_BYTE_ORDER = ("C", "POSIX", "C.UTF-8", "C.UTF8")


@dataclass(frozen=True)
class Change:
    """One thing that is missing: in words, and as statements."""

    words: str
    statements: tuple[sql.Composable, ...]


def role_of(service: str, prefix: str = "") -> str:
    """Return a service's role; a prefix keeps several platforms of one server apart, whose roles are shared."""
    return prefix + schema_of(service)


def service_url(admin_url: str, service: str, password: str, prefix: str = "") -> str:
    """Return the `RADLOOP_DATABASE_URL` of a service."""
    url = parse_url(admin_url).set(username=role_of(service, prefix), password=password)
    return url.render_as_string(hide_password=False)


def apply_ownership(
    admin_url: str, passwords: Mapping[str, str | None], *, prefix: str = "", dry_run: bool = False
) -> list[str]:
    """Make what is missing of database, schemas, roles and rights; return in words what was, or would be, done.

    Parameters
    ----------
    admin_url : str
        ``postgresql+psycopg://admin:password@host:port/database`` of a role that may create roles and schemas (and the
        database, where it does not exist yet). The database is the platform's alone.
    passwords : mapping of str to (str or None)
        By service. A password becomes the role's; None leaves a role's password as it is, and makes none for a new one.
    prefix : str
        Put before the names of roles; schemas are never prefixed.
    dry_run : bool
        Only look.

    Raises
    ------
    Unavailable
        The server is away or refuses the administrator.
    PermanentError
        ``database-version``, ``database-encoding`` or ``database-collation``: a server or database of another kind.
    """
    url = parse_url(admin_url)
    name = str(url.database)
    done = []
    try:
        with _connect(url.set(database="postgres")) as server:
            if server.info.server_version < OLDEST_VERSION:
                raise PermanentError(
                    "database-version", expected="PostgreSQL 14 or newer", got=f"{server.info.server_version // 10000}"
                )
            if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchall():
                done.append(f"create database {name}")
                if dry_run:
                    return done + [f"create role and schema {schema_of(service)}" for service in passwords]
                server.execute(
                    sql.SQL(
                        "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
                    ).format(sql.Identifier(name))
                )
        with _connect(url) as connection:
            _check_kind(connection, name)
            with connection.transaction(force_rollback=dry_run):
                for change in _missing(connection, name, passwords, prefix):
                    done.append(change.words)
                    for statement in change.statements:
                        connection.execute(statement)
    except psycopg.Error as error:
        if (reason := outage(error)) is not None:
            raise reason from error
        raise
    return done


def _connect(url) -> psycopg.Connection:  # type: ignore[no-untyped-def, type-arg]
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(address, autocommit=True, application_name="radloop-database", **PATIENCE)


def _check_kind(connection: psycopg.Connection, name: str) -> None:  # type: ignore[type-arg]
    query = "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = %s"
    ((encoding, collation),) = connection.execute(query, (name,)).fetchall()
    if encoding != "UTF8":
        raise PermanentError(
            "database-encoding", expected="UTF8", got=encoding, do="name a database that does not exist"
        )
    if collation not in _BYTE_ORDER:
        # Pages of a list are merged by us in the order of code points, and go on where the database says.
        raise PermanentError(
            "database-collation",
            expected=f"one of {', '.join(_BYTE_ORDER)}",
            got=collation,
            do="name a database that does not exist: it is made rightly",
        )


def _missing(connection, name: str, passwords: Mapping[str, str | None], prefix: str):  # type: ignore[no-untyped-def]
    """Yield what is not as it should be, looking at the catalogue as it is then."""

    def holds(query: str, *values: str) -> bool:
        ((answer,),) = connection.execute(query, values).fetchall()
        return bool(answer)

    database = sql.Identifier(name)
    public = "SELECT EXISTS (SELECT FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a "
    public += "WHERE d.datname = %s AND a.grantee = 0)"
    if holds(public, name):
        yield Change(
            f"close database {name} to others", (sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database),)
        )
    open_schema = "SELECT EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a "
    open_schema += "WHERE n.nspname = 'public' AND a.grantee = 0)"
    if holds(open_schema):
        yield Change("close schema public to others", (sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"),))
    for service, password in passwords.items():
        schema, role = schema_of(service), role_of(service, prefix)
        names = {"role": sql.Identifier(role), "schema": sql.Identifier(schema), "database": database}
        if not holds("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", role):
            plain = "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            yield Change(f"create role {role}", (sql.SQL(plain).format(**names),))
        if password is not None:
            # What is sent, and may be logged by the server, is the verifier and not the password.
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            set_it = sql.SQL("ALTER ROLE {role} PASSWORD {verifier}").format(verifier=sql.Literal(verifier), **names)
            yield Change(f"set the password of role {role}", (set_it,))
        if not holds("SELECT has_database_privilege(%s, %s, 'CONNECT')", role, name):
            yield Change(
                f"let role {role} connect", (sql.SQL("GRANT CONNECT ON DATABASE {database} TO {role}").format(**names),)
            )
        if not holds("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", schema):
            yield Change(f"create schema {schema}", (sql.SQL("CREATE SCHEMA {schema}").format(**names),))
        may = "SELECT has_schema_privilege(%s, %s, 'USAGE') AND has_schema_privilege(%s, %s, 'CREATE')"
        if not holds(may, role, schema, role, schema):
            yield Change(
                f"let role {role} use schema {schema}",
                (sql.SQL("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}").format(**names),),
            )
        for setting, value in {"search_path": schema, **LIMITS}.items():
            kept = "SELECT EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole "
            kept += "JOIN pg_database d ON d.oid = s.setdatabase "
            kept += "WHERE r.rolname = %s AND d.datname = %s AND %s = ANY (s.setconfig))"
            if not holds(kept, role, name, f"{setting}={value}"):
                wanted = sql.SQL("ALTER ROLE {role} IN DATABASE {database} SET {setting} = {value}")
                yield Change(
                    f"set {setting} of role {role} to {value}",
                    (wanted.format(setting=sql.Identifier(setting), value=sql.Literal(value), **names),),
                )
