"""Several Tritons as one, in memory: where models are loaded, who is asked, what becomes of those that are lost."""

import socket
import threading
from collections.abc import Callable

import numpy as np
import pytest

from inference.adapters.triton import TritonServer
from inference.adapters.triton_replicas import FIND_S, LOOK_S, SILENT_S, TritonReplicas, addresses_of
from inference.domain.messages import PredictionFailure
from inference.domain.model import PredictionSettings
from inference.ports import ModelBroken, ModelNotLoaded, ProgramDied, ProgramFailed
from radloop.errors import PermanentError, TemporaryError

LIMIT_S = 20.0


class FakeTriton:
    """One replica; `errors` are raised first, one for each prediction."""

    def __init__(self) -> None:
        self.is_up, self.models, self.broken = True, set(), False
        self.looks, self.loads, self.unloads, self.asked = 0, [], [], 0
        self.errors: list[Exception] = []
        self.before_load: Callable[[], None] = lambda: None
        self.before_answer: Callable[[], None] = lambda: None

    def restart(self) -> None:
        self.is_up, self.models = True, set()


class FakeConnection:
    def __init__(self, triton: FakeTriton) -> None:
        self.triton, self.closed = triton, threading.Event()

    def close(self) -> None:
        self.closed.set()

    def is_ready(self) -> bool:
        self.triton.looks += 1
        return self.triton.is_up

    def loaded(self) -> set[str]:
        self._answer()
        return set(self.triton.models)

    def load(self, name: str, bundle: bytes) -> None:
        self.triton.before_load()
        self._answer()
        if self.triton.broken:
            raise ModelBroken("no memory")
        self.triton.loads.append(name)
        self.triton.models.add(name)

    def unload(self, name: str) -> None:
        self._answer()
        self.triton.unloads.append(name)
        self.triton.models.discard(name)

    def predict(self, name: str, image: object, affine_ras: object, seed: int, settings: object) -> FakeTriton:
        self.triton.asked += 1
        self.triton.before_answer()
        self._answer()
        if name not in self.triton.models:
            raise ModelNotLoaded("model-not-loaded")
        if self.triton.errors:
            raise self.triton.errors.pop(0)
        return self.triton

    def _answer(self) -> None:
        if self.closed.is_set() or not self.triton.is_up:
            raise TemporaryError("triton-away")


class Bench:
    """Replicas behind one name, and a clock that goes on when it is told to."""

    def __init__(self, count: int) -> None:
        self.tritons = {f"10.0.0.{number}:8001": FakeTriton() for number in range(count)}
        self.connections: list[FakeConnection] = []
        self.now, self.can_resolve, self.resolved = 0.0, True, 0
        self.server = TritonReplicas("triton:8001", self._connect, self._resolve, lambda: self.now)

    def __getitem__(self, number: int) -> FakeTriton:
        return self.tritons[f"10.0.0.{number}:8001"]

    def _connect(self, address: str) -> FakeConnection:
        self.connections.append(FakeConnection(self.tritons[address]))
        return self.connections[-1]

    def _resolve(self, name: str) -> list[str]:
        assert name == "triton:8001"
        self.resolved += 1
        if not self.can_resolve:
            raise socket.gaierror("no answer")
        return list(self.tritons)

    def later(self, seconds: float = FIND_S) -> None:
        self.now += seconds

    def predict(self) -> FakeTriton:
        return self.server.predict("m", np.zeros((1, 1, 1, 1)), np.eye(4), 0, PredictionSettings())


@pytest.fixture
def two() -> Bench:
    return Bench(2)


@pytest.fixture
def serving(two: Bench) -> Bench:
    two.server.load("m", b"bundle")
    return two


# ---- loading


def test_a_model_is_loaded_once_on_every_replica(two: Bench) -> None:
    two[1].models.add("m")
    assert two.server.loaded() == set() and two.server.held() == {"m"}
    two.server.load("m", b"bundle")
    assert (two[0].loads, two[1].loads) == (["m"], [])
    assert two.server.loaded() == {"m"}
    two.server.unload("m")
    assert two.server.held() == set() and two[0].unloads == two[1].unloads == ["m"]


def test_a_replica_that_comes_up_meanwhile_gets_the_model_before_the_load_is_done(two: Bench) -> None:
    late = FakeTriton()

    def come_up() -> None:
        two.tritons["10.0.0.9:8001"] = late
        two.later()

    two[1].before_load = come_up
    two.server.load("m", b"bundle")
    assert late.loads == ["m"]


def test_a_replica_lost_while_it_loads_does_not_hold_up_the_others(two: Bench) -> None:
    def die() -> None:
        two[0].is_up = False

    two[0].before_load = die
    two.server.load("m", b"bundle")
    assert two[1].models == {"m"} and two.predict() is two[1]


def test_a_replica_lost_at_every_load_says_so(two: Bench) -> None:
    class Lost(FakeConnection):
        def load(self, name: str, bundle: bytes) -> None:
            raise TemporaryError("triton-away")

    server = TritonReplicas("triton:8001", lambda address: Lost(two.tritons[address]), two._resolve)
    with pytest.raises(TemporaryError, match="model-not-everywhere"):
        server.load("m", b"bundle")


def test_a_bundle_that_one_replica_cannot_load_is_broken(two: Bench) -> None:
    two[1].broken = True
    with pytest.raises(ModelBroken):
        two.server.load("m", b"bundle")


def test_nothing_can_be_loaded_where_nobody_answers(two: Bench) -> None:
    two[0].is_up = two[1].is_up = False
    for call in (two.server.loaded, two.server.held, lambda: two.server.load("m", b""), lambda: two.server.unload("m")):
        with pytest.raises(TemporaryError, match="triton-away"):
            call()
    assert not two.server.is_ready()


# ---- predicting


def test_predictions_are_spread_over_the_replicas(serving: Bench) -> None:
    for _ in range(6):
        serving.predict()
    assert (serving[0].asked, serving[1].asked) == (3, 3)


def test_a_busy_replica_is_asked_less(serving: Bench) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert goes_on.wait(LIMIT_S)

    serving[0].before_answer = hold
    slow = threading.Thread(target=serving.predict)
    slow.start()
    assert begun.wait(LIMIT_S)
    assert {id(serving.predict()) for _ in range(4)} == {id(serving[1])}
    goes_on.set()
    slow.join(LIMIT_S)
    assert (serving[0].asked, serving[1].asked) == (1, 4)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_prediction_on_a_lost_replica_is_made_on_another(serving: Bench, lost: int) -> None:
    serving[lost].before_answer = lambda: setattr(serving[lost], "is_up", False)
    for _ in range(4):
        assert serving.predict() is serving[1 - lost]
    assert serving[lost].asked == 1
    serving.later(LOOK_S)
    assert serving.server.is_ready()


def test_a_replica_that_comes_back_empty_is_asked_when_it_has_its_model_again(serving: Bench) -> None:
    serving[0].restart()  # nobody has seen it yet
    assert {id(serving.predict()) for _ in range(4)} == {id(serving[1])}
    serving.later()
    assert serving.server.loaded() == set() and serving.server.held() == {"m"}
    assert serving.predict() is serving[1]
    serving.server.load("m", b"bundle")
    assert serving[0].loads == ["m", "m"] and serving[1].loads == ["m"]
    assert {id(serving.predict()) for _ in range(2)} == {id(serving[0]), id(serving[1])}


def test_where_nobody_has_the_model_it_is_to_be_loaded(serving: Bench) -> None:
    serving[0].restart()
    serving[1].is_up = False
    with pytest.raises(ModelNotLoaded):
        serving.predict()


def test_where_nobody_answers_the_prediction_waits(serving: Bench) -> None:
    serving[0].is_up = serving[1].is_up = False
    with pytest.raises(TemporaryError, match="triton-away") as waits:
        serving.predict()
    assert not isinstance(waits.value, ModelNotLoaded)


@pytest.mark.parametrize("error", [ProgramDied("program-died"), ProgramFailed(PredictionFailure.NOT_FINITE, "bad")])
def test_what_the_case_is_the_reason_for_is_not_tried_elsewhere(serving: Bench, error: Exception) -> None:
    serving[0].errors, serving[1].errors = [error], [error]
    with pytest.raises(type(error)):
        serving.predict()
    assert serving[0].asked + serving[1].asked == 1


def test_a_silent_replica_is_given_up_with_what_it_was_asked(serving: Bench) -> None:
    """Its node is gone: nothing ends the connection, but us."""
    begun, answers = threading.Event(), []
    silent = serving.connections[0]

    def hold() -> None:
        begun.set()
        assert silent.closed.wait(LIMIT_S)

    serving[0].before_answer = hold
    waits = threading.Thread(target=lambda: answers.append(serving.predict()))
    waits.start()
    assert begun.wait(LIMIT_S)
    serving[0].is_up = False
    serving.later(SILENT_S - 1)
    serving.server.is_ready()
    assert not silent.closed.is_set()
    serving.later(2)
    serving.server.is_ready()
    waits.join(LIMIT_S)
    assert answers == [serving[1]]


# ---- who is there


def test_replicas_come_and_go_with_their_addresses(serving: Bench) -> None:
    gone, more = serving.connections[0], FakeTriton()
    del serving.tritons["10.0.0.0:8001"]
    serving.tritons["10.0.0.2:8001"] = more
    assert serving.server.loaded() == {"m"}  # the name was looked up just now
    serving.later()
    assert serving.server.loaded() == set()
    assert gone.closed.is_set() and serving.predict() is serving[1]


def test_while_the_name_cannot_be_looked_up_those_known_go_on(serving: Bench) -> None:
    serving.can_resolve = False
    serving.later()
    before = serving.resolved
    assert serving.predict() in (serving[0], serving[1])
    assert serving.resolved == before + 1


def test_what_was_seen_just_now_is_not_looked_at_again(serving: Bench) -> None:
    before = serving[0].looks
    for _ in range(5):
        assert serving.server.is_ready()
    assert serving[0].looks == before
    serving.later(LOOK_S)
    assert serving.server.is_ready() and serving[0].looks == before + 1


def test_addresses_written_out_are_replicas_each() -> None:
    found = [address for name in ("127.0.0.1:1", "127.0.0.2:2", "[::1]:3") for address in addresses_of(name)]
    assert found == ["127.0.0.1:1", "127.0.0.2:2", "[::1]:3"]
    assert addresses_of("localhost:1") == ["127.0.0.1:1"]


@pytest.mark.parametrize("url", ["", "triton", "triton:", ":8001", "triton:grpc", "a:1,,b:2"])
def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(PermanentError, match="RADLOOP_TRITON_URL"):
        TritonReplicas(url, FakeConnection)


def test_a_connection_that_is_closed_ends_what_waits_on_it() -> None:
    """The connection of gRPC itself, to a place that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = TritonServer(f"127.0.0.1:{silent.getsockname()[1]}", predict_timeout_s=60, load_timeout_s=60)
        errors: list[Exception] = []

        def ask() -> None:
            try:
                server.predict("m", np.zeros((1, 1, 1, 1)), np.eye(4), 0, PredictionSettings())
            except TemporaryError as error:
                errors.append(error)

        waits = threading.Thread(target=ask)
        waits.start()
        silent.accept()
        server.close()
        waits.join(LIMIT_S)
        ask()
    assert [error.code for error in errors] == ["triton-away", "triton-away"]
    assert not server.is_ready()
