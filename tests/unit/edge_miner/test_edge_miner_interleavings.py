"""Order holds within one topic and key only: every order of events over topics must end in the same place."""

import itertools
from typing import Any

import pytest

from radloop.references import Split

PROJECT = "hippocampus"
Site = Any


def _end(site: Site, said: bool = True) -> tuple[Any, ...]:
    """Return all that may be seen from outside once everything has come to rest."""
    site.work()
    uow = site.uow
    ledgers = [sorted(repr(entry) for entry in uow.ledger.entries(each.round_id)) for each in site.rounds()]
    spoken = sorted(repr(message) for message in site.said) if said else None
    return (
        uow.cases.eligible(PROJECT),
        uow.projects.get(PROJECT),
        sorted(uow.predictions.rows.items()),
        [(each.state, each.round_id, each.pool_size) for each in site.rounds()],
        ledgers,
        spoken,
        site.parked,
    )


def _orders(*topics: list[Any]) -> list[tuple[Any, ...]]:
    """Return every interleaving of the topics that keeps each topic's own order."""
    labels = [number for number, topic in enumerate(topics) for _ in topic]
    orders = []
    for order in set(itertools.permutations(labels)):
        streams = [iter(topic) for topic in topics]
        orders.append(tuple(next(streams[label]) for label in order))
    return orders


def _pairs(site: Site) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return pairs of topics, each with a few events about the same cases."""
    studies = [site.ingested(1), site.ingested(2), site.ingested(3, Split.TEST)]
    made = [site.made(number, "model-1") for number in (1, 2, 3)]
    return {
        "study-ingested, prediction-made": (studies, made),
        "study-ingested, prediction-failed": (studies, [site.failed(number, "model-1") for number in (1, 2, 3)]),
        "study-ingested, label-approved": (studies, [site.approved(1), site.approved(3)]),
        "study-ingested, study-withdrawn": (studies, [site.withdrawn(1), site.withdrawn(3)]),
        "study-ingested, project-configured": (studies, [site.configured(2), site.configured(3, batch_size=2)]),
        "study-ingested, model-deployed": (studies, [site.deployed("model-1", 1), site.deployed("model-2", 2)]),
        "study-ingested, edge-case-reported": (studies, [site.reported(1), site.reported(3, "report-3")]),
        "prediction-made, prediction-failed": (made, [site.failed(number, "model-1") for number in (1, 2, 3)]),
        "prediction-made, study-withdrawn": (made, [site.withdrawn(1), site.withdrawn(2)]),
        "prediction-made, label-approved": (made, [site.approved(1), site.approved(2)]),
        "prediction-made, model-deployed": (made, [site.deployed("model-0", 1), site.deployed("model-1", 2)]),
        "label-approved, study-withdrawn": ([site.approved(1), site.approved(2)], [site.withdrawn(1)]),
        "project-configured, model-deployed": (
            [site.configured(1), site.configured(2, max_rounds=9)],
            [site.deployed("model-1", 1)],
        ),
    }


NAMES = [
    "study-ingested, prediction-made",
    "study-ingested, prediction-failed",
    "study-ingested, label-approved",
    "study-ingested, study-withdrawn",
    "study-ingested, project-configured",
    "study-ingested, model-deployed",
    "study-ingested, edge-case-reported",
    "prediction-made, prediction-failed",
    "prediction-made, study-withdrawn",
    "prediction-made, label-approved",
    "prediction-made, model-deployed",
    "label-approved, study-withdrawn",
    "project-configured, model-deployed",
]


@pytest.mark.parametrize("pair", NAMES)
def test_two_topics_in_every_order(fresh_site: Any, pair: str) -> None:
    ends = set()
    assert list(_pairs(fresh_site())) == NAMES
    for order in _orders(*_pairs(fresh_site())[pair]):
        site = fresh_site()
        if "project-configured" not in pair:
            site.hear(site.configured())
        if "study-ingested" not in pair:
            site.hear(*(site.ingested(number) for number in (1, 2, 3)))
        site.hear(*order)
        ends.add(repr(_end(site)))
    assert len(ends) == 1


def test_six_topics_in_every_order(fresh_site: Any) -> None:
    """With the pool at rest before the round is looked at, no order of arrival shows in it."""
    ends = set()
    for order in itertools.permutations(range(6)):
        site = fresh_site()
        site.hear(*(site.ingested(number) for number in range(3, 8)))
        site.hear(*(site.made(number, "model-1") for number in range(3, 8)))
        events = (
            site.configured(),
            site.ingested(1),
            site.made(1, "model-1"),
            site.deployed("model-1", 1),
            site.approved(3),
            site.withdrawn(4),
        )
        site.hear(*(events[number] for number in order))
        ends.add(repr(_end(site)))
    assert len(ends) == 1


def test_workers_between_any_two_events(fresh_site: Any) -> None:
    """However often the workers run meanwhile, a round over a pool that is there flags the same cases."""
    ends = set()
    for pauses in itertools.product((False, True), repeat=6):
        site = fresh_site()
        site.hear(site.configured(), *(site.ingested(number) for number in range(8)))
        site.hear(site.deployed("model-1", 1))
        events = [site.made(number, "model-1", parts=None) for number in range(6)] + [site.failed(6, "model-1")]
        for event, pause in zip(events, (*pauses, True), strict=True):
            if pause:
                site.work()
            site.hear(event)
        site.hear(site.made(7, "model-1"))
        site.work()
        ends.add(repr((site.flagged, site.rounds())))
    assert len(ends) == 1
