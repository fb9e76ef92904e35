"""Nothing that names a patient leaves the site, and nothing of it stands in the site's own logs or metrics.

One site takes in studies that are canaries from the first attribute to the last, works through the whole loop with them while
everybody says canaries wherever they may, and then everything is searched. What is proved and what is not:
docs/explanation/privacy-proof.md.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from radloop.auth import Role
from radloop.contracts.topics import mirror_allow_list
from standalone.client import issue_token
from standalone.layout import Layout
from tests.privacy.canaries import Canaries
from tests.privacy.loop import Exposed, SiteLoop
from tests.privacy.running import client_for, running
from tests.privacy.search import Search, search_all, shown
from tests.privacy.studies import ORACLE
from tests.privacy.surfaces import file_bytes, log_bytes, logs_and_metrics, seen_from_the_control_plane, topic_bytes

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not ORACLE.exists(), reason="no data/dicom_standard at hand"),
]


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    layout, canaries = Layout(tmp_path_factory.mktemp("platform")), Canaries()
    with contextlib.ExitStack() as stack:
        platform = stack.enter_context(running(layout))
        cloud = client_for(layout, "operator-of-the-cloud", Role.SITE_ADMIN, Role.PROJECT_LEAD)
        stack.callback(cloud.close)
        loop = SiteLoop(layout, platform, cloud, canaries, tmp_path_factory.mktemp("scratch"))
        stack.callback(loop.close)
        loop.run()
        everything = {"*": tuple(Role)}
        of_the_site = issue_token(layout, canaries.text("subject of who asks"), everything)
        loop.ask(of_the_site, issue_token(layout, "operator-of-the-cloud", everything))
        yield Exposed(layout, platform, Search(canaries), loop.asked)


def test_nothing_reaches_the_control_plane(exposed: Exposed) -> None:
    finds = search_all(exposed.search, seen_from_the_control_plane(exposed.layout, exposed.platform))
    assert not finds, shown(finds)


def test_nothing_stands_in_the_logs_and_metrics_of_the_site(exposed: Exposed) -> None:
    finds = search_all(exposed.search, logs_and_metrics(exposed.layout, exposed.platform))
    assert not finds, shown(finds)


def test_the_whole_loop_was_gone_through(exposed: Exposed) -> None:
    """A search of what never happened finds nothing: every topic of the site that may leave it has records."""
    said = {place.split(",")[0].removeprefix("topic ") for place, _ in topic_bytes(exposed.layout.events_url)}
    # Jobs that are processes wait for nothing; what may be said of a wait, tests/unit/trainer/test_trainer_service_waiting.py says.
    assert set(mirror_allow_list()) - said <= {"model-promoted", "training-waiting"}
    assert {"prediction-failed", "training-failed", "study-rejected", "study-withdrawn"} <= said


def test_every_endpoint_was_asked(exposed: Exposed) -> None:
    services = {operation.split()[0] for operation in exposed.asked}
    assert services == set(exposed.platform.services)
    assert all(status < 500 for answers in exposed.asked.values() for status in answers)


def test_the_logs_were_at_their_most_talkative_and_are_searched(exposed: Exposed) -> None:
    places = dict(log_bytes(exposed.layout))
    assert any(b'"level": "debug"' in data for place, data in places.items() if place.endswith("ingest.log"))
    assert {"logs/triton.log", "logs/gateway.log", "logs/inference.log"} <= set(places)
    assert any(place.startswith("work/") and place.endswith("log.txt") for place in places)


def test_the_site_itself_holds_what_was_said(exposed: Exposed) -> None:
    """The site's own store has the note of a report: the search would find it had it gone on."""
    labeling = (exposed.layout.state_folder / "labeling.db").read_bytes()
    labeling += Path(f"{exposed.layout.state_folder}/labeling.db-wal").read_bytes()
    assert "note of a report" in {find.origin for find in exposed.search.finds("labeling", labeling)}


def test_the_objects_of_the_site_hold_only_what_the_profile_keeps(exposed: Exposed) -> None:
    """Times of day stay, as the profile's option wants them; so do attributes that the standard's list does not name."""
    kept = ("not in the list", "modality", "Modality", "image type", "photometric", "wild geometry", "codestream")
    finds = search_all(exposed.search, file_bytes(exposed.layout.objects_folder / "ingest"))
    forbidden = [find for find in finds if find.form != "time" and not any(word in find.origin for word in kept)]
    assert not forbidden, shown(forbidden)
    assert any("not in the list" in find.origin for find in finds)
