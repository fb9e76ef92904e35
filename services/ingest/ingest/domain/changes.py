"""What de-identification did to one instance: which attributes met which action, never a value. Reports of a study add these up."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

PRIVATE_KEPT = "private-kept"
"""Beside the actions: private attributes that are on the site's safe list."""


@dataclass(frozen=True)
class Changes:
    """What was done to one instance; most of a series have the same.

    Attributes
    ----------
    profile : str
        Name and version of what was applied, as (0012,0063) has it.
    codes : tuple of str
        Codes of the options, as (0012,0064) has them.
    attributes : Mapping of str to tuple of str
        By action, the attributes it was done to at any nesting level, in order: eight hexadecimal digits where the data
        dictionary knows them, else the group alone (``0029xxxx``), for who invents a number could say something by it.
    """

    profile: str
    codes: tuple[str, ...]
    attributes: Mapping[str, tuple[str, ...]]

    @cached_property
    def text(self) -> str:
        """JSON, the same for the same."""
        body = {"profile": self.profile, "codes": self.codes, "attributes": self.attributes}
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """Tells one from another: 32 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    @classmethod
    def read(cls, text: str) -> "Changes":
        """Read what ``text`` gave."""
        body = json.loads(text)
        return cls(body["profile"], tuple(body["codes"]), {k: tuple(v) for k, v in body["attributes"].items()})


def report(found: Iterable[tuple[Changes, int]]) -> list[dict[str, Any]]:
    """Add up what was done to the instances of a study.

    Parameters
    ----------
    found : iterable of (Changes, int)
        Each with the number of instances it was done to.

    Returns
    -------
    list of dict
        One for each profile that was applied: ``profile``, ``codes``, ``instances``, and ``actions``: by action a list of
        ``attribute`` and ``instances``, the most frequent first.
    """
    reports: dict[tuple[str, Sequence[str]], dict[str, Any]] = {}
    for changes, instances in found:
        mine = reports.setdefault(
            (changes.profile, changes.codes),
            {"profile": changes.profile, "codes": list(changes.codes), "instances": 0, "actions": {}},
        )
        mine["instances"] += instances
        for action, attributes in changes.attributes.items():
            counted = mine["actions"].setdefault(action, {})
            for attribute in attributes:
                counted[attribute] = counted.get(attribute, 0) + instances
    for mine in reports.values():
        mine["actions"] = {
            action: [
                {"attribute": attribute, "instances": number}
                for attribute, number in sorted(counted.items(), key=lambda one: (-one[1], one[0]))
            ]
            for action, counted in sorted(mine["actions"].items())
        }
    return [reports[key] for key in sorted(reports)]
