"""``radloop demo`` from its first line to its last: images, platform, script, readers, report, the end."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from rich.console import Console

from radloop.errors import PermanentError
from radloop.events import open_event_log
from radloop.objects import open_objects
from radloop.references import ObjectRef
from standalone.client import Client, operator_token
from standalone.commands.options import console
from standalone.demo.cohort import Cohort, Source, load_cohort
from standalone.demo.facts import Facts
from standalone.demo.hosting import running_platform
from standalone.demo.progress import Board
from standalone.demo.project import SEGMENTS
from standalone.demo.readers import Tally
from standalone.demo.reading_room import open_reading_room
from standalone.demo.report import Report, make_report
from standalone.demo.script import REPORT, START, Interrupted, Script, plan_of
from standalone.demo.sending import Destination
from standalone.demo.sources import choose_source
from standalone.demo.state import PROJECT_ID, Choices, check_same, remember, remembered
from standalone.demo.stopping import Stop
from standalone.layout import Layout, Platform
from standalone.setup import Engines

INTERRUPTED_EXIT_CODE = 130


def run_demo(folder: Path, choices: Choices, *, port: int, environment: Mapping[str, str], engines: Engines) -> None:
    """Run a demo to its end, or go on with one; print the report again where it is finished.

    Raises
    ------
    RadloopError
        Whatever went wrong, in words.
    """
    out = console()
    layout = Layout(folder)
    before = remembered(layout)
    if before is not None:
        check_same(choices, before[0], layout)
        source = before[1]
    else:
        source = choose_source(choices.cohort, environment, layout.folder.parent / "decathlon")
    out.print(f"radloop demo on {source.said}; seed {choices.seed}.", markup=False)
    text = layout.report_folder / "report.txt"
    if text.exists():
        out.print(text.read_text(), markup=False)
        _print_next(out, layout, again=True)
        return
    cohort = load_cohort(
        source,
        seed=choices.seed,
        test=choices.test,
        validation=choices.validation,
        start=choices.start,
        pool=choices.pool,
    )
    _check_start(cohort, choices)
    if before is None:
        remember(layout, choices, source)
    else:
        out.print("Going on where it was.")
    stop = Stop()
    with _signals_set(stop):
        try:
            _run(layout, choices, source, cohort, stop, out, port, environment, engines)
        except Interrupted:
            out.print(f"Interrupted; everything is kept in {folder}. The same line goes on from here.", markup=False)
            sys.exit(INTERRUPTED_EXIT_CODE)
    _print_next(out, layout, again=False)


def _check_start(cohort: Cohort, choices: Choices) -> None:
    """Refuse a start whose labels are fewer than a round's: a training begins with so many new ones, the first would never."""
    labels = sum(len(patient.volumes) for patient in cohort.start)
    if labels < choices.batch:
        raise PermanentError(
            "start-too-small",
            expected=f"at least as many images of the patients labelled at the start as a round has cases, {choices.batch}",
            got=f"{choices.start} patients with {labels} images",
            do="raise --start, or lower --batch",
        )


def _run(
    layout: Layout,
    choices: Choices,
    source: Source,
    cohort: Cohort,
    stop: Stop,
    out: Console,
    port: int,
    environment: Mapping[str, str],
    engines: Engines,
) -> None:
    instances = 36 * len(cohort.volumes)
    with Board(plan_of(choices, instances), out) as board:
        board.begin(START)
        with running_platform(layout, board, stop, port, environment, engines) as (platform, check):
            report = _run_on(platform, check, layout, choices, source, cohort, stop, board)
    out.print((layout.report_folder / "report.txt").read_text() if report else "", markup=False)


def _run_on(
    platform: Platform,
    check_platform: Callable[[], object],
    layout: Layout,
    choices: Choices,
    source: Source,
    cohort: Cohort,
    stop: Stop,
    board: Board,
) -> Report:
    from standalone.demo.publishing import write_report

    log = open_event_log(layout.events_url)
    facts, tally = Facts(PROJECT_ID), Tally()
    facts.look(log)
    client = Client(platform.url, operator_token(layout))

    def check() -> None:
        check_platform()
        if tally.failure is not None:
            raise tally.failure

    destination = Destination(platform.dicom_host, platform.dicom_port, platform.dicom_ae_title)
    script = Script(choices, cohort, client, destination, log, facts, board, stop, tally, check)
    reading_ends = threading.Event()
    try:
        script.prepare()
        readers = open_reading_room(platform.url, layout, choices, script.expert, tally, reading_ends)
        script.import_labels()
        script.watch_training(0)
        for number in range(1, choices.rounds + 1):
            script.watch_mining(number)
            script.watch_reading(number)
            script.watch_training(number)
        reading_ends.set()
        for reader in readers:
            reader.join()
        board.begin(REPORT)
        report = report_of(layout, facts, lambda case_id: script.expert(case_id).array, choices, source)
        write_report(report, layout.report_folder)
        board.end()
        return report
    finally:
        reading_ends.set()
        client.close()
        log.close()


def report_of(
    layout: Layout, facts: Facts, experts: Callable[[str], np.ndarray], choices: Choices, source: Source
) -> Report:
    """Make the report of a demo from what its folder holds.

    Parameters
    ----------
    layout, facts
        Objects, and events that were read.
    experts
        Gives the expert mask of a case: uint8, axes (i, j, k).
    choices, source
        What the demo was started with.
    """
    if engines := layout.engines:
        os.environ.update(engines.s3.credentials)  # where boto3 looks for them
    objects = open_objects(layout.objects_url)

    @lru_cache(maxsize=256)
    def fetched(key: str, digest: str, size_bytes: int) -> bytes:
        return objects.get(ObjectRef(key=key, digest=digest, size_bytes=size_bytes))

    @lru_cache(maxsize=256)
    def expert(case_id: str) -> np.ndarray:
        return experts(case_id)

    return make_report(
        facts,
        lambda ref: fetched(ref.key, ref.digest, ref.size_bytes),
        expert,
        seed=choices.seed,
        error_share=choices.error_share,
        segments={value: name for value, name, _ in SEGMENTS},
        said=source.said,
        attribution=source.attribution,
    )


@contextmanager
def _signals_set(stop: Stop) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into an event, so that whatever runs ends between two steps; the second one insists."""

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _print_next(out: Console, layout: Layout, *, again: bool) -> None:
    command = "radloop" if shutil.which("radloop") else os.path.relpath(Path(sys.prefix) / "bin" / "radloop")
    data = f"--data {layout.folder}"
    lines = [f"The page with plots: {layout.report_folder / 'index.html'}"]
    if again:
        lines.append(
            f"This demo is finished. Another one: choose another folder with --data, or remove {layout.folder}."
        )
    lines += [
        "Type next:",
        f"  {command} up {data}                    the same platform, with all of this in it: open the address it prints, then",
        "  http://127.0.0.1:8080/labeling/       the reading room, where its cases are read; and in another terminal:",
        f"  {command} models list {data}",
        f"  {command} dataset list {data}",
        f"  {command} events tail --topic label-approved --from-start --no-follow {data}",
        f"  {command} status {data}",
    ]
    for line in lines:
        out.print(line, markup=False)
