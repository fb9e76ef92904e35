"""What of a scheduler's words leaves the site, and what counts as another reason to wait."""

import pytest

from trainer.domain.messages import TrainingWait
from trainer.domain.model import Wait
from trainer.domain.waiting import MAX_SAID, scheduler_said, wait_after

NO_GPU = "Unschedulable: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        (NO_GPU, "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."),
        (
            "Unschedulable: 0/4 nodes are available: 1 node(s) had untolerated taint {for: team-of-dr-who}, 1 node(s) were"
            " unschedulable, 2 Insufficient cpu, 3 Insufficient nvidia.com/mig-1g.10gb. preemption: 0/4 nodes are"
            " available: 1 Preemption is not helpful for scheduling, 3 Insufficient memory.",
            "0/4 nodes are available: 1 node(s) had untolerated taint, 1 node(s) were unschedulable, 2 Insufficient cpu,"
            " 3 Insufficient nvidia.com/mig-1g.10gb.",
        ),
        ("0/1 nodes are available: 1 node(s) had untolerated taint(s).", "0/1 nodes are available: 1 node(s) had untolerated taint(s)."),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: none",
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
        ),
        ("Unschedulable: no nodes available to schedule pods", "no nodes available to schedule pods."),
        ('0/2 nodes are available: persistentvolumeclaim "smith-john" not found.', "0/2 nodes are available."),
        ('nodeinfo not found for node name "ward-7-smith"', ""),
        ("0/9 nodes are available: 9 Insufficient nvidia.com/g", "0/9 nodes are available."),
        ("", ""),
    ],
)  # fmt: skip
def test_only_set_phrases_leave_the_site(detail: str, said: str) -> None:
    assert scheduler_said(detail) == said


def test_what_is_said_has_an_end() -> None:
    many = ", ".join(f"{number} Insufficient example.org/{'x' * 60}{number}" for number in range(1, 9))
    said = scheduler_said(f"0/9 nodes are available: {many}.")
    assert said.count("Insufficient") == 3 and len(said) <= MAX_SAID


def test_other_counts_are_no_other_reason() -> None:
    machine = TrainingWait.MACHINE
    first = wait_after(None, machine, NO_GPU, 7.9)
    assert first == Wait(machine, "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.", 7)
    more = "0/12 nodes are available: 1 node(s) were unschedulable, 11 Insufficient nvidia.com/gpu."
    assert wait_after(first, machine, NO_GPU.replace("2", "12"), 8.0) is first
    second = wait_after(first, machine, more, 9.0)
    assert (second.scheduler_said, second.since_s) == (more, 7)
    # The scheduler sorts its phrases with their counts.
    turned = "0/12 nodes are available: 10 Insufficient nvidia.com/gpu, 2 node(s) were unschedulable."
    assert wait_after(second, machine, turned, 10.0) is second


def test_only_what_the_scheduler_says_about_machines_is_said() -> None:
    wait = wait_after(None, TrainingWait.IMAGE, "ErrImagePull: 0/1 nodes are available: 1 Insufficient cpu.", 1.0)
    assert wait == Wait(TrainingWait.IMAGE, "", 1)
