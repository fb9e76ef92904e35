"""The engines that the charts bundle: their commands start real ones, and their setup makes what the services ask for.

The commands are those of the rendered example; only paths, ports and host names are this machine's. PostgreSQL is started by its
image's own program in a cluster; here it is ours.
"""

import base64
import os
import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
import yaml

from radloop.errors import RadloopError
from radloop.events.kafka.address import KafkaAddress
from radloop.events.kafka.topics import KafkaTopics
from radloop.events.topics import planned_topics
from radloop.sql.ownership import role_of
from radloop.sql.postgresql import parse_url
from standalone.engines.installation import java, kafka_classpath, versitygw
from standalone.engines.kafka import LOG4J, KafkaCluster
from standalone.engines.postgresql import PostgresqlServer
from standalone.engines.s3 import S3Server
from standalone.supervisor.ports import free_ports
from standalone.supervisor.process import Program
from tests.conftest import Running
from tests.contract.charts.rendering import EXAMPLES, ROOT, named, pods_of

pytestmark = pytest.mark.integration
PAGE = ROOT / "docs/operate/try-on-one-node.md"
SERVICES = ["edge-miner", "inference", "ingest", "labeling", "qa", "trainer"]
PASSWORDS = {name: secrets.token_hex(8) for name in [*SERVICES, "kafka", "postgresql", "objects"]}
KEYS = {"AWS_ACCESS_KEY_ID": "radloop", "AWS_SECRET_ACCESS_KEY": PASSWORDS["objects"]}


@pytest.fixture(scope="module")
def one_node(render) -> list[dict[str, Any]]:
    """The objects of a site with everything bundled."""
    (values,) = (file for file in EXAMPLES if file.parts[-4:-1] == ("data-plane", "examples", "one-node"))
    return [each for each in yaml.safe_load_all(render(values)) if each]


def container(one_node: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = named(one_node, kind, name)["spec"]["template"]["spec"]["containers"]
    return found


def environment(container: dict[str, Any], secret: dict[str, str]) -> dict[str, str]:
    """Return a container's variables; what comes from a Secret is taken by its key."""
    return {
        each["name"]: each["value"] if "value" in each else secret[each["valueFrom"]["secretKeyRef"]["key"]]
        for each in container["env"]
    }


def moved(text: str, places: dict[str, object]) -> str:
    """Put places of this machine in place of a pod's."""
    for place, here in places.items():
        assert place in text, place
        text = text.replace(place, str(here))
    return text


def kafka(one_node: list[dict[str, Any]], folder: Path) -> tuple[Program, int]:
    """Describe the chart's broker, with stand-ins for the two scripts of its image."""
    port, controller, itself = free_ports(3)
    (folder / "bin").mkdir(parents=True)
    for script, program in {"kafka-storage": "kafka.tools.StorageTool", "kafka-server-start": "kafka.Kafka"}.items():
        file = folder / "bin" / f"{script}.sh"
        run = f"{java()} $KAFKA_HEAP_OPTS -Dlog4j2.configurationFile={LOG4J} -cp '{kafka_classpath()}' {program}"
        file.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
        file.chmod(0o755)
    properties = named(one_node, "ConfigMap", "kafka")["data"]["server.properties"]
    places = {
        ":9092": f":{port}",
        ":9093": f":{controller}",
        ":9094": f":{itself}",
        "radloop-kafka.radloop": "127.0.0.1",
    }
    (folder / "server.properties").write_text(moved(properties, places | {"/data": folder / "data"}))
    broker = container(one_node, "StatefulSet", "kafka")
    command = moved(broker["command"][2], {"/opt/kafka/bin": folder / "bin", "/etc/radloop/kafka": folder})
    variables = {"PATH": os.environ["PATH"], **environment(broker, PASSWORDS)}
    answers = KafkaCluster(folder, [port], [controller]).answers
    return Program("bundled-kafka", ["sh", "-c", command], variables, lambda: answers(0)), port


def objects(one_node: list[dict[str, Any]], folder: Path) -> tuple[Program, int]:
    """Describe the chart's object store."""
    folder.mkdir()
    (port,) = free_ports(1)
    store = container(one_node, "StatefulSet", "objects")
    path = f"{versitygw().parent}:{os.environ['PATH']}"
    command = moved(store["command"][2], {":7070": f"127.0.0.1:{port}", "/data": folder})
    server = S3Server(folder, port, KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
    return Program(
        "bundled-objects", ["sh", "-c", command], {"PATH": path, **environment(store, KEYS)}, server.answers
    ), port


@pytest.fixture(scope="module")
def engines(one_node, engines_folder: Path):
    """All three, running; their ports by the names of their pods."""
    folder = engines_folder / "bundled"
    folder.mkdir()
    folder.chmod(0o711)
    broker, kafka_port = kafka(one_node, folder / "kafka")
    store, objects_port = objects(one_node, folder / "objects")
    database = PostgresqlServer(folder / "postgresql", free_ports(1)[0], PASSWORDS["postgresql"])
    database.prepare()
    running = Running(folder)
    try:
        running.start(broker, store, database.program())
        yield {"kafka": kafka_port, "objects": objects_port, "postgresql": database.port}
    finally:
        running.end()


def run_setup(one_node: list[dict[str, Any]], folder: Path, ports: dict[str, int], **roles: str) -> Any:
    """Do what the Job does, with Secrets as the page has people make them."""
    job = container(one_node, "Job", "setup-1")
    written = {
        "events": dict.fromkeys(SERVICES, f"kafka://radloop:{PASSWORDS['kafka']}@127.0.0.1:{ports['kafka']}"),
        "database": {name: database_url(name, ports, **roles) for name in SERVICES},
        "passwords": PASSWORDS,
    }
    for secret, values in written.items():
        (folder / secret).mkdir(exist_ok=True)
        for key, value in values.items():
            (folder / secret / key).write_text(value)
    assert job["command"][:2] == ["python", "-c"]
    assert job["command"][4:] == SERVICES
    assert {mount["mountPath"] for mount in job["volumeMounts"]} - {"/tmp"} == {
        f"{job['command'][3]}/{secret}" for secret in written
    }
    address = {"radloop-objects.radloop:7070": f"127.0.0.1:{ports['objects']}"}
    variables = {
        name: moved(value, address) if "URL" in name else value for name, value in environment(job, KEYS).items()
    }
    command = [sys.executable, "-c", job["command"][2], str(folder), *SERVICES]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=False, timeout=100
    )


def database_url(service: str, ports: dict[str, int], **roles: str) -> str:
    role = roles.get(service, service.replace("-", "_"))
    return f"postgresql+psycopg://{role}:{PASSWORDS[service]}@127.0.0.1:{ports['postgresql']}/radloop"


def test_the_setup_makes_roles_topics_and_bucket_once(one_node, engines, tmp_path: Path) -> None:
    first = run_setup(one_node, tmp_path, engines)
    assert first.returncode == 0, first.stdout + first.stderr
    for service in SERVICES:
        address = parse_url(database_url(service, engines)).set(drivername="postgresql")
        with psycopg.connect(address.render_as_string(hide_password=False)) as connection:
            ((schema,),) = connection.execute("SELECT current_schema()").fetchall()
        assert schema == service.replace("-", "_")
    events = KafkaAddress.parse(f"kafka://radloop:{PASSWORDS['kafka']}@127.0.0.1:{engines['kafka']}")
    assert KafkaTopics(events, planned_topics()).differences() == []
    store = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{engines['objects']}",
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    assert [bucket["Name"] for bucket in store.list_buckets()["Buckets"]] == ["radloop"]

    second = run_setup(one_node, tmp_path, engines)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "create" not in second.stdout
    assert not any(password in first.stdout + second.stdout for password in PASSWORDS.values())


def test_kafka_lets_nobody_in_without_the_password(engines) -> None:
    stranger = KafkaAddress.parse(f"kafka://radloop:wrong@127.0.0.1:{engines['kafka']}")
    with pytest.raises(RadloopError, match="event-log-refused"):
        KafkaTopics(stranger, planned_topics()).differences()


def test_an_address_with_another_role_is_named(one_node, tmp_path: Path) -> None:
    done = run_setup(one_node, tmp_path, dict.fromkeys(("kafka", "objects", "postgresql"), 1), qa="qq")
    assert done.returncode
    assert "the address of qa must have the role qa" in done.stderr


def test_the_page_makes_every_secret_that_the_example_asks_for(one_node, tmp_path: Path) -> None:
    lines = re.search(r"## 1\. Secrets.*?```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert lines
    (tmp_path / "kubectl").write_text(f'#!/bin/sh\nprintf "%s\\037" "$@" >>{tmp_path}/said\necho >>{tmp_path}/said\n')
    (tmp_path / "kubectl").chmod(0o755)
    subprocess.run(["sh", "-euc", lines[1]], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True)
    made: dict[str, dict[str, str]] = {}
    for line in (tmp_path / "said").read_text().splitlines():
        words = line.split("\037")
        if "secret" in words:
            literals = (word.removeprefix("--from-literal=") for word in words if word.startswith("--from-literal="))
            made[words[words.index("generic") + 1]] = dict(literal.split("=", 1) for literal in literals)

    for _, pod, _ in pods_of(one_node):
        for volume in pod.get("volumes", []):
            if "secret" in volume:
                wanted = {item["key"] for item in volume["secret"].get("items", [])}
                assert wanted <= made[volume["secret"]["secretName"]].keys()
        for each in pod["containers"]:
            for variable in each.get("env", []):
                if "valueFrom" in variable and not variable["valueFrom"]["secretKeyRef"].get("optional"):
                    reference = variable["valueFrom"]["secretKeyRef"]
                    assert reference["key"] in made[reference["name"]]
    for service in SERVICES:
        database, events = (
            parse_url(made["radloop-database"][service]),
            KafkaAddress.parse(made["radloop-events"][service]),
        )
        assert (database.username, database.host) == (role_of(service), "radloop-postgresql")
        assert (events.servers, events.password) == ((("radloop-kafka", 9092),), made["radloop-bundled"]["kafka"])
        assert named(one_node, "Service", "kafka") and named(one_node, "Service", "postgresql")


def test_the_cluster_of_kafka_has_an_id_that_kafka_takes(one_node) -> None:
    words = shlex.split(container(one_node, "StatefulSet", "kafka")["command"][2])
    assert len(base64.urlsafe_b64decode(words[words.index("--cluster-id") + 1] + "==")) == 16
