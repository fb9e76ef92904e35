"""What a brought bundle prints goes nowhere, whichever way it prints."""

import subprocess
import sys

import pytest

SAY = """
import logging, os, subprocess, sys
from bundle_runner.output import discard_output, discarded_output
logging.basicConfig()

def say(text):
    print(text)
    print(text, file=sys.stderr)
    os.write(1, text.encode())
    os.write(2, text.encode())
    logging.getLogger("bundle").error(text)
    subprocess.run([sys.executable, "-S", "-c", f"print({text!r})"], check=True)
"""


@pytest.mark.parametrize(
    ("what", "heard"),
    [
        ("discard_output(); say('CANARY')", (0, 0)),
        ("with discarded_output(): say('CANARY')\nsay('heard')", (3, 3)),
        ("try:\n with discarded_output(): say('CANARY'); 1/0\nexcept ZeroDivisionError: say('heard')", (3, 3)),
        ("print('heard')\nwith discarded_output(): say('CANARY')", (1, 0)),
    ],
    ids=["for good", "for a block", "for a block that raises", "what was said before is kept"],
)
def test_what_is_said_is_thrown_away(what, heard):
    done = subprocess.run([sys.executable, "-c", SAY + what], capture_output=True, text=True, check=True, timeout=60)
    assert "CANARY" not in done.stdout + done.stderr
    assert (done.stdout.count("heard"), done.stderr.count("heard")) == heard
