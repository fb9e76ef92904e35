"""The task: one reading asked of one reader, and the lease that keeps two readers from overwriting one another."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from labeling.domain.messages import EdgeCaseFlagged, Reader, ReadingRequested
from labeling.domain.model import Approval, Case, LabelVersion, Return, identity
from labeling.domain.states import Step, TaskState, next_state
from labeling.domain.vocabulary import FlagReason, LabelSource, Reading, ReturnReason, SkipReason
from radloop.errors import Conflict, Forbidden
from radloop.references import Arm, ObjectRef, Score, SegmentStatus, Split

# Order of urgency after what was returned to the reader: adjudications hold an approval back, all else follows its round.
ADJUDICATION_PRIORITY = 1
READING_PRIORITY = 2


RANKED_BY = "ranked-by"
"""Name of the score that is, by the miner's word, what a round was ordered by."""


def ranking_score(scores: Sequence[Score]) -> float | None:
    """Return what a round ranked a case by; the first score where the miner does not say which; None without any."""
    ranked = [score.value for score in scores if score.name == RANKED_BY] or [score.value for score in scores]
    return ranked[0] if ranked else None


@dataclass
class Task:
    """One reading of one case.

    Attributes
    ----------
    reader : str
        Pseudonym of who holds it or answered it last; empty while nobody does.
    attempt : int
        Number of submissions so far.
    score : float, optional
        What the round ranked the case by, higher is worse.
    excluded_readers : tuple of str
        Pseudonyms of who must not get it.
    row_version : int
        Grows with every change; a save that finds another one lost a race.
    """

    task_id: str
    case_id: str
    study_key: str
    project_id: str
    reading: Reading
    created_at: datetime
    state: TaskState = TaskState.OPEN
    round_id: str = ""
    round_number: int = 0
    rank: int = 0
    arm: Arm | None = None
    flag_reasons: tuple[FlagReason, ...] = ()
    show_proposal: bool = False
    prediction_id: str = ""
    score: float | None = None
    review_id: str = ""
    label_version_ids: tuple[str, ...] = ()
    excluded_readers: tuple[str, ...] = ()
    reader: str = ""
    lease_id: str = ""
    lease_expires_at: datetime | None = None
    attempt: int = 0
    returned: tuple[ReturnReason, ...] = ()
    skip_reason: SkipReason | None = None
    row_version: int = field(default=0, compare=False)

    @classmethod
    def flagged(cls, event: EdgeCaseFlagged, now: datetime) -> "Task":
        """Make the first reading that a round asks for."""
        return cls(
            task_id=identity("task", event.round_id, event.case_id),
            case_id=event.case_id,
            study_key=event.study_key,
            project_id=event.project_id,
            reading=Reading.FIRST,
            created_at=now,
            round_id=event.round_id,
            round_number=event.round_number,
            rank=event.rank,
            arm=event.arm,
            flag_reasons=event.reasons,
            show_proposal=event.show_proposal,
            prediction_id=event.prediction_id,
            score=ranking_score(event.scores),
        )

    @classmethod
    def requested(cls, event: ReadingRequested, now: datetime, *, round_number: int, rank: int) -> "Task":
        """Make the further reading that a review asks for; it stands where the caller says, as the first reading of the case did."""
        return cls(
            task_id=identity("task", event.request_id),
            case_id=event.case_id,
            study_key=event.study_key,
            project_id=event.project_id,
            reading=event.reading,
            created_at=now,
            round_id=event.round_id,
            round_number=round_number,
            rank=rank,
            arm=event.arm,
            review_id=event.review_id,
            label_version_ids=event.label_version_ids,
            excluded_readers=tuple(sorted(set(event.excluded_readers))),
        )

    @property
    def priority(self) -> int:
        """1 for an adjudication, 2 for the rest."""
        return ADJUDICATION_PRIORITY if self.reading is Reading.ADJUDICATION else READING_PRIORITY

    @property
    def place(self) -> tuple[int, int, int, str]:
        """Where it stands in the order of urgency: priority, round number, rank, id."""
        return self.priority, self.round_number, self.rank, self.task_id

    def blind(self, case: Case) -> bool:
        """Whether the reader must not see the model's mask.

        Always for second readings, adjudications, validation and test cases; else where the round says so. Why a first reading
        is blind is not told: the reader must not learn the arm.
        """
        return self.reading is not Reading.FIRST or case.split is not Split.TRAIN or not self.show_proposal

    def offered_prediction(self, case: Case) -> str:
        """Return the prediction whose mask the reader may start from; empty on a blind task."""
        return "" if self.blind(case) else self.prediction_id

    def shown_reasons(self, case: Case) -> tuple[FlagReason, ...]:
        """Return why the case was flagged, as far as the reader may know: nothing on a blind task, never the control draw."""
        if self.blind(case):
            return ()
        return tuple(reason for reason in self.flag_reasons if reason is not FlagReason.RANDOM)

    def shown_score(self, case: Case) -> float | None:
        """Return what the case was ranked by, where the reader may know: nothing on a blind task."""
        return None if self.blind(case) else self.score

    def live(self, now: datetime) -> bool:
        """Whether somebody holds an unexpired lease."""
        return self.state is TaskState.LEASED and self.lease_expires_at is not None and now < self.lease_expires_at

    def held_by(self, reader: str, now: datetime) -> bool:
        """Whether this reader holds an unexpired lease."""
        return self.live(now) and self.reader == reader

    def concerned_by(self, approval: Approval) -> bool:
        """Whether an approved label of the case leaves nothing to do here, in whatever order the two were heard.

        A review's own readings end with that review. A first reading ends when any label of its case is approved, but one that a
        reader asked for by a report: that was asked because, or although, there is a label.
        """
        if self.review_id:
            return self.review_id == approval.review_id
        if self.task_id == approval.task_id or (self.round_id and self.round_id == approval.round_id):
            return True
        return self.arm is not Arm.REPORTED

    # --- steps ------------------------------------------------------------------------------------------------------------

    def step(self, step: Step) -> None:
        """Move by the table; see `labeling.domain.states`."""
        self.state = next_state(self.state, step)

    def expire(self, now: datetime) -> bool:
        """Give the task back if its lease has run out; return whether it had. The lease's id stays, to tell its holder."""
        if self.state is not TaskState.LEASED or self.live(now):
            return False
        self._give_back()
        return True

    def take(self, lease_id: str, reader: Reader, now: datetime, lease_s: int) -> None:
        """Lease the task. Who holds it already gets the same lease, renewed.

        Raises
        ------
        Conflict
            When somebody else holds it, it waits for somebody else, or it is closed.
        Forbidden
            When the reader must not read it, or has not the role for it.
        """
        if self.held_by(reader.pseudonym, now):
            self.step(Step.RENEW)
            self.lease_expires_at = now + timedelta(seconds=lease_s)
            return
        self.expire(now)
        self.check_takeable(reader)
        self.step(Step.TAKE)
        self.reader, self.lease_id, self.skip_reason = reader.pseudonym, lease_id, None
        self.lease_expires_at = now + timedelta(seconds=lease_s)

    def renew(self, lease_id: str, reader: str, now: datetime, lease_s: int) -> None:
        """Let the lease last for ``lease_s`` seconds from now."""
        self.check_lease(lease_id, reader, now)
        self.step(Step.RENEW)
        self.lease_expires_at = now + timedelta(seconds=lease_s)

    def release(self, lease_id: str, reader: str, now: datetime) -> None:
        """Put the task back."""
        self.check_lease(lease_id, reader, now)
        self._give_back()

    def submit(
        self,
        lease_id: str,
        reader: str,
        now: datetime,
        *,
        label_version_id: str,
        mask: ObjectRef,
        segments: tuple[SegmentStatus, ...],
        project_version: int,
        started_from_model: bool,
        prediction_id: str,
        active_time_s: float,
    ) -> LabelVersion:
        """Finish the task with a label version."""
        self.check_lease(lease_id, reader, now)
        self.step(Step.SUBMIT)
        self.attempt += 1
        self.returned = ()
        self.lease_expires_at = None
        return self.label(
            label_version_id,
            reader,
            now,
            mask=mask,
            segments=segments,
            project_version=project_version,
            started_from_model=started_from_model,
            prediction_id=prediction_id,
            active_time_s=active_time_s,
        )

    def label(
        self,
        label_version_id: str,
        reader: str,
        now: datetime,
        *,
        mask: ObjectRef,
        segments: tuple[SegmentStatus, ...],
        project_version: int,
        started_from_model: bool,
        prediction_id: str,
        active_time_s: float,
        saved: bool = False,
    ) -> LabelVersion:
        """Return a label version of the task; one that is saved belongs to the attempt that is being worked on."""
        return LabelVersion(
            label_version_id=label_version_id,
            task_id=self.task_id,
            case_id=self.case_id,
            study_key=self.study_key,
            project_id=self.project_id,
            project_version=project_version,
            reader=reader,
            source=LabelSource.READER,
            reading=self.reading,
            mask=mask,
            segments=segments,
            started_from_model=started_from_model,
            prediction_id=prediction_id,
            round_id=self.round_id,
            arm=self.arm,
            attempt=self.attempt + 1 if saved else self.attempt,
            active_time_s=active_time_s,
            made_at=now,
            saved=saved,
        )

    def skip(self, lease_id: str, reader: str, now: datetime, reason: SkipReason) -> None:
        """Give the task up: for everybody when the case is at fault, else for this reader only."""
        self.check_lease(lease_id, reader, now)
        self.excluded_readers = tuple(sorted({*self.excluded_readers, reader}))
        self.lease_expires_at, self.reader, self.returned = None, "", ()
        if reason.closes:
            self.skip_reason = reason
            self.step(Step.SKIP)
        else:
            self.step(Step.GIVE_BACK)

    def give_to_its_reader(self, returned: Return) -> None:
        """Reopen the task for the reader who answered it."""
        answered = self.state is TaskState.SUBMITTED
        self.step(Step.RETURN)
        if answered:
            self.returned = returned.reasons

    def close(self, step: Step) -> None:
        """End the task by approval, sibling approval, a newer round or withdrawal."""
        self.step(step)
        if self.state.closed:
            self.lease_expires_at = None

    def check_lease(self, lease_id: str, reader: str, now: datetime) -> None:
        """Raise unless this reader holds this lease and it has not run out.

        Raises
        ------
        Conflict
            ``task-closed``, ``lease-foreign`` (somebody else has the task), ``lease-replaced`` (you hold it by another lease),
            ``lease-expired`` (nobody has it).
        """
        again = f"lease it again: POST /v1/tasks/{self.task_id}/lease; your draft is kept"
        if self.held_by(reader, now) and self.lease_id == lease_id:
            return
        if self.state.closed or self.state is TaskState.SUBMITTED:
            raise Conflict(
                "task-closed",
                expected="a task you hold a lease on",
                got=f"a task that is {self.state}",
                do="take another: POST /v1/tasks/next; your draft is kept",
            )
        if self.live(now):
            if self.reader == reader:
                raise Conflict(
                    "lease-replaced",
                    expected="the lease you hold",
                    got="another lease; the task is held by you",
                    do=f"use the newer lease: GET /v1/tasks/{self.task_id} shows it",
                )
            raise Conflict(
                "lease-foreign",
                expected="the lease of the task",
                got="yours has ended, and the task is held by somebody else",
                do="take another: POST /v1/tasks/next; your draft is kept",
            )
        raise Conflict(
            "lease-expired",
            expected="a lease that has not run out",
            got="one that has ended; the task is held by nobody",
            do=again
            if reader not in self.excluded_readers
            else "take another: POST /v1/tasks/next; your draft is kept",
        )

    def _give_back(self) -> None:
        if self.returned:
            self.step(Step.GIVE_BACK_RETURNED)
        else:
            self.step(Step.GIVE_BACK)
            self.reader = ""
        self.lease_expires_at = None

    def check_takeable(self, reader: Reader) -> None:
        """Raise `Conflict` or `Forbidden` unless the reader may take the task, which nobody holds."""
        if self.state is TaskState.LEASED:
            raise Conflict(
                "task-held",
                expected="a task nobody holds",
                got="one held by somebody else",
                do="take another: POST /v1/tasks/next",
            )
        if self.state.closed or self.state is TaskState.SUBMITTED:
            raise Conflict(
                "task-closed",
                expected="an open task",
                got=f"one that is {self.state}",
                do="take another: POST /v1/tasks/next",
            )
        allowed = reader.may_adjudicate if self.reading is Reading.ADJUDICATION else reader.may_read
        if not allowed:
            raise Forbidden(
                "role-missing",
                expected="reviewer" if self.reading is Reading.ADJUDICATION else "reader",
                got="other roles",
                do="ask the project's lead",
            )
        if reader.pseudonym in self.excluded_readers:
            raise Forbidden(
                "reader-excluded",
                expected="a reader who has not seen this case's other readings, nor skipped it",
                got="you",
                do="take another: POST /v1/tasks/next",
            )
        if self.state is TaskState.RETURNED and self.reader != reader.pseudonym:
            raise Conflict(
                "task-held",
                expected="a task that waits for you",
                got="one returned to somebody else",
                do="take another: POST /v1/tasks/next",
            )
