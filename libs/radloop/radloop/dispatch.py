"""One way through a service for everything that is not an event: a command in, state and outbox rows committed.

HTTP, DIMSE and workers build the command and call `Dispatcher.dispatch`. Events take the same handlers by `radloop.consumer`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from radloop.messages import Message

Handler = Callable[..., list[Message]]


class Dispatcher:
    """Runs the handler of a message inside a unit of work.

    Parameters
    ----------
    handlers : Mapping[type, Handler]
        One handler for each message class; called as ``handler(message, uow)``, other dependencies already bound.
    unit_of_work : callable
        Makes a fresh unit of work with ``publish(*messages)``.
    """

    def __init__(self, handlers: Mapping[type, Handler], unit_of_work: Callable[[], Any]) -> None:
        self._handlers = dict(handlers)
        self._unit_of_work = unit_of_work

    def dispatch(self, message: Message) -> list[Message]:
        """Handle a command and commit; return what was said.

        Raises
        ------
        KeyError
            When no handler is in the table.
        RadloopError
            Whatever the handler raises; nothing is changed then.
        """
        handler = self._handlers[type(message)]
        with self._unit_of_work() as uow:
            said = handler(message, uow)
            uow.publish(*said)
            uow.commit()
        return said
