"""Checkpoints: the whole state at the end of an epoch, as a file that is whole or not there.

A file's name carries the digest of its bytes, so that one cut short by a full disk is recognised and passed over.
"""

import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training_job.files import write_whole

_NAME = re.compile(r"epoch-(\d{5})-([0-9a-f]{16})\.pt")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State after an epoch.

    Attributes
    ----------
    epoch : int
        Number of epochs done, from 1.
    network, optimizer : dict
        ``state_dict`` of each.
    scores : dict of int to float
        Mean Dice on the inner split after each epoch so far; empty without one.
    losses : list of float
        Mean loss of each epoch so far.
    """

    epoch: int
    network: dict[str, Any]
    optimizer: dict[str, Any]
    scores: dict[int, float]
    losses: list[float]


class Checkpoints:
    """The checkpoints of one plan in one folder.

    Parameters
    ----------
    folder : pathlib.Path
        Made when missing.
    plan_digest : str
        Checkpoints of another plan are passed over.
    """

    def __init__(self, folder: Path, plan_digest: str) -> None:
        self._folder = folder
        self._plan_digest = plan_digest
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, checkpoint: Checkpoint, keep: Iterable[int]) -> None:
        """Write a checkpoint, then remove those of epochs not in `keep`."""
        buffer = io.BytesIO()
        torch.save(
            {
                "plan_digest": self._plan_digest,
                "epoch": checkpoint.epoch,
                "network": checkpoint.network,
                "optimizer": checkpoint.optimizer,
                "scores": checkpoint.scores,
                "losses": checkpoint.losses,
            },
            buffer,
        )
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()[:16]
        write_whole(self._folder / f"epoch-{checkpoint.epoch:05d}-{digest}.pt", data)
        kept = {checkpoint.epoch, *keep}
        for epoch, path in self._files():
            if epoch not in kept:
                path.unlink()

    def newest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint of this plan, if there is one."""
        return next((found for _, path in reversed(self._files()) if (found := self._read(path))), None)

    def weights(self, epoch: int) -> dict[str, torch.Tensor]:
        """Return the network's weights after an epoch that was kept."""
        for number, path in self._files():
            if number == epoch and (found := self._read(path)):
                return found.network
        raise FileNotFoundError(f"no whole checkpoint of epoch {epoch}")

    def _files(self) -> list[tuple[int, Path]]:
        found = ((_NAME.fullmatch(path.name), path) for path in self._folder.iterdir())
        return sorted((int(match.group(1)), path) for match, path in found if match)

    def _read(self, path: Path) -> Checkpoint | None:
        data = path.read_bytes()
        match = _NAME.fullmatch(path.name)
        if match is None or hashlib.sha256(data).hexdigest()[:16] != match.group(2):
            return None
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if content.pop("plan_digest") != self._plan_digest:
            return None
        return Checkpoint(**content)


def best_epochs(epochs: Iterable[int], scores: dict[int, float], count: int) -> list[int]:
    """Rank epochs: by inner score where there is one, else by being late; return the first `count`, best first."""
    return sorted(epochs, key=lambda epoch: (scores.get(epoch, 0.0), epoch), reverse=True)[:count]
