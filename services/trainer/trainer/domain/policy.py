"""When a run starts."""

from dataclasses import dataclass

from trainer.domain.messages import TrainingPolicy


@dataclass(frozen=True, slots=True)
class Situation:
    """What the policy looks at.

    Attributes
    ----------
    unfinished : bool
        Whether a run of the project is queued, running, or waits for `inference`'s answer.
    runs : int
        Runs so far, failed ones included.
    train_labels, validation_labels : int
        Approved labels in each split.
    new_labels : int
        Approved training labels that no run has used.
    since_last_s : float
        Seconds since the last approval of one of those; 0 when there is none.
    requested : bool
        Whether a person waits for a run.
    """

    unfinished: bool
    runs: int
    train_labels: int
    validation_labels: int
    new_labels: int
    since_last_s: float
    requested: bool


def is_due(situation: Situation, policy: TrainingPolicy) -> bool:
    """Whether a run starts now.

    A person's request needs labels and no other run; the policy also needs enough new labels, or some and quiet, and ends
    after ``max_runs``.
    """
    if situation.unfinished or not situation.train_labels:
        return False
    if situation.requested:
        return True
    if policy.max_runs and situation.runs >= policy.max_runs:
        return False
    if situation.validation_labels < policy.min_validation_labels:
        return False
    if situation.new_labels >= policy.new_labels:
        return True
    return bool(policy.quiet_s and situation.new_labels and situation.since_last_s >= policy.quiet_s)
