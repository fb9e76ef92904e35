"""Structured logs and the metrics every service has.

One JSON object per line; the message is a constant, values are fields. No pixel, name, identifier or payload is ever logged.
Libraries do not know that rule: what they log, warn of and raise is told by its kind and place, for its text may quote data.
"""

import json
import logging
import sys
import threading
import warnings
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
event_id: ContextVar[str] = ContextVar("event_id", default="")

EVENTS_HANDLED = Counter("radloop_events_handled_total", "Events by what became of them", ["topic", "outcome"])
HANDLER_SECONDS = Histogram("radloop_handler_seconds", "Seconds from decoding an event to its commit", ["topic"])
CONSUMER_LAG = Gauge("radloop_consumer_lag_records", "Records not yet handled", ["topic"])
OUTBOX_OLDEST_S = Gauge("radloop_outbox_oldest_seconds", "Age of the oldest row the relay has not published")
PARKED = Gauge("radloop_parked_events", "Events that wait for something their service has not heard of")
EVENT_LOG_TROUBLE = Gauge(
    "radloop_event_log_trouble", "1 while the event log cannot be used; the service's log says why"
)
WORKER_ERRORS = Counter("radloop_worker_errors_total", "Steps of a background worker that raised", ["worker"])


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
        }
        if not hasattr(record, "fields") and line["message"] == _NOT_TOLD:
            line["at"] = f"{record.filename}:{record.lineno}"
        for name, variable in (("correlation_id", correlation_id), ("event_id", event_id)):
            if value := variable.get():
                line[name] = value
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            # The traceback names code lines; the exception's text may quote data, so only radloop's own errors show theirs.
            error = record.exc_info[1]
            line["exception"] = record.exc_info[0].__name__
            line["error"] = str(error) if hasattr(error, "code") and hasattr(error, "do") else ""
            line["at"] = _places(record)
        return json.dumps(line, default=str)


_NOT_TOLD = "message of a library"
_TOLD_WHOLE = frozenset({"uvicorn", "alembic"})
"""Libraries that say addresses and their own state above the level DEBUG."""


def _message_of(record: logging.LogRecord) -> str:
    """Return our own words; of a library the text its values would be put into, or where there are none, nothing."""
    told_whole = record.name.partition(".")[0] in _TOLD_WHOLE and record.levelno > logging.DEBUG
    if hasattr(record, "fields") or told_whole:
        return record.getMessage()
    return str(record.msg) if record.args else _NOT_TOLD


def _places(record: logging.LogRecord) -> list[str]:
    places, trace = [], record.exc_info[2] if record.exc_info else None
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 3)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-8:]


class Logger:
    """Logs a constant message with fields."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def _log(self, level: int, message: str, fields: dict[str, Any], *, error: bool | BaseException = False) -> None:
        self._logger.log(level, message, extra={"fields": fields}, exc_info=error)

    def debug(self, message: str, **fields: Any) -> None:
        """Log for a developer."""
        self._log(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """Log what an operator may want to follow."""
        self._log(logging.INFO, message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Log what an operator should look at some day."""
        self._log(logging.WARNING, message, fields)

    def error(self, message: str, *, cause: BaseException | None = None, **fields: Any) -> None:
        """Log what an operator must look at, with ``cause`` or else the exception being handled."""
        self._log(logging.ERROR, message, fields, error=cause or True)


def logger(name: str) -> Logger:
    """Return the structured logger of a module."""
    return Logger(name)


def configure_logging(level: str) -> None:
    """Send all logs of the process to standard error as JSON lines. Called once, in ``__main__``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.raiseExceptions = False  # a record that cannot be written would be printed with its values
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda told: _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)
    warnings.showwarning = _log_warning
    # These libraries log identifiers or one line per request at INFO.
    for noisy in ("pynetdicom", "pydicom", "httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Its debug lines hold passwords, its errors come ten times a second while a broker is away; we say why, once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Log what Python would print with its text."""
    caught = error if error is not None else kind()
    logger("radloop.uncaught").error("error that nobody caught", cause=caught.with_traceback(trace))


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Log a warning by its kind and place."""
    place = f"{'/'.join(filename.rsplit('/', 2)[-2:])}:{lineno}"
    logger("radloop.warnings").warning("warning of a library", kind=category.__name__, at=place)
