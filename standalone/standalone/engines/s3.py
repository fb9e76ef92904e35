"""One S3 server on the loopback address: versitygw over a folder."""

import os
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from standalone.engines.installation import versitygw
from standalone.supervisor.process import Program

HOST = "127.0.0.1"
BUCKET = "radloop"


@dataclass(frozen=True)
class S3Server:
    """A server to be: its folder, port, and the one user's keys."""

    folder: Path
    port: int
    access_key: str
    secret_key: str

    @property
    def endpoint(self) -> str:
        """Address of the server."""
        return f"http://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The bucket as `radloop.objects` opens it; the keys come from the environment."""
        return f"s3://{BUCKET}?endpoint={self.endpoint}"

    @property
    def credentials(self) -> dict[str, str]:
        """The variables boto3 reads the keys from."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def prepare(self) -> None:
        """Make the folders; a bucket is a folder here."""
        (self.folder / "data" / BUCKET).mkdir(parents=True, exist_ok=True)

    def program(self) -> Program:
        """Describe the server process."""
        arguments = [
            str(versitygw()),
            "--quiet",
            "-p",
            f"{HOST}:{self.port}",
            "posix",
            str((self.folder / "data").resolve()),
        ]
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "ROOT_ACCESS_KEY": self.access_key,
            "ROOT_SECRET_KEY": self.secret_key,
        }
        return Program("s3", arguments, environment, self.answers)

    def answers(self) -> bool:
        """Whether the server answers to HTTP; a refusal is an answer."""
        connection = HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status in (200, 403)
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
