"""What a run's job waits for, and what of the scheduler's words about it may leave the site.

No free text enters an event. The Kubernetes scheduler writes a message of set phrases, into which it puts names: of taints, volumes,
claims, now and then of machines. So the phrases are listed here with what they may carry (a count, the kind of a resource), and
whatever is not listed stays behind, where ``GET /v1/runs/{run_id}`` shows all of it.
"""

import re

from trainer.domain.messages import TrainingWait
from trainer.domain.model import Wait

MAX_SAID = 300
"""Longest text that is said, in characters."""

_HEAD = re.compile(r"\d+/\d+ nodes are available|no nodes available to schedule pods")
_RESOURCE = r"[a-z0-9](?:[a-z0-9./-]{0,98}[a-z0-9])?"
_SHORTAGE = re.compile(
    rf"\d+ (?:Insufficient {_RESOURCE}|Too many pods|node\(s\) (?:"
    r"were unschedulable|had untolerated taint(?:\(s\))?"
    r"|didn't match Pod's node affinity/selector|didn't match pod affinity rules|didn't match pod anti-affinity rules"
    r"|didn't satisfy existing pods anti-affinity rules|didn't match pod topology spread constraints"
    r"|didn't have free ports for the requested pod ports|had volume node affinity conflict"
    r"|didn't find available persistent volumes to bind|exceed max volume count"
    r"))(?=, |\.(?: |$)| \{)"  # a phrase cut short is none
)


def scheduler_said(detail: str) -> str:
    """Return the part of a scheduler's message that may leave the site; empty when there is none.

    Parameters
    ----------
    detail
        E.g. ``Unschedulable: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: ...``; what it thinks of
        preemption is left out.

    References
    ----------
    Phrases: kubernetes/kubernetes, pkg/scheduler/framework/types.go (``FitError.Error``) and pkg/scheduler/framework/plugins.
    """
    found = _HEAD.search(detail)
    if found is None:
        return ""
    said, sep = found.group(), ": "
    for shortage in _SHORTAGE.findall(detail[found.end() :].split("preemption:")[0]):
        if len(said) + len(sep) + len(shortage) < MAX_SAID:
            said, sep = said + sep + shortage, ", "
    return f"{said}."


def wait_after(before: Wait | None, waits_for: TrainingWait, detail: str, now: float) -> Wait:
    """Return what a run waits for after a look at its job; ``before`` itself when that is no other reason.

    Machines come and go while a job waits: other counts alone are no other reason.

    Parameters
    ----------
    detail
        What the engine says about the wait.
    now
        Seconds since the epoch.
    """
    said = scheduler_said(detail) if waits_for is TrainingWait.MACHINE else ""
    if before is None:
        return Wait(waits_for, said, int(now))
    if (before.waits_for, _kinds(before.scheduler_said)) == (waits_for, _kinds(said)):
        return before
    return Wait(waits_for, said, before.since_s)


def _kinds(said: str) -> set[str]:
    """Return the phrases without their counts; the scheduler sorts them with the counts."""
    return {re.sub(r"[\d/]+ ", "", phrase, count=1) for phrase in re.split(r"[:,] ", said.removesuffix("."))}
