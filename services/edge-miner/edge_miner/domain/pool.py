"""The pool of one round as arrays: what every strategy, reason and draw is computed from."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

_VOLUME = re.compile(r"segment-(\d+)-ml")
_COMPONENTS = re.compile(r"components-segment-(\d+)")
_DICE = re.compile(r"dice-segment-(\d+)")


def dice_by_segment(named: Mapping[str, float]) -> dict[int, float]:
    """Return the Dice of each segment from scores named ``dice-segment-<value>``; other names are left out."""
    return {int(match.group(1)): dice for name, dice in named.items() if (match := _DICE.fullmatch(name))}


@dataclass(frozen=True, slots=True)
class PoolMember:
    """One case of a pool and what the round's model said of it.

    Attributes
    ----------
    case_id, study_key, patient_key : str
        Pseudonymous ids.
    failed : bool
        The model could not predict on it, or gave a number that is not finite.
    scores, volumes : Mapping[str, float]
        Named scores (higher = worse) and volumes in mL (``segment-<value>-ml``); empty if failed.
    prediction_id : str
        Prediction behind the scores; empty if there is none.
    """

    case_id: str
    study_key: str
    patient_key: str
    failed: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    volumes: Mapping[str, float] = field(default_factory=dict)
    prediction_id: str = ""


@dataclass(frozen=True)
class Pool:
    """Arrays over the N cases of a pool, in order of their ids.

    Attributes
    ----------
    members : tuple of PoolMember
        The cases, by ascending case id.
    patients : numpy.ndarray
        int64, shape ``(N,)``: number of the case's patient, 0..P-1, by ascending patient key.
    failed : numpy.ndarray
        bool, shape ``(N,)``.
    """

    members: tuple[PoolMember, ...]
    patients: np.ndarray
    failed: np.ndarray

    @classmethod
    def of(cls, members: Sequence[PoolMember]) -> "Pool":
        """Build the arrays; the order in which members come does not matter."""
        ordered = tuple(sorted(members, key=lambda member: member.case_id))
        _, patients = np.unique(np.array([member.patient_key for member in ordered], dtype=str), return_inverse=True)
        failed = np.array([member.failed for member in ordered], dtype=bool)
        return cls(members=ordered, patients=patients.astype(np.int64), failed=failed)

    def __len__(self) -> int:
        """Return N."""
        return len(self.members)

    def score(self, name: str) -> np.ndarray:
        """Return one named score; float64, shape ``(N,)``, NaN where a case has none."""
        return np.array([member.scores.get(name, math.nan) for member in self.members], dtype=np.float64)

    def volumes_ml(self) -> dict[int, np.ndarray]:
        """Return the volume of each segment in mL; float64, shape ``(N,)``, NaN where a case has none."""
        return {
            value: np.array([member.volumes.get(f"segment-{value}-ml", math.nan) for member in self.members])
            for value in self._values(_VOLUME, "volumes")
        }

    def component_counts(self) -> dict[int, np.ndarray]:
        """Return the number of connected parts of each segment; float64, shape ``(N,)``, NaN where a case has none."""
        return {value: self.score(f"components-segment-{value}") for value in self._values(_COMPONENTS, "scores")}

    def _values(self, pattern: re.Pattern[str], attribute: str) -> list[int]:
        names = {name for member in self.members for name in getattr(member, attribute)}
        return sorted(int(match.group(1)) for name in names if (match := pattern.fullmatch(name)))
