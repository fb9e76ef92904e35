"""A hospital and its cloud under fire: any process of either is killed, while studies and readers keep coming.

    python tests/chaos/planes_under_fire.py --studies 300 --kills 200 --seed 7

Ends with what the independent checker found: exit code 0 and no fault, or 1 and the faults with the seed that brings them back.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

from independent_checker import Plane, all_faults, read_keys, read_rows, read_topics
from two_planes import ReadingRoom, is_gone, processes, two_planes, wait_for

from standalone.demo.state import Choices
from standalone.engines.mirror import incoming_topics, outgoing_topics
from standalone.layout import Layout

# Shares of the kills; what is not named is a service and weighs 4. The gateway is a convenience of one machine, not ours to test.
WEIGHTS = {
    "mirror": 1,
    "triton": 2,
    "postgresql": 3,
    "s3": 3,
    "kafka": 2,
    "kafka-1": 3,
    "kafka-2": 3,
    "kafka-3": 3,
    "gateway": 0,
}
PAUSE_S = (1.0, 6.0)
# MirrorMaker needs 20 s to start: more would keep the planes apart all the time.
MOST_MIRROR_KILLS = 5
QUIET_WITHIN_S = 300.0


@dataclass(frozen=True)
class Verdict:
    """What a run brought."""

    kills: dict[str, int]
    attempts: int
    studies: int
    labels: int
    seconds: float
    faults: Mapping[str, list[str]]


class Killer(threading.Thread):
    """Kills ready processes of both planes, drawn by a seed, until it has done so often enough.

    Parameters
    ----------
    site, cloud
        Folders of the two planes.
    kills, seed
        How many, and what decides which and when.
    """

    def __init__(self, site: Layout, cloud: Layout, *, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._planes = {"site": site, "cloud": cloud}
        self._kills, self._draw = kills, random.Random(seed)
        self.killed: Counter[str] = Counter()

    def run(self) -> None:
        """Kill and pause, kill and pause."""
        while self.killed.total() < self._kills:
            targets = self._targets()
            if targets:
                plane, name, pid = self._draw.choices(targets, [WEIGHTS.get(target[1], 4) for target in targets])[0]
                if self._may_die(plane, name):
                    os.kill(pid, signal.SIGKILL)
                    wait_for(lambda gone=pid: is_gone(gone), 10, "a killed process to be gone")
                    self.killed[f"{plane}/{name}"] += 1
            time.sleep(self._draw.uniform(*PAUSE_S))

    def _targets(self) -> list[tuple[str, str, int]]:
        return [
            (plane, each["name"], int(each["pid"]))
            for plane, layout in self._planes.items()
            for each in processes(layout)
            if each["ready"] and WEIGHTS.get(each["name"], 4)
        ]

    def _may_die(self, plane: str, name: str) -> bool:
        """One broker of three at a time: the next one only when all replicas are in step again."""
        if name == "mirror":
            return self.killed[f"{plane}/mirror"] < MOST_MIRROR_KILLS
        if not name.startswith("kafka-"):
            return True
        engines = self._planes[plane].engines
        assert engines is not None
        return in_step(engines.kafka.bootstrap, len(engines.kafka_ports))


def in_step(bootstrap: str, brokers: int) -> bool:
    """Whether every partition has all its replicas in step."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=5000, request_timeout_ms=5000)
    except (KafkaError, OSError):
        return False
    try:
        partitions = [part for topic in admin.describe_topics() for part in topic["partitions"]]
        return all(len(part["isr_nodes"]) >= min(brokers, len(part["replica_nodes"])) for part in partitions)
    except (KafkaError, OSError):
        return False
    finally:
        admin.close()


def evidence(layout: Layout) -> Plane:
    """Read what a plane left behind."""
    engines = layout.engines
    assert engines is not None
    s3 = engines.s3
    database = engines.postgresql.url_of("radloop")
    return Plane(
        topics=read_topics(engines.kafka.bootstrap),
        rows=read_rows(database),
        objects=read_keys(s3.endpoint, "radloop", s3.access_key, s3.secret_key),
    )


def is_quiet(site: Layout, cloud: Layout) -> bool:
    """Whether no outbox holds a row, nothing is parked, and nothing new is said for a while."""
    before = _ends(site), _ends(cloud)
    for layout in (site, cloud):
        engines = layout.engines
        assert engines is not None
        rows = read_rows(engines.postgresql.url_of("radloop"))
        if any(found for (_, table), found in rows.items() if table in ("outbox", "parked")):
            return False
    time.sleep(8)
    return before == (_ends(site), _ends(cloud))


def _ends(layout: Layout) -> dict[str, int]:
    engines = layout.engines
    assert engines is not None
    return {topic: len(records) for topic, records in read_topics(engines.kafka.bootstrap).items()}


def run(folder: Path, *, studies: int, kills: int, rounds: int, seed: int, out: Console) -> Verdict:
    """Run two planes under fire, wait until they have come to rest, and look at what they left."""
    began = time.monotonic()
    start, measured = 6, max(4, studies // 30)
    choices = Choices(
        seed=seed,
        rounds=rounds,
        batch=6,
        start=start,
        pool=studies - start - 2 * measured,
        test=measured,
        validation=measured,
        initial_steps=10,
        update_steps=5,
        error_share=0.15,
        cohort="phantom",
    )
    with two_planes(folder, brokers=3) as (site, cloud):
        out.print(f"[{time.monotonic() - began:5.0f} s] both planes are up")
        room = ReadingRoom(site, cloud, choices, out)
        killer = Killer(site, cloud, kills=kills, seed=seed)
        killer.start()
        room.work(patience_s=3000)
        out.print(f"[{time.monotonic() - began:5.0f} s] the readers are done after {room.attempts} attempts")
        while killer.is_alive():
            killer.join(10)
            out.print(f"[{time.monotonic() - began:5.0f} s] {killer.killed.total()} of {kills} killed")
        wait_for(
            lambda: all(each["ready"] for layout in (site, cloud) for each in processes(layout)), 120, "all to be back"
        )
        wait_for(lambda: is_quiet(site, cloud), QUIET_WITHIN_S, "the planes to come to rest")
        sweep = [sys.executable, "-m", "standalone", "objects", "sweep", "--grace", "0m", "--data", str(site.folder)]
        swept = subprocess.run(sweep, capture_output=True, text=True, check=False)
        out.print(swept.stdout + swept.stderr, markup=False)
        faults = all_faults(
            evidence(site),
            evidence(cloud),
            accepted=room.studies,
            acknowledged=room.acknowledged,
            outgoing=outgoing_topics(),
            incoming=incoming_topics(),
        )
        if swept.returncode:
            faults = {**faults, "sweep": [swept.stderr]}
        return Verdict(
            kills=dict(killer.killed),
            attempts=room.attempts,
            studies=room.studies,
            labels=len(room.acknowledged),
            seconds=time.monotonic() - began,
            faults=faults,
        )


def main() -> None:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300, help="studies that are sent (default 300, at least 24)")
    parser.add_argument("--kills", type=int, default=200, help="processes that are killed (default 200)")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of reading and training (default 6)")
    parser.add_argument("--seed", type=int, default=None, help="decides who is killed when; drawn when left out")
    parser.add_argument("--keep", type=Path, default=None, help="folder to run in, kept afterwards")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    out = Console()
    out.print(f"chaos with seed {seed}: {options.studies} studies, {options.kills} kills")
    folder = options.keep or Path(tempfile.mkdtemp(prefix="radloop-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    verdict = run(folder, studies=options.studies, kills=options.kills, rounds=options.rounds, seed=seed, out=out)
    (folder / "verdict.json").write_text(json.dumps(asdict(verdict)))
    out.print(f"killed in {verdict.seconds:.0f} s: {json.dumps(dict(sorted(verdict.kills.items())))}", markup=False)
    out.print(f"{verdict.studies} studies, {verdict.labels} labels acknowledged to readers")
    for name, faults in verdict.faults.items():
        out.print(f"FAULT {name}: {len(faults)}", *faults[:5], sep="\n  ", markup=False)
    if verdict.faults:
        out.print(
            f"Again: python tests/chaos/planes_under_fire.py --seed {seed}; what was left is in {folder}", markup=False
        )
        sys.exit(1)
    out.print("No fault.")
    if options.keep is None:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
