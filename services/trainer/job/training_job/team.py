"""The processes that train together, as each of them sees them; most often it is alone.

Each takes its part of every batch; gradients are averaged over them (`torch.nn.parallel.DistributedDataParallel`), so that all
have the same weights after every step. The first one writes; what it writes does not say how many they were.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from bundle_runner.processor import fast_bf16
from training_job.network import SHRINKS_BY
from training_job.plan import Plan
from training_job.processes import MEETING_PLACE, is_one_of_several, rank

_PATIENCE = timedelta(hours=2)
"""The others wait so long for the first, which alone measures the inner split; a process that died is noticed by who started it."""


@dataclass(frozen=True, slots=True)
class Team:
    """Who trains.

    Attributes
    ----------
    rank, size : int
        This process's number, from 0, and how many there are.
    device : torch.device
        This process's GPU where there are enough for all, else the CPU.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_writer(self) -> bool:
        """Whether this process writes progress, checkpoints and result."""
        return self.rank == 0

    def part_of(self, batch: int) -> slice:
        """Return which of a batch's views are this process's."""
        part = batch // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def joined(self, network: torch.nn.Module) -> torch.nn.Module:
        """Return a network on this process's device whose gradients are averaged over the team; it shares the weights."""
        network.to(self.device)
        if self.size == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        joined: torch.nn.Module = DistributedDataParallel(network, device_ids=devices)
        return joined

    def mean(self, value: torch.Tensor) -> float:
        """Return the mean of a scalar over the team: the same number for all of them."""
        value = value.detach()
        if self.size > 1:
            distributed.all_reduce(value)
            value = value / self.size
        return float(value)

    def wait_for_all(self) -> None:
        """Return when every process is here."""
        if self.size > 1:
            distributed.barrier()


def join(plan: Plan, folder: Path) -> Team:
    """Find the others, if there are any.

    Parameters
    ----------
    plan
        Says how many there are.
    folder
        Of the run; they meet by a file in it.
    """
    if plan.processes > 1 and not is_one_of_several():
        raise RuntimeError("expected the processes of the plan, started together: python -m training_job starts them")
    device = torch.device("cuda", rank()) if torch.cuda.device_count() >= plan.processes else torch.device("cpu")
    if plan.processes == 1:
        return Team(0, 1, device)
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo")  # they are all here, and a pod's own name need not have an address
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{folder / MEETING_PLACE}",
        rank=rank(),
        world_size=plan.processes,
        timeout=_PATIENCE,
    )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return Team(rank(), plan.processes, device)


def uses_bf16(device: torch.device, patch: Sequence[int]) -> bool:
    """Whether to multiply in bfloat16: where the hardware does, it is some times as fast.

    On CPUs only where the deepest feature maps of a patch (voxels along each axis) have three voxels along each: torch 2.15 takes
    the gradient of a convolution's weights from memory that nobody has written to when there are fewer.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return fast_bf16() and min(patch) // SHRINKS_BY >= 3


def leave(team: Team) -> None:
    """Part from the others."""
    if team.size > 1:
        distributed.destroy_process_group()
