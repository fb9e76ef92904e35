"""`radloop database apply`: each service its schema and role, and no way into another's."""

import importlib
import json
import stat

import psycopg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from radloop.errors import PermanentError, Unavailable
from radloop.sql import Database
from radloop.sql.ownership import LIMITS, apply_ownership, service_url
from radloop.sql.postgresql import schema_of
from standalone.commands.root import app
from standalone.setup import SERVICES

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def admin_url(postgresql):
    return sa.make_url(postgresql.url).set(database="owned").render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def urls(admin_url):
    """A database of its own, with the URL of every service, their migrations run under their own roles."""
    passwords = {service: f"secret-{service}" for service in SERVICES}
    apply_ownership(admin_url, passwords, prefix="owned_")
    found = {service: service_url(admin_url, service, passwords[service], "owned_") for service in SERVICES}
    for service, url in found.items():
        database = Database(url, service)
        database.migrate(f"{schema_of(service)}.adapters.migrations")
        database.close()
    return found


def as_role(url):
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_at_nothing_of_another(urls, service):
    with as_role(urls[service]) as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        for other in SERVICES:
            if other == service:
                continue
            schema = schema_of(other)
            for statement in (
                f"SELECT * FROM {schema}.outbox",
                f"INSERT INTO {schema}.inbox VALUES ('a', 'b', 'c')",
                f"UPDATE {schema}.parked SET ready = true",
                f"DELETE FROM {schema}.audit",
                f"CREATE TABLE {schema}.mine (n int)",
                f"DROP TABLE {schema}.outbox",
                f"DROP SCHEMA {schema} CASCADE",
                f"GRANT USAGE ON SCHEMA {schema} TO owned_{schema_of(service)}",
                f"SET ROLE owned_{schema}",
            ):
                with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.DependentObjectsStillExist)):
                    connection.execute(statement)
            connection.execute(f"SET search_path = {schema}")
            with pytest.raises(psycopg.errors.UndefinedTable):  # without the right to a schema its tables are not seen
                connection.execute("SELECT * FROM outbox")
            connection.execute("RESET search_path")
        for statement in (
            "CREATE TABLE public.mine (n int)",
            "CREATE SCHEMA mine",
            "CREATE TEMPORARY TABLE mine (n int)",
            "CREATE ROLE mine",
            "CREATE DATABASE mine",
            "ALTER SYSTEM SET fsync = off",
            "COPY outbox TO PROGRAM 'cat'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_limits_and_search_path_are_the_roles_own(urls):
    with as_role(urls["edge-miner"]) as connection:
        for name, value in {"search_path": "edge_miner", **LIMITS}.items():
            shown = connection.execute(f"SHOW {name}").fetchone()[0]
            assert shown == ("1min" if value == "60s" else value)


def test_the_version_of_a_schema_stands_in_it(urls):
    for service in SERVICES:
        with as_role(urls[service]) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_a_second_time_there_is_nothing_to_do(admin_url, urls):
    assert apply_ownership(admin_url, dict.fromkeys(SERVICES), prefix="owned_") == []


def test_looking_changes_nothing(admin_url, urls):
    said = apply_ownership(admin_url, {"qa": None}, prefix="looked_", dry_run=True)
    assert said[0] == "create role looked_qa"
    assert apply_ownership(admin_url, {"qa": None}, prefix="looked_", dry_run=True) == said


def test_what_somebody_changed_is_mended(admin_url, urls):
    with as_role(admin_url) as connection:
        connection.execute("ALTER ROLE owned_qa IN DATABASE owned SET statement_timeout = '1h'")
        connection.execute("REVOKE CREATE ON SCHEMA qa FROM owned_qa")
        connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    said = apply_ownership(admin_url, dict.fromkeys(SERVICES), prefix="owned_")
    assert said == [
        "close schema public to others",
        "let role owned_qa use schema qa",
        "set statement_timeout of role owned_qa to 60s",
    ]


def test_a_wrong_password_and_missing_rights_are_named_and_not_shown(admin_url, urls):
    wrong = Database(service_url(admin_url, "qa", "hunter2", "owned_"), "qa")
    with pytest.raises(Unavailable, match="a refusal of role or password") as refused:
        wrong.migrate("qa.adapters.migrations")
    assert "hunter2" not in str(refused.value) and "refusal" in str(wrong.check())
    wrong.close()
    foreign = Database(urls["qa"], "labeling")  # another service's password in the wrong place
    with pytest.raises(Unavailable, match="database apply"):
        foreign.migrate("labeling.adapters.migrations")
    foreign.close()


def test_a_database_in_another_order_is_refused(postgresql):
    with as_role(postgresql.url) as connection:
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    url = sa.make_url(postgresql.url).set(database="latin").render_as_string(hide_password=False)
    with pytest.raises(PermanentError, match="database-encoding"):
        apply_ownership(url, {"qa": None})


def test_the_command(postgresql, tmp_path):
    url = sa.make_url(postgresql.url).set(database="commanded").render_as_string(hide_password=False)
    file = tmp_path / "urls.json"
    arguments = ["database", "apply", "--url", url, "--credentials", str(file), "--role-prefix", "cmd_"]
    looked = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert looked.exit_code == 0 and "create database commanded" in looked.output and not file.exists()
    made = CliRunner().invoke(app, arguments)
    assert made.exit_code == 0, made.output
    urls = json.loads(file.read_text())
    assert list(urls) == list(SERVICES) and stat.S_IMODE(file.stat().st_mode) == 0o600
    for service, own in urls.items():
        importlib.import_module(schema_of(service))
        database = Database(own, service)
        assert database.check() is True
        database.close()
        assert sa.make_url(own).password not in made.output
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0 and "nothing to do" in again.output
    assert json.loads(file.read_text()) == urls
