"""The proof on two planes: a site and a control plane with their own Kafka, PostgreSQL and S3 server, and the mirror between.

Here nothing is left out of the search: everything the control plane has, down to the files of its engines.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from radloop.auth import Role
from radloop.contracts.topics import mirror_allow_list
from standalone.client import issue_token
from standalone.engines.mirror import incoming_topics, outgoing_topics
from standalone.layout import Layout
from tests.privacy.canaries import Canaries
from tests.privacy.loop import Exposed, SiteLoop
from tests.privacy.running import client_for, running, wait_for
from tests.privacy.search import Search, search_all, shown
from tests.privacy.studies import ORACLE
from tests.privacy.surfaces import log_bytes, logs_and_metrics, topic_bytes, whole_control_plane

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not ORACLE.exists(), reason="no data/dicom_standard at hand"),
    pytest.mark.skipif("RADLOOP_TWO_PLANES" not in os.environ, reason="minutes of both planes: make privacy runs it"),
]

SITE = "st-mary"


@pytest.fixture(scope="module")
def planes(engines_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Exposed, Exposed]]:
    """Run both planes, say everything to the site, and wait until the mirror has carried over what there is."""
    folder = engines_folder / "privacy"
    cloud_layout, site_layout, canaries = Layout(folder / "cloud"), Layout(folder / "site"), Canaries()
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(running(cloud_layout, "--plane", "control", "--engines", "real"))
        assert cloud_layout.engines is not None
        mirrored = ("--site", SITE, "--control-plane-events", cloud_layout.engines.events_url)
        site = stack.enter_context(running(site_layout, "--plane", "data", "--engines", "real", *mirrored))
        operator = client_for(cloud_layout, "operator-of-the-cloud", Role.SITE_ADMIN, Role.PROJECT_LEAD)
        stack.callback(operator.close)
        loop = SiteLoop(site_layout, site, operator, canaries, tmp_path_factory.mktemp("scratch"))
        stack.callback(loop.close)
        loop.run()
        token = issue_token(site_layout, canaries.text("subject of who asks"), {"*": tuple(Role)})
        loop.ask(token, token)
        wait_for(lambda: _records(site_layout) == _records(cloud_layout))
        search = Search(canaries)
        yield Exposed(site_layout, site, search, loop.asked), Exposed(cloud_layout, cloud, search, {})


def _records(layout: Layout) -> Counter[str]:
    """Count the records of the topics both planes have."""
    places = topic_bytes(layout.events_url, [*outgoing_topics(), *incoming_topics()])
    return Counter(place.split(",")[0] for place, _ in places)


def test_nothing_reached_the_control_plane(planes: tuple[Exposed, Exposed]) -> None:
    _, cloud = planes
    finds = search_all(cloud.search, whole_control_plane(cloud.layout, cloud.platform))
    assert not finds, shown(finds)


def test_nothing_stands_in_the_logs_and_metrics_of_the_site(planes: tuple[Exposed, Exposed]) -> None:
    site, _ = planes
    finds = search_all(site.search, logs_and_metrics(site.layout, site.platform))
    assert not finds, shown(finds)


def test_what_may_leave_has_left(planes: tuple[Exposed, Exposed]) -> None:
    """The control plane has records of every topic a site lets out, and of no other of its topics."""
    _, cloud = planes
    assert set(outgoing_topics()) <= set(mirror_allow_list())
    arrived = {place.split(",")[0].removeprefix("topic ") for place, _ in topic_bytes(cloud.layout.events_url)}
    assert set(outgoing_topics()) - {"training-waiting"} <= arrived  # no job waits here
    assert not {topic for topic in arrived if topic.startswith("label-submitted")}


def test_the_logs_of_the_engines_are_searched(planes: tuple[Exposed, Exposed]) -> None:
    for exposed in planes:
        logs = {place.removeprefix("logs/") for place, data in log_bytes(exposed.layout) if data}
        assert {"postgresql.log", "s3.log"} <= logs or {"postgresql.log"} <= logs
        assert any(name.startswith("kafka") for name in logs)
    site, _ = planes
    assert "mirror.log" in {place.removeprefix("logs/") for place, _ in log_bytes(site.layout)}
