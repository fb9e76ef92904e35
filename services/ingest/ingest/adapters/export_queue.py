"""The worker that sends what waits. Killed anywhere, it sends the same object again; the receiver has it once, by its UID."""

from collections.abc import Callable
from typing import Any

from ingest.adapters.destinations import Destinations
from ingest.adapters.exporting import Exporting
from ingest.adapters.reception import Dispatch
from ingest.adapters.sending import Send, send
from ingest.domain.exports import Export, ExportSource, Form, seg_form
from ingest.domain.messages import BeginExport, EndExport, TakeBackExports
from ingest.ports import Clock
from radloop.errors import NotFound, PermanentError, RadloopError, TemporaryError
from radloop.telemetry import logger

log = logger(__name__)

_UNKNOWN_AT_MOST = 10
"""Attempts after which an error nobody has foreseen is final."""


class ExportQueue:
    """Sends exports, one after the other.

    Parameters
    ----------
    dispatch, unit_of_work
        As `reception.Receiver`.
    exporting : Exporting
    destinations : Destinations
    ae_title : str
        Ours, as the calling one.
    clock : Clock
    send : callable
        See `sending.send`.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        unit_of_work: Callable[[], Any],
        exporting: Exporting,
        destinations: Destinations,
        ae_title: str,
        clock: Clock,
        send: Send = send,
    ) -> None:
        self._dispatch, self._unit_of_work, self._exporting = dispatch, unit_of_work, exporting
        self._destinations, self._ae_title, self._clock, self._send = destinations, ae_title, clock, send

    def take_back(self) -> None:
        """Make what was being sent due at once; run at the start, when whoever sent it is dead."""
        self._dispatch(TakeBackExports())

    def step(self) -> bool:
        """Send one export that is due; return whether there was any."""
        with self._unit_of_work() as uow:
            identity = uow.exports.next_due(self._clock())
        if identity is None:
            return False
        try:
            self._dispatch(BeginExport(identity))
        except NotFound:  # withdrawn since
            return True
        with self._unit_of_work() as uow:
            export = uow.exports.get(identity)
            source = uow.exports.source(export.source_id) if export else None
            project = uow.projects.get(export.project_id) if export else None
        if export is None or source is None:
            return True
        overlapping = project is not None and project.overlapping_segments
        self._dispatch(self._attempt(export, source, overlapping=overlapping))
        return True

    def _attempt(self, export: Export, source: ExportSource, *, overlapping: bool) -> EndExport:
        try:
            self._write_and_send(export, source, overlapping=overlapping)
        except TemporaryError as error:
            log.warning("an export waits", export_id=export.export_id, reason=error.code)
            return EndExport(export.export_id, str(error))
        except RadloopError as error:
            log.warning("an export failed", export_id=export.export_id, reason=error.code)
            return EndExport(export.export_id, str(error), final=True)
        except Exception as error:  # its words may name a value of the object: only its kind is told
            log.error("an export met something unknown", export_id=export.export_id, reason=type(error).__name__)
            last = export.attempts >= _UNKNOWN_AT_MOST
            return EndExport(export.export_id, f"unknown: {type(error).__name__}", final=last)
        return EndExport(export.export_id)

    def _write_and_send(self, export: Export, source: ExportSource, *, overlapping: bool) -> None:
        known, way = self._destinations.known.get(export.destination), self._destinations.ways.get(export.destination)
        if known is None or way is None:
            raise PermanentError(
                "destination-unknown",
                expected="a destination of this site",
                got="one that is not configured any more",
                do="add it to the file that INGEST_DESTINATIONS_FILE names, then retry",
            )
        refers_to: Form = seg_form(labelmap=known.labelmap, overlapping=overlapping)
        self._send(self._exporting.written(source, export.form, export.made_at, refers_to), way, self._ae_title)
