"""Write the settings table of each service into its README: ``make docs``. A test repeats it and fails on a difference."""

import importlib
import re
from pathlib import Path

from pydantic_settings import BaseSettings

from radloop.settings import ServiceSettings, table

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("ingest", "inference", "edge-miner", "labeling", "qa", "trainer", "control-plane")
_TABLE = re.compile(r"\| variable \| default \| meaning \|\n\|---\|---\|---\|\n(?:\|.*\n)*")


def settings_of(service: str) -> type[BaseSettings]:
    """Return a service's settings class."""
    module = importlib.import_module(f"{service.replace('-', '_')}.settings")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value is not ServiceSettings
    )
    return found


def with_table(text: str, service: str) -> str:
    """Return a README with the settings table of its service, where the service has settings of its own."""
    return _TABLE.sub(lambda _: table(settings_of(service)) + "\n", text)


def main() -> None:
    """Rewrite what differs."""
    for service in SERVICES:
        readme = ROOT / "services" / service / "README.md"
        text = readme.read_text()
        if (wanted := with_table(text, service)) != text:
            readme.write_text(wanted)
            print(f"written: {readme.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
