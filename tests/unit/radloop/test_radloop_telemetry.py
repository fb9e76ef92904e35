"""A process's log, whoever writes it: ourselves, a library, an error nobody caught. Values are fields; texts of others are not shown."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import gc, logging, sys, threading, warnings
from radloop.errors import Invalid
from radloop.telemetry import configure_logging, logger
configure_logging("debug")
log = logger("here")
"""

QUIET = {
    "an error in a thread": "t = threading.Thread(target=lambda: int('CANARY')); t.start(); t.join()",
    "an error nobody caught": "int('CANARY')",
    "an error in a finalizer": """
class Left:
    def __del__(self): raise ValueError('CANARY')
Left(); gc.collect()""",
    "a warning": "warnings.warn('CANARY')",
    "a warning of a library": "warnings.warn_explicit('CANARY', UserWarning, 'some/library.py', 7)",
    "a library's message": "logging.getLogger('pydicom').warning('Invalid value for VR CS: %r' % 'CANARY')",
    "a library's message with values": "logging.getLogger('multipart').debug('header %s', 'CANARY')",
    "a library's error": """
try: int('CANARY')
except ValueError: logging.getLogger('asyncio').exception('future <CANARY> was never retrieved')""",
    "a message that cannot be written": "logging.getLogger('h11').warning('%d bytes', 'CANARY')",
    "our own error": """
try: int('CANARY')
except ValueError: log.error('it failed')""",
}


def lines_of(statements: str) -> list[dict]:
    """Run a process that logs; return its lines, each of which must be one JSON object."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + statements], capture_output=True, text=True, check=False, timeout=60
    )
    assert not done.stdout
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize("what", QUIET)
def test_what_was_said_is_told_by_kind_and_place_and_not_quoted(what):
    lines = lines_of(QUIET[what])
    assert len(lines) == 1 and lines[0]["logger"] and lines[0]["message"]
    assert "CANARY" not in json.dumps(lines)


def test_kind_and_place_of_what_nobody_caught_are_told():
    (line,) = lines_of(QUIET["an error in a thread"])
    assert (line["exception"], line["level"]) == ("ValueError", "error") and line["at"]
    (line,) = lines_of(QUIET["a warning of a library"])
    assert (line["kind"], line["at"]) == ("UserWarning", "some/library.py:7")
    (line,) = lines_of(QUIET["a library's message with values"])
    assert line["message"] == "header %s"


def test_our_own_words_and_errors_are_told_whole():
    (line,) = lines_of("""
try: raise Invalid("too-large", expected="less", got="more", do="shrink it")
except Invalid: log.error("it failed", size_bytes=7)""")
    assert (line["message"], line["size_bytes"]) == ("it failed", 7)
    assert line["error"] == "too-large: expected less; got more; shrink it"


@pytest.mark.parametrize("name", ["uvicorn.error", "alembic.runtime.migration"])
def test_libraries_that_hold_no_data_are_told_whole(name):
    (line,) = lines_of(f"logging.getLogger({name!r}).warning('lost %s', 'the broker')")
    assert line["message"] == "lost the broker"
