"""A project is data: nothing in it may name something to run or to open, because every site takes it over as it is."""

import re
from typing import Any

from radloop.errors import Invalid

# What would be more than data to MONAI's and Hydra's configuration parsers, or to a shell: `$` begins an expression, `@` a
# reference, `%` a macro, `_target_` and its like name code to call.
_EXPRESSION = re.compile(r"\$|`|^[@%]|\{\{|(^|[^A-Za-z0-9])_[a-z]+_($|[^A-Za-z0-9])")
# An absolute or relative path, a home, a drive, a URL, two steps down, or one step down to a file with an extension.
# One slash inside words stays allowed: "T1/T2" is a series description.
_PATH = re.compile(r"^[/~.]|\\|\.\.|^[A-Za-z]:|://|/.*/|/.*\.\w+$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_CONTROL_IN_PROSE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Lines and tabs are what prose is made of."""


def check_prose(text: str, place: str) -> None:
    """Refuse what no text for people contains. It may name addresses and prices: only people read it, no program parses it.

    Raises
    ------
    Invalid
        ``not-prose``: names the place, never the text.
    """
    if _CONTROL_IN_PROSE.search(text):
        raise Invalid(
            "not-prose",
            expected="lines of text, ended by a line feed",
            got=f"a control character in {place}",
            do="save the text with Unix line ends, and send it again",
        )


def check_data_only(tree: Any, place: str = "") -> None:
    """Refuse code, expressions and paths anywhere in a tree of dicts, sequences and scalars.

    What the control plane says is taken over by every site as data; nothing in it may name something to run or to open.

    Raises
    ------
    Invalid
        ``not-data``: names the place, never the value.
    """
    if isinstance(tree, dict):
        for name, value in tree.items():
            check_data_only(name, place or "a key")
            check_data_only(value, f"{place}.{name}" if place else str(name))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            check_data_only(value, f"{place}[{index}]")
    elif isinstance(tree, str):
        for what, pattern in (("an expression", _EXPRESSION), ("a path", _PATH), ("a control character", _CONTROL)):
            if pattern.search(tree):
                raise Invalid(
                    "not-data",
                    expected="plain words: a project is data only",
                    got=f"{what} in {place or 'the project'}",
                    do="write it without $, _name_, leading @ or %, slashes of a path, or control characters",
                )
