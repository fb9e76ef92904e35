"""The pages behind the door: each service, whether it is ready, its calls, and where to go from here."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

# What a person opens: a service's page, where it has one.
PURPOSES = {
    "control-plane": "projects, catalogue of datasets and models",
    "ingest": "receives DICOM, de-identifies it and forms cases",
    "inference": "runs models in Triton",
    "edge-miner": "finds the cases worth a reader's time",
    "labeling": "tasks, leases and label versions of the reading room",
    "qa": "decides which labels may train",
    "trainer": "freezes dataset versions and trains",
}

COMMANDS = (
    ("status", "how everything is"),
    ("models list", "the models of a project, and which serves"),
    ("events tail", "what the services say to one another"),
)

_CODE = re.compile("``?([^`]+)``?")
"""What docstrings mark as code."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 52rem; padding: 0 1rem; color: #1d2733;
       background: #fff; }
h1 { font-size: 1.5rem; } table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .45rem .75rem .45rem 0; border-bottom: 1px solid #d8dee6; vertical-align: top; }
.ready { color: #14713a; } .away { color: #a3231f; font-weight: 600; } code { background: #f1f4f7; padding: .1rem .3rem;
       white-space: nowrap; }
a { color: #1f5fa8; } ul { padding-left: 1.2rem; } li { margin: .3rem 0; } .method { color: #5a6675; }
footer { margin-top: 2rem; color: #5a6675; font-size: .9rem; }
@media (prefers-color-scheme: dark) { body { background: #14181d; color: #dfe6ee; } code { background: #232a32; }
  td, th { border-color: #303a45; } .ready { color: #6fd08c; } .away { color: #ff8f88; }
  footer, .method { color: #9aa7b5; } a { color: #8bb8ee; } }
"""


@dataclass(frozen=True)
class Readiness:
    """What a service answered to ``/readyz``."""

    ready: bool
    detail: str


def status_page(states: Mapping[str, Readiness], data_folder: str) -> str:
    """Write the page for somebody who is logged in."""
    rows = "".join(
        f"<tr><td><strong>{escape(name)}</strong><br><small>{escape(PURPOSES[name])}</small></td>"
        f'<td class="{"ready" if states[name].ready else "away"}">{escape(states[name].detail)}</td>'
        f'<td><a href="/api/{name}">API</a> &middot; <a href="/{name}/metrics">metrics</a></td></tr>'
        for name in states
    )
    ready = sum(state.ready for state in states.values())
    summary = "Everything is ready." if ready == len(states) else f"{ready} of {len(states)} services are ready."
    commands = "".join(
        f"<li><code>radloop {command} --data {escape(data_folder)}</code> {said}</li>" for command, said in COMMANDS
    )
    if "labeling" in states:  # of the control plane it is no part
        summary += ' Cases are read in the <a href="/labeling/">reading room</a>.'
    return _page(
        f"<p>{summary}</p>"
        f"<table><tr><th>Service</th><th>State</th><th>Look</th></tr>{rows}</table>"
        f"<h2>From the command line</h2><ul>{commands}</ul>"
    )


def api_page(name: str, description: Mapping[str, Any]) -> str:
    """Write the page of one service's calls, from its OpenAPI description."""
    rows = "".join(
        f'<tr><td><span class="method">{escape(method)}</span></td><td><code>/{name}{escape(path)}</code></td>'
        f"<td>{_with_code(said)}</td></tr>"
        for method, path, said in _calls(description)
    )
    return _page(
        f"<h2>{escape(name)}: {escape(PURPOSES[name])}</h2><p>Each call needs "
        "<code>Authorization: Bearer …</code>; <code>radloop token</code> makes one.</p>"
        f"<table><tr><th></th><th>Call</th><th>What it does</th></tr>{rows}</table>"
        f'<p><a href="/{name}/openapi.json">OpenAPI, for programs</a> &middot; <a href="/">back</a></p>'
    )


def _with_code(said: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(said))


def _calls(description: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for path, methods in sorted(description.get("paths", {}).items()):
        for method, call in methods.items():
            said = call.get("description") or call.get("summary", "")
            yield method.upper(), path, said.split("\n\n")[0]


def login_page() -> str:
    """Write the page for somebody who is not."""
    return _page(
        "<p>This platform does not know you yet.</p><p>Open the address that <code>radloop up</code> printed; it works once. "
        "For another one: <code>radloop token --browser</code>.</p>"
    )


def _page(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # No icon is better than a request for one that is not there.
        '<link rel="icon" href="data:,">'
        f"<title>radloop</title><style>{_STYLE}</style></head><body><h1>radloop on this machine</h1>{body}"
        "<footer>Research use only. Not a medical device.</footer></body></html>"
    )
