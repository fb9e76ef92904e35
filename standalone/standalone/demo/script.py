"""The demo's script: each step looks at what the platform has already, and does what is missing.

So the script remembers nothing: stopped anywhere and started again, it finds its place. The rounds run by themselves; from
the first training on the script only watches, while the simulated readers work.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from radloop.errors import NotFound, PermanentError, RadloopError, TemporaryError
from radloop.events import EventLog
from radloop.imaging import Volume, write_nifti
from standalone.client import Client
from standalone.commands.labels import submit
from standalone.demo.cohort import Cohort, CohortPatient, CohortVolume
from standalone.demo.estimates import by_patient, estimate
from standalone.demo.facts import Facts, enum_word
from standalone.demo.progress import Board, Step
from standalone.demo.project import project_of
from standalone.demo.readers import Tally
from standalone.demo.sending import Destination, Sent, send_patients
from standalone.demo.state import PROJECT_ID, Choices
from standalone.demo.stopping import Stop

LOOK_EVERY_S = 0.3

START = "start the platform"
SEND = "send the studies by C-STORE"
LABELS = "import the expert labels"
REPORT = "write the report"


def training_step(number: int) -> str:
    """Name the step that trains a model."""
    return f"round {number}: train, compare, deploy" if number else "train the first model"


def mining_step(number: int) -> str:
    """Name the step that predicts and mines."""
    return f"round {number}: predict on the pool, mine"


def reading_step(number: int) -> str:
    """Name the step in which the readers work."""
    return f"round {number}: read, check, approve"


def plan_of(choices: Choices, instances: int) -> list[Step]:
    """List the steps with the seconds each takes on two cores."""
    steps = [Step(START, 20), Step(SEND, 5 + instances / 110), Step(LABELS, 12), Step(training_step(0), 75)]
    for number in range(1, choices.rounds + 1):
        steps += [Step(mining_step(number), 20), Step(reading_step(number), 10), Step(training_step(number), 50)]
    return [*steps, Step(REPORT, 8)]


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


@dataclass
class Script:
    """The script and what it works with.

    Attributes
    ----------
    choices, cohort
        What the demo was started with.
    client
        The platform, with the operator's token.
    destination
        Where C-STORE goes.
    log, facts
        The event log, and what was read of it.
    board
        Told how far it is.
    stop
        Set by Ctrl-C.
    check
        Called while waiting; raises when the platform or a reader has died.
    """

    choices: Choices
    cohort: Cohort
    client: Client
    destination: Destination
    log: EventLog
    facts: Facts
    board: Board
    stop: Stop
    tally: Tally
    check: Callable[[], None]

    def __post_init__(self) -> None:
        """Prepare the way back from a case to its expert mask."""
        self._volume_of: dict[str, CohortVolume] = {}
        self._load_expert = lru_cache(maxsize=64)(lambda case_id: self._volume_of[case_id].load_mask())

    def prepare(self) -> None:
        """Set up the project and send what is not there yet: from here on every image is a case."""
        self._apply_project(len(_volumes(self.cohort.validation)))
        self.client.put(f"/ingest/v1/projects/{PROJECT_ID}/split", {"patients": self.cohort.split_list()})
        self.board.begin(SEND)
        self._send()

    def import_labels(self) -> None:
        """Import the expert labels: first those that train, then those that measure, last those that decide.

        The first training begins when the last validation label is approved, so everything else is there before.
        """
        self.board.begin(LABELS)
        parts = (self.cohort.start, self.cohort.test, self.cohort.validation)
        total = sum(len(_volumes(part)) for part in parts)
        for part in parts:
            wanted = {self.case_of[volume.series_instance_uid]: volume for volume in _volumes(part)}
            submitted = {event.case_id for event in self.facts.of("label-submitted")}
            for case_id, volume in wanted.items():
                self._look()
                if case_id not in submitted:
                    self._retried(partial(self._import, case_id, volume))
                self._say_labels(total)
            self._wait(partial(self._are_settled, set(wanted)), partial(self._say_labels, total))
        approved = {self.case_of[volume.series_instance_uid] for volume in _volumes(self.cohort.validation)}
        approved &= self.facts.approved_cases()
        if len(approved) < len(_volumes(self.cohort.validation)) and not self.facts.of("training-started"):
            # Nobody can correct an import that quality control returned: the first training goes on without it.
            self._apply_project(len(approved))

    def watch_training(self, number: int) -> None:
        """Wait until a model is trained and it is decided whether it serves."""
        self.board.begin(training_step(number))
        self._wait(lambda: len(self.facts.outcomes()) > number, lambda: self._say_training(number))

    def watch_mining(self, number: int) -> None:
        """Wait until a round's cases are flagged."""
        self.board.begin(mining_step(number))
        self._wait(lambda: self._is_flagged(number), lambda: self._say_mining(number))

    def watch_reading(self, number: int) -> None:
        """Wait until every flagged case of a round has an approved label."""
        self.board.begin(reading_step(number))
        self._wait(lambda: self._approved(number) == len(self.facts.flagged(number)), lambda: self._say_reading(number))

    def expert(self, case_id: str) -> Volume:
        """Return the expert mask of a case.

        Raises
        ------
        NotFound
            The case is none of the demo's.
        """
        if case_id not in self._volume_of:
            raise NotFound(
                "not-of-the-demo", expected="a case the demo sent", got="another", do="use a folder of its own"
            )
        return self._load_expert(case_id)

    @property
    def case_of(self) -> dict[str, str]:
        """Case of each series that was sent, by original Series Instance UID."""
        return {volume.series_instance_uid: case_id for case_id, volume in self._volume_of.items()}

    def _apply_project(self, validation_cases: int) -> None:
        pool = len(_volumes(self.cohort.pool))
        body = project_of(self.choices, validation_cases=validation_cases, pool_cases=pool)
        known = self.facts.of("project-configured")
        if known and known[-1].training.min_validation_labels < validation_cases:
            return  # a start before this one has lowered it, see import_labels
        version = self.client.put(f"/control-plane/v1/projects/{PROJECT_ID}", body)["project_version"]
        self._retried(lambda: self._project_has_arrived(version))

    def _project_has_arrived(self, version: int) -> None:
        """Ask ingest for something of the project; it hears of it by an event, a moment later."""
        self.client.post("/ingest/v1/cases/resolve", {"project_id": PROJECT_ID, "series": []})
        self._look()
        if not any(event.project_version >= version for event in self.facts.of("project-configured")):
            raise TemporaryError("project-not-said-yet")

    def _send(self) -> None:
        volumes = {volume.series_instance_uid: volume for volume in self.cohort.volumes}
        self._resolve(volumes)
        missing = [
            patient
            for patient in self.cohort.patients
            if any(volume.series_instance_uid not in self.case_of for volume in patient.volumes)
        ]
        if missing:
            self._send_missing(missing)
            self.client.post("/ingest/v1/complete")
        self._wait(lambda: self._resolve(volumes), lambda: self.board.say(1, 1, self._formed(len(volumes))))
        self.board.say(1, 1, self._formed(len(volumes)))

    def _formed(self, total: int) -> str:
        return f"{len(self._volume_of)} of {total} cases formed"

    def _send_missing(self, missing: Sequence[CohortPatient]) -> None:
        began = time.monotonic()

        def progress(sent: Sent) -> None:
            rate = sent.instances / max(time.monotonic() - began, 0.1)
            self.board.say(
                sent.studies, len(missing), f"{sent.studies} of {len(missing)} studies, {rate:.0f} instances/s"
            )

        sent = send_patients(missing, self.destination, progress=progress, stop=self.stop)
        if self.stop.is_set():
            raise Interrupted
        if sent.refused:
            statuses = ", ".join(f"0x{status:04X}" for status in sorted(set(sent.refused)))
            raise PermanentError(
                "instances-refused",
                expected="every instance stored",
                got=f"{len(sent.refused)} refused with {statuses}",
                do="read logs/ingest.log in the data folder",
            )

    def _resolve(self, volumes: dict[str, CohortVolume]) -> bool:
        unknown = [series for series in volumes if series not in self.case_of]
        if unknown:
            asked = {"project_id": PROJECT_ID, "series": unknown}
            for case in self.client.post("/ingest/v1/cases/resolve", asked)["cases"]:
                self._volume_of[case["case_id"]] = volumes[case["series"]]
        return len(self._volume_of) == len(volumes)

    def _import(self, case_id: str, volume: CohortVolume) -> None:
        submit(self.client, PROJECT_ID, case_id, write_nifti(volume.load_mask()))

    def _are_settled(self, cases: set[str]) -> bool:
        return cases <= self.facts.settled_imports()

    def _say_labels(self, total: int) -> None:
        settled = len(self.facts.settled_imports())
        self.board.say(settled, total, f"{settled} of {total} decided on by quality control")

    def _say_training(self, number: int) -> None:
        outcomes = self.facts.outcomes()
        if len(outcomes) > number:
            words = {"serving": "it serves", "kept": "not better, the one before serves on"}
            outcome = enum_word(outcomes[number], "outcome")
            dice = estimate(by_patient(self.facts.models()[number].test_dice))
            self.board.say(1, 1, f"Dice {dice.mean:.3f} on the test patients; {words.get(outcome, outcome)}")
            return
        failed = self.facts.of("training-failed")
        if failed:
            raise PermanentError(
                "training-failed",
                expected="a model",
                got=f"a failed run after {failed[-1].attempts} attempts",
                do="read work/*/log.txt and logs/trainer.log in the data folder",
            )
        if len(self.facts.models()) > number:
            self.board.say(0.98, 1, "trained; loading it into Triton")
            return
        try:
            answer = self.client.get("/trainer/v1/runs", project_id=PROJECT_ID)
        except RadloopError:
            return
        runs = answer if isinstance(answer, list) else answer["runs"]
        progress = next((run.get("progress") or {} for run in runs if run.get("run_number") == number + 1), {})
        step, steps = progress.get("step") or 0, progress.get("steps") or 0
        text = f"step {step} of {steps}" if steps else "waiting for the run to begin"
        # The last tenth is the comparison on the validation and test patients.
        self.board.say(0.9 * step, steps, text)

    def _is_flagged(self, number: int) -> bool:
        flags = self.facts.flagged(number)
        return bool(flags) and len(flags) >= flags[0].batch_size

    def _say_mining(self, number: int) -> None:
        if self._is_flagged(number):
            flags = self.facts.flagged(number)
            self.board.say(1, 1, f"{len(flags)} of {flags[0].pool_size} cases flagged")
            return
        known = {round_id for round_id, n in self.facts.round_numbers().items() if n != number}
        asked = {event.case_id for event in self.facts.of("prediction-requested") if event.round_id not in known}
        answered = {
            event.case_id
            for topic in ("prediction-made", "prediction-failed")
            for event in self.facts.of(topic)
            if event.round_id and event.round_id not in known
        }
        self.board.say(len(answered), len(asked) + 1, f"{len(answered)} of {len(asked)} cases predicted")

    def _approved(self, number: int) -> int:
        approved = self.facts.approved_cases()
        return sum(flag.case_id in approved for flag in self.facts.flagged(number))

    def _say_reading(self, number: int) -> None:
        batch = len(self.facts.flagged(number))
        returned = sum(bool(event.task_id) for event in self.facts.of("label-returned"))
        done = self._approved(number)
        self.board.say(done, batch, f"{done} of {batch} approved; {returned} labels returned so far")

    def _look(self) -> None:
        if self.stop.is_set():
            raise Interrupted
        self.check()
        self.facts.look(self.log)

    def _wait(self, done: Callable[[], bool], say: Callable[[], None]) -> None:
        self._look()
        while not done():
            say()
            self.stop.wait(LOOK_EVERY_S)
            self._look()
        say()

    def _retried(self, call: Callable[[], object]) -> None:
        """Do something that a service cannot do yet, because it hears of what it needs a moment later."""
        deadline = time.monotonic() + 60
        while True:
            self._look()
            try:
                call()
                return
            except (NotFound, TemporaryError):
                if time.monotonic() > deadline:
                    raise
                self.stop.wait(LOOK_EVERY_S)


def _volumes(patients: Sequence[CohortPatient]) -> list[CohortVolume]:
    return [volume for patient in patients for volume in patient.volumes]
