"""All replicas of Triton as the one `ModelServer` the service knows: which there are, what each has loaded, which is asked next.

Triton's replicas know nothing of one another, and one that was restarted has no model at all. So a model is loaded on each by a
call of its own, and a prediction goes only where its model is. Nothing is kept here that a look at the replicas does not tell.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from prometheus_client import Gauge

from inference.adapters.triton import away
from inference.domain.model import PredictionSettings
from inference.ports import Answer, ModelNotLoaded, ModelServer, ProgramDied
from radloop.errors import PermanentError, TemporaryError
from radloop.telemetry import logger

log = logger(__name__)

READY = Gauge("radloop_inference_triton_replicas", "Replicas of Triton that answer")

LOOK_S = 0.5
"""Age in seconds up to which what was seen of the replicas counts."""

FIND_S = 2.0
"""Pause between two look-ups of their names."""

SILENT_S = 30.0
"""A replica that has answered nothing for so long is taken for lost, with what it was asked. A node that fails says nothing: its
connections just stay open, and the predictions on them would wait until their own time is over."""

_ROUNDS = 3
"""How often a load looks whether a replica still lacks the model."""


class Connection(ModelServer, Protocol):
    """One replica's server."""

    def close(self) -> None:
        """End the connection; what waits for an answer on it fails as if the server were away."""
        ...


class _Replica:
    """One replica, as it was last seen."""

    def __init__(self, server: Connection, now: float) -> None:
        self.server = server
        self.is_ready = False
        self.models: frozenset[str] = frozenset()
        self.in_flight, self.last_taken = 0, 0
        self.answered_at = self.ask_at = now


class TritonReplicas:
    """The port `ModelServer` on every replica of Triton.

    Parameters
    ----------
    url : str
        ``host:port[,host:port]``. Each address a name stands for is a replica, so that of a headless Service names them all;
        it is looked up again and again.
    connect : callable
        Makes the connection to one address, ``ip:port``.
    resolve : callable
        Returns the addresses of one ``host:port``; raises OSError when they cannot be had now.
    clock : callable
        Monotonic seconds.

    Raises
    ------
    PermanentError
        The URL cannot be read.
    """

    def __init__(
        self,
        url: str,
        connect: Callable[[str], Connection],
        resolve: Callable[[str], Iterable[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = [name.strip() for name in url.split(",")]
        if not all(name.rpartition(":")[0] and name.rpartition(":")[2].isdecimal() for name in self._names):
            raise PermanentError(
                "triton-url-unreadable",
                expected="host:port[,host:port]",
                got="another text",
                do="set RADLOOP_TRITON_URL",
            )
        self._connect, self._resolve, self._clock = connect, resolve or addresses_of, clock
        self._addresses: dict[str, list[str]] = {}
        self._replicas: dict[str, _Replica] = {}
        self._looking, self._counting = threading.Lock(), threading.Lock()
        self._looked_at, self._found_at, self._takes, self._said = -LOOK_S, -FIND_S, 0, -1

    def is_ready(self) -> bool:
        """Whether any replica answers. Never raises."""
        self._look(LOOK_S)
        return bool(self._ready())

    def loaded(self) -> set[str]:
        """Return the names of the models that every replica that answers has."""
        return set(frozenset.intersection(*(replica.models for replica in self._answering())))

    def held(self) -> set[str]:
        """Return the names of the models that any replica has."""
        return set(frozenset().union(*(replica.models for replica in self._answering())))

    def load(self, name: str, bundle: bytes) -> None:
        """Load a bundle wherever it is not loaded; see `ModelServer.load`.

        It is done when every replica that answers has it, also one that came up in the meantime. One that is lost on the way
        does not hold up the others: when it comes back it has no model, and is given what serves. They load one after the other:
        a bundle of two gigabytes must not lie here once for each.
        """
        for _ in range(_ROUNDS):
            lacking = [replica for replica in self._answering() if name not in replica.models]
            if not lacking:
                return
            for replica in lacking:
                try:
                    replica.server.load(name, bundle)
                except TemporaryError as error:
                    replica.is_ready = False
                    log.warning("a replica of Triton was lost while it loaded a model", model=name, reason=error.code)
        raise TemporaryError(
            "model-not-everywhere",
            delay_s=2.0,
            expected="the model loaded on every replica of Triton that answers",
            got="one that is lost again and again",
            do="look at Triton's log",
        )

    def unload(self, name: str) -> None:
        """Unload a model wherever it is; a replica that is lost on the way has none any more."""
        for replica, error in _on_each(self._answering(), lambda replica: replica.server.unload(name)):
            if error is None:
                replica.models -= {name}
            elif not isinstance(error, TemporaryError):
                raise error

    def predict(
        self, name: str, image: np.ndarray, affine_ras: np.ndarray, seed: int, settings: PredictionSettings
    ) -> Answer:
        """Run a model on one image, where it is loaded and least is under way; on another replica when that one is lost.

        The answer is the same bytes from each, so asking twice does no harm. See `ModelServer.predict`.
        """
        self._look(LOOK_S)
        asked: list[_Replica] = []
        failed: TemporaryError | None = None
        while True:
            with self._taken(name, asked) as replica:
                if replica is None:
                    break
                asked.append(replica)
                try:
                    return replica.server.predict(name, image, affine_ras, seed, settings)
                except ProgramDied:  # the case may be the reason: the queue counts how often
                    raise
                except ModelNotLoaded:
                    replica.models -= {name}
                except TemporaryError as error:
                    replica.is_ready, failed = False, error
                    log.warning("a replica of Triton was lost with a prediction, asking another", reason=error.code)
        if self._ready():  # one that could have it
            raise ModelNotLoaded("model-not-loaded", delay_s=1.0)
        raise failed or away()

    @contextlib.contextmanager
    def _taken(self, name: str, asked: list[_Replica]) -> Iterator[_Replica | None]:
        """Give the replica to ask next, counted as busy meanwhile; None when all that have the model were asked."""
        with self._counting:
            found = [replica for replica in self._ready() if name in replica.models and replica not in asked]
            replica = min(found, key=lambda replica: (replica.in_flight, replica.last_taken), default=None)
            if replica is not None:
                self._takes += 1
                replica.in_flight, replica.last_taken = replica.in_flight + 1, self._takes
        try:
            yield replica
        finally:
            if replica is not None:
                with self._counting:
                    replica.in_flight -= 1

    def _ready(self) -> list[_Replica]:
        return [replica for replica in list(self._replicas.values()) if replica.is_ready]

    def _answering(self) -> list[_Replica]:
        """Look at the replicas now and return those that answer."""
        self._look(0.0)
        ready = self._ready()
        if not ready:
            raise away()
        return ready

    def _look(self, max_age_s: float) -> None:
        """See which replicas there are and what each has, unless that was seen just now.

        Where something older will do, nobody waits for a look that is under way: a lost replica draws it out.
        """
        if not self._looking.acquire(blocking=not max_age_s or not self._replicas):
            return
        try:
            if self._clock() - self._looked_at >= max_age_s:
                self._find()
                now = self._clock()
                for _, error in _on_each([each for each in self._replicas.values() if each.ask_at <= now], self._ask):
                    if error is not None:
                        raise error
                self._give_up_silent()
                self._say(len(self._ready()))
                self._looked_at = self._clock()
        finally:
            self._looking.release()

    def _say(self, ready: int) -> None:
        READY.set(ready)
        if ready != self._said:
            self._said = ready
            say = log.info if ready else log.warning
            say("replicas of Triton that answer", ready=ready, known=len(self._replicas), names=self._names)

    def _find(self) -> None:
        """Bring the list of replicas up to date; what a name stood for counts until it can be looked up again."""
        if self._clock() - self._found_at < FIND_S:
            return
        for name in self._names:
            with contextlib.suppress(OSError):
                self._addresses[name] = list(self._resolve(name))
        there = {address: None for addresses in self._addresses.values() for address in addresses}
        gone = [replica for address, replica in self._replicas.items() if address not in there]
        self._replicas = {
            address: self._replicas.get(address) or _Replica(self._connect(address), self._clock()) for address in there
        }
        self._found_at = self._clock()
        for replica in gone:
            replica.server.close()

    def _ask(self, replica: _Replica) -> None:
        began = self._clock()
        try:
            is_ready = replica.server.is_ready()
            models = replica.server.loaded() if is_ready else set()
        except TemporaryError:
            is_ready, models = False, set()
        now = self._clock()
        replica.is_ready, replica.models = is_ready, frozenset(models)
        if is_ready:
            replica.answered_at = now
        else:  # one that lets us wait for nothing is asked less often
            replica.ask_at = now + 2 * (now - began)

    def _give_up_silent(self) -> None:
        """Let the predictions go that wait for a replica which has long been silent, where another can make them."""
        if not self._ready():
            return
        now = self._clock()
        for address, replica in self._replicas.items():
            if replica.in_flight and now - replica.answered_at > SILENT_S:
                self._replicas[address] = _Replica(self._connect(address), now)
                replica.server.close()


def addresses_of(name: str) -> list[str]:
    """Return the addresses a ``host:port`` stands for, as ``ip:port``, sorted; of a host that has both kinds those of IPv4.

    Raises
    ------
    OSError
        There are none, or nobody can be asked.
    """
    host, _, port = name.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    four = {f"{address[0]}:{port}" for family, _, _, _, address in found if family == socket.AF_INET}
    return sorted(four or {f"[{address[0]}]:{port}" for _, _, _, _, address in found})


def _on_each(replicas: list[_Replica], call: Callable[[_Replica], object]) -> list[tuple[_Replica, Exception | None]]:
    """Make a call on all replicas at once; return what each raised."""
    errors: dict[int, Exception] = {}

    def work(number: int) -> None:
        try:
            call(replicas[number])
        except Exception as error:  # it is raised where it belongs
            errors[number] = error

    others = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(1, len(replicas))]
    for thread in others:
        thread.start()
    if replicas:
        work(0)
    for thread in others:
        thread.join()
    return [(replica, errors.get(number)) for number, replica in enumerate(replicas)]
