"""Runs the gateway: ``python -m standalone.gateway --data DIR``, started by the supervisor."""

import argparse
from pathlib import Path

import uvicorn

from radloop.auth import TokenAuthenticator, secret_of
from radloop.telemetry import configure_logging
from standalone.gateway.app import build
from standalone.layout import Layout, read_platform


def main() -> None:
    """Read the platform's file and serve its one door."""
    parser = argparse.ArgumentParser(description="The one door of a platform on one machine.")
    parser.add_argument("--data", type=Path, required=True, help="data folder of the platform")
    layout = Layout(parser.parse_args().data)
    platform = read_platform(layout)
    configure_logging("info")
    authenticator = TokenAuthenticator(secret_of(layout.secret_file))
    app = build(platform.services, authenticator, platform.login_code, data_folder=str(layout.folder))
    host, _, port = platform.url.removeprefix("http://").partition(":")
    uvicorn.run(app, host=host, port=int(port), log_config=None, access_log=False, timeout_graceful_shutdown=3)


if __name__ == "__main__":
    main()
