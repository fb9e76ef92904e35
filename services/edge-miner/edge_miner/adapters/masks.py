"""Inbound from the object store: counts the parts of predicted masks that open rounds wait for.

`inference` names no component counts, so they are read off the mask here; where a prediction carries them
(``components-segment-<value>``) nothing is read.
"""

from collections.abc import Callable

from edge_miner.domain.messages import RecordParts
from edge_miner.domain.parts import count_parts
from edge_miner.ports import MaskToExamine, UnitOfWork
from radloop.dispatch import Dispatcher
from radloop.errors import PermanentError
from radloop.imaging import read_nifti
from radloop.objects import Objects
from radloop.references import Score
from radloop.telemetry import logger

log = logger(__name__)

_AT_ONCE = 64


class MaskExaminer:
    """Worker step over masks.

    Parameters
    ----------
    dispatcher : Dispatcher
    unit_of_work : callable
        ``unit_of_work(read_only=True)`` opens a query.
    objects : Objects
        The site's object store; only read.
    """

    def __init__(self, dispatcher: Dispatcher, unit_of_work: Callable[..., UnitOfWork], objects: Objects) -> None:
        self._dispatcher, self._unit_of_work, self._objects = dispatcher, unit_of_work, objects

    def step(self) -> bool:
        """Examine what the open rounds wait for; return whether there was anything."""
        with self._unit_of_work(read_only=True) as uow:
            waiting = [
                mask for each in uow.rounds.open_rounds() for mask in uow.ledger.to_examine(each.round_id, _AT_ONCE)
            ]
        for mask in waiting:
            counts = self._counts(mask)
            self._dispatcher.dispatch(RecordParts(mask.case_id, mask.model_digest, mask.prediction_id, counts))
        return bool(waiting)

    def _counts(self, waiting: MaskToExamine) -> tuple[Score, ...]:
        """Return the counts; none for a mask that is gone or damaged, which must not hold a round up for ever."""
        try:
            parts = count_parts(read_nifti(self._objects.get(waiting.mask)).array)
        except PermanentError as error:
            log.warning("mask not examined", reason=error.code)
            return ()
        return tuple(Score(f"components-segment-{value}", float(count)) for value, count in parts.items())
