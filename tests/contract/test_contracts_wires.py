"""What each service's wire table says against the contracts: nobody is left out of `heard_by`, nobody says another's event."""

import importlib

import pytest

from radloop.contracts.topics import PRODUCERS, TOPICS
from radloop.wire import Wire


def wire_of(service: str) -> Wire:
    module = importlib.import_module(f"{service.replace('-', '_')}.adapters.wire")
    return module.WIRE if hasattr(module, "WIRE") else module.make_wire()


@pytest.mark.parametrize("service", PRODUCERS)
def test_a_service_hears_exactly_what_names_it(service):
    wire = wire_of(service)
    named = {topic for topic, contract in TOPICS.items() if service in contract.heard_by}
    assert wire.group == service
    assert set(wire.topics) == named


@pytest.mark.parametrize("service", PRODUCERS)
def test_a_service_says_exactly_its_own_events(service):
    own = {topic for topic, contract in TOPICS.items() if contract.producer == service}
    assert set(wire_of(service).said) == own


def test_every_event_has_one_producer():
    said = [topic for service in PRODUCERS for topic in wire_of(service).said]
    assert sorted(said) == sorted(TOPICS)


@pytest.mark.parametrize("service", PRODUCERS)
def test_every_event_heard_has_its_handler(service):
    handlers = importlib.import_module(f"{service.replace('-', '_')}.handlers").HANDLERS
    wire = wire_of(service)
    heard = {cls for _, cls in wire._incoming.values()}
    assert heard <= set(handlers)
