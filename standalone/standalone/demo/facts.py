"""What has happened on the platform, as its events tell it: the demo's eyes, and all the report is made of."""

from collections.abc import Iterable
from typing import Any

from radloop.contracts.topics import TOPICS
from radloop.events import EventLog
from standalone.eventlog import DEAD_LETTERS, Places, read_new


class Facts:
    """The events of one project, by topic, in the order the log took them.

    Parameters
    ----------
    project_id
        Events of other projects are left out.
    """

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self._places: Places = {}
        self._events: dict[str, list[Any]] = {name: [] for name in TOPICS}
        self.dead_letters = 0

    def look(self, log: EventLog) -> int:
        """Read what has come since the last look; return how much that was."""
        found = read_new(log, self._places)
        for stored in found:
            topic = stored.record.topic
            if topic.endswith(DEAD_LETTERS):
                self.dead_letters += 1
            elif topic in TOPICS:
                event = TOPICS[topic].event.FromString(stored.record.value)
                if getattr(event, "project_id", self._project_id) == self._project_id:
                    self._events[topic].append(event)
        return len(found)

    def of(self, topic: str) -> list[Any]:
        """Return the events of a topic, as the messages of its contract."""
        return self._events[topic]

    def cases(self) -> dict[str, Any]:
        """Return each case's study, by case id: the event and the case in it, as (event, case)."""
        return {case.case_id: (event, case) for event in self.of("study-ingested") for case in event.cases}

    def approved_cases(self) -> set[str]:
        """Return the cases that have an approved label."""
        return {event.case_id for event in self.of("label-approved")}

    def returned_versions(self) -> set[str]:
        """Return the label versions that went back."""
        return {event.label_version_id for event in self.of("label-returned")}

    def settled_imports(self) -> set[str]:
        """Return the cases whose imported label was approved or returned."""
        approved = {event.case_id for event in self.of("label-approved") if not event.task_id}
        return approved | {event.case_id for event in self.of("label-returned") if not event.task_id}

    def outcomes(self) -> list[Any]:
        """Return what became of each trained model, in the order of its training: ``model-deployed`` events, one each."""
        first: dict[str, Any] = {}
        for event in self.of("model-deployed"):
            first.setdefault(event.candidate_digest, event)
        return [first[model.model_digest] for model in self.models() if model.model_digest in first]

    def models(self) -> list[Any]:
        """Return the trained models in the order of their runs."""
        return sorted(self.of("model-trained"), key=lambda event: event.run_number)

    def round_numbers(self) -> dict[str, int]:
        """Return the number of each round by its id; the cold start and reports outside a round are 0."""
        return {event.round_id: event.round_number for event in self.of("edge-case-flagged")}

    def flagged(self, round_number: int) -> list[Any]:
        """Return the flags of a round by rank."""
        flags = [event for event in self.of("edge-case-flagged") if event.round_number == round_number]
        return sorted(flags, key=lambda event: event.rank)


def enum_word(event: Any, field: str) -> str:
    """Return an enum field's value as the word people use: ``READING_SECOND`` is "second", unspecified is ""."""
    number = getattr(event, field)
    enum = event.DESCRIPTOR.fields_by_name[field].enum_type
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return "" if number == 0 else enum.values_by_number[number].name.removeprefix(prefix).lower().replace("_", "-")


def scores(named: Iterable[Any]) -> dict[str, float]:
    """Return named scores as a mapping."""
    return {score.name: score.value for score in named}
