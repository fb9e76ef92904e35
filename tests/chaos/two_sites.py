"""Two sites take part in one project with the same patients, and their cloud is away from the first labels to the last model.

    python tests/chaos/two_sites.py <empty folder> --away-min 60

Ends with ``verdict.json`` in the folder: what the independent checker found, and which ids both sites gave.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

from independent_checker import Plane, mirrored, nothing_waits, read_topics, site_faults
from planes_under_fire import evidence, is_quiet
from two_planes import ReadingRoom, control_plane, join, wait_for

from standalone.client import Client, operator_token
from standalone.demo.state import PROJECT_ID, Choices
from standalone.engines.mirror import incoming_topics, outgoing_topics
from standalone.layout import Layout, read_platform

SITES = ("st-mary", "st-john")
CHOICES = Choices(
    seed=11,
    rounds=1,
    batch=6,
    start=6,
    pool=14,
    test=10,
    validation=10,
    initial_steps=30,
    update_steps=10,
    error_share=0.0,
    cohort="phantom",
)
# Given by the cloud, or by nobody: what both sites are expected to say alike.
SHARED = {"project_id"}


def ids_of(message: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and value of every id and key in an event, nested messages included."""
    for field, value in message.ListFields():
        for each in value if field.is_repeated else [value]:
            if field.message_type is not None:
                yield from ids_of(each)
            elif field.name.endswith(("_id", "_key")) and field.name not in SHARED and each:
                yield field.name, each


def clashes(cloud: Plane) -> list[str]:
    """Return the ids that two sites gave."""
    givers: dict[tuple[str, str], set[str]] = defaultdict(set)
    for topic in outgoing_topics():
        for said in cloud.topics.get(topic, []):
            for name, value in ids_of(said.payload):
                givers[name, value].add(said.source.split("/")[1])
    assert {site for sites in givers.values() for site in sites} == set(SITES)
    return [f"{name} {value} of {sorted(sites)}" for (name, value), sites in givers.items() if len(sites) > 1]


def labels_submitted(site: Layout) -> int:
    """Count the labels a site has heard of."""
    assert site.engines is not None
    return len(read_topics(site.engines.kafka.bootstrap).get("label-submitted", []))


def main() -> None:
    """Run both sites, take their cloud away, give it back, and look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="empty folder to run in, with a short path")
    parser.add_argument(
        "--away-min", type=float, default=0, help="shortest outage in minutes (default: while they work)"
    )
    options = parser.parse_args()
    folder, out, began = options.folder, Console(), time.monotonic()

    def say(text: str) -> None:
        out.print(f"[{time.monotonic() - began:5.0f} s] {text}", markup=False)

    with ExitStack() as stack:
        with control_plane(folder / "cloud") as cloud:
            sites = [stack.enter_context(join(folder / name, cloud, site=name)) for name in SITES]
            say("cloud and both sites are up")
            rooms = [ReadingRoom(site, cloud, CHOICES, out) for site in sites]
            pool = stack.enter_context(ThreadPoolExecutor(len(rooms)))
            work = [pool.submit(room.work, 1800) for room in rooms]
            wait_for(lambda: all(labels_submitted(site) for site in sites), 300, "the first labels of both sites")
        say("the cloud is away")
        gone = time.monotonic()
        for each in work:
            each.result()
        say("both sites have trained twice without it")
        time.sleep(max(0.0, gone + 60 * options.away_min - time.monotonic()))
        with control_plane(folder / "cloud") as cloud:
            say(f"the cloud is back after {(time.monotonic() - gone) / 60:.0f} minutes")
            wait_for(lambda: all(is_quiet(site, cloud) for site in sites), 300, "the planes to come to rest")
            wait_for(lambda: not _behind(sites, cloud), 300, "the cloud to catch up")
            say("and has caught up")
            seen, at_cloud = [evidence(site) for site in sites], evidence(cloud)
            faults = {
                f"{name}: {check}": found
                for name, plane, room in zip(SITES, seen, rooms, strict=True)
                for check, found in site_faults(plane, accepted=room.studies, acknowledged=room.acknowledged).items()
            }
            together = {
                "nothing waits in the cloud": nothing_waits(at_cloud),
                "mirrored": mirrored(seen, at_cloud, outgoing_topics(), incoming_topics()),
                "ids": clashes(at_cloud),
            }
            faults |= {check: found for check, found in together.items() if found}
            with closing(Client(read_platform(cloud).url, operator_token(cloud))) as client:
                models = client.get("/control-plane/v1/models", project_id=PROJECT_ID)["models"]
    verdict = {
        "seconds": time.monotonic() - began,
        "models": [len(plane.payloads("model-trained")) for plane in seen],
        "in_catalogue": len(models),
        "labels": sum(len(room.acknowledged) for room in rooms),
        "faults": faults,
    }
    (folder / "verdict.json").write_text(json.dumps(verdict))
    out.print_json(data=verdict)


def _behind(sites: list[Layout], cloud: Layout) -> list[str]:
    planes = []
    for layout in (*sites, cloud):
        assert layout.engines is not None
        planes.append(Plane(topics=read_topics(layout.engines.kafka.bootstrap)))
    return mirrored(planes[:-1], planes[-1], outgoing_topics(), incoming_topics())


if __name__ == "__main__":
    main()
