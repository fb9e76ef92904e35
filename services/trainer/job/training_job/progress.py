"""What the trainer may show while the job works: one small file, replaced as a whole at most once a second."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from training_job.files import write_json

INTERVAL_S = 1.0


@dataclass
class Progress:
    """Writes ``progress.json``.

    Attributes
    ----------
    path : pathlib.Path
    steps, epochs : int
        Of the whole run.
    started_at : float
        Seconds since 1970 of the job's first start; kept over restarts.
    is_writer : bool
        False in all but one of several processes: they say nothing.
    """

    path: Path
    steps: int
    epochs: int
    started_at: float = field(default_factory=time.time)
    is_writer: bool = True
    _written_at: float = 0.0

    @classmethod
    def begin(cls, path: Path, steps: int, epochs: int, *, is_writer: bool = True) -> "Progress":
        """Continue the progress file of a job that was killed, or begin one."""
        progress = cls(path, steps, epochs, is_writer=is_writer)
        try:
            progress.started_at = float(json.loads(path.read_bytes())["started_at"])
        except FileNotFoundError:
            pass
        return progress

    def say(self, phase: str, step: int, epoch: int, loss: float | None, *, now: bool = False) -> None:
        """Write where the job is; unless `now`, only when the last time is long enough ago."""
        if not self.is_writer or (not now and time.monotonic() - self._written_at < INTERVAL_S):
            return
        self._written_at = time.monotonic()
        content = {
            "phase": phase,
            "step": step,
            "steps": self.steps,
            "epoch": epoch,
            "epochs": self.epochs,
            "loss": loss,
            "started_at": self.started_at,
        }
        write_json(self.path, content)
