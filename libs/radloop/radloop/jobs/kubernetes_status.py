"""What the state of a Kubernetes Job and of its pods means for a run. Pure functions of what the API server said."""

from collections.abc import Sequence
from typing import Any

from radloop.jobs.manifest import CONTAINER
from radloop.jobs.port import JobState, JobStatus, WaitsFor

NO_POD_AFTER_S = 20.0
"""A Job that has had no pod for so long is not getting one: a quota or an admission rule refuses it."""

_OF_JOB = "batch.kubernetes.io/controller-uid"
_ENDED = ("Succeeded", "Failed")
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_CONFIGURATION = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


def has_failed(job: Any) -> bool:
    """Whether a Job (V1Job) has ended as failed; no pod of it runs then."""
    return _condition(job.status, "Failed") is not None


def status_of(job: Any, pods: Sequence[Any], now: float) -> JobStatus:
    """Read a Job.

    Parameters
    ----------
    job : kubernetes.client.V1Job or None
    pods : sequence of kubernetes.client.V1Pod
        Of the run, oldest first; also those of an earlier Job.
    now : float
        Seconds since 1970.
    """
    if job is None:
        ends = any(pod.status.phase not in _ENDED for pod in pods)
        return JobStatus(JobState.RUNNING if ends else JobState.UNKNOWN)
    pods = [pod for pod in pods if (pod.metadata.labels or {}).get(_OF_JOB) == job.metadata.uid]
    if _condition(job.status, "Complete"):
        return JobStatus(JobState.SUCCEEDED, 0)
    if failed := _condition(job.status, "Failed"):
        return JobStatus(JobState.FAILED, _exit_code(pods), detail=_said(failed))
    if job.spec.suspend:
        return _waits(WaitsFor.QUEUE, _said(_condition(job.status, "Suspended")))
    living = [pod for pod in pods if pod.status.phase not in _ENDED]
    if any(pod.status.phase == "Running" for pod in living):
        return JobStatus(JobState.RUNNING)
    if living:
        return _wait_of(living[-1])
    if not pods and now - job.metadata.creation_timestamp.timestamp() > NO_POD_AFTER_S:
        return _waits(
            WaitsFor.CONFIGURATION, f"no pod is made: kubectl describe job {job.metadata.name} says what refuses it"
        )
    return _waits(WaitsFor.START, "")


def _wait_of(pod: Any) -> JobStatus:
    """Say why a pod does not run yet."""
    scheduled = _condition(pod.status, "PodScheduled", "False")
    if scheduled is not None:
        gated = scheduled.reason == "SchedulingGated"
        return _waits(WaitsFor.QUEUE if gated else WaitsFor.MACHINE, _said(scheduled))
    waiting = next((state.waiting for state in _container_states(pod) if state.waiting), None)
    if waiting is not None and waiting.reason in _IMAGE:
        return _waits(WaitsFor.IMAGE, _said(waiting))
    if waiting is not None and waiting.reason in _CONFIGURATION:
        return _waits(WaitsFor.CONFIGURATION, _said(waiting))
    return _waits(WaitsFor.START, "")


def _waits(what: WaitsFor, detail: str) -> JobStatus:
    return JobStatus(JobState.WAITING, waits_for=what, detail=detail)


def _exit_code(pods: Sequence[Any]) -> int | None:
    """Return the exit code of the pod that ended last; None when none ended by itself (deadline, deleted)."""
    ended = [state.terminated for pod in pods for state in _container_states(pod) if state.terminated]
    return int(ended[-1].exit_code) if ended else None


def _container_states(pod: Any) -> list[Any]:
    return [each.state for each in pod.status.container_statuses or () if each.name == CONTAINER and each.state]


def _condition(status: Any, kind: str, value: str = "True") -> Any:
    conditions = (status.conditions or ()) if status else ()
    return next((each for each in conditions if each.type == kind and each.status == value), None)


def _said(what: Any) -> str:
    """Return a reason and message of the cluster in one line of bearable length."""
    if what is None:
        return ""
    parts = [part for part in (what.reason, what.message) if part]
    return " ".join(": ".join(parts).split())[:500]
