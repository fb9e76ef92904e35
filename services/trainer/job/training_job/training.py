"""The training itself: the same plan gives the same weights bit by bit, also when killed and resumed.

All chance of a step comes from (seed, step) and all order of an epoch from (seed, epoch), so a checkpoint needs no state of
any generator: network, optimizer and the number of epochs done are the whole state.
"""

import json
import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer

from training_job.augmentation import DEFAULT_RANGES, EDGE_CASE_FACTOR, random_view
from training_job.cases import Sample
from training_job.checkpoints import Checkpoint, Checkpoints, best_epochs
from training_job.errors import Diverged
from training_job.loss import dice_binary_cross_entropy, dice_cross_entropy
from training_job.plan import Plan
from training_job.progress import Progress
from training_job.sampling import epoch_order, step_rng
from training_job.team import Team, uses_bf16

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
FLOOR = 0.02
"""Share of the learning rate that is left at the end."""
WEIGHT_DECAY = 1e-2
LARGEST_NORM = 12.0
"""Gradients are clipped to it (nnU-Net's value)."""


def learning_rate(step: int, plan: Plan) -> float:
    """Return the learning rate of a step (from 0): a linear rise, then half a cosine."""
    rise = max(1, round(plan.steps * WARM_UP))
    if step < rise:
        return plan.learning_rate * (step + 1) / rise
    done = (step - rise) / max(1, plan.steps - rise)
    return plan.learning_rate * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def epochs_of(plan: Plan) -> int:
    """Return the number of epochs; the last may be shorter."""
    return math.ceil(plan.steps / plan.epoch_steps)


class Training:
    """One run over a plan's samples.

    Parameters
    ----------
    plan : Plan
    samples : sequence of Sample
        What is trained on.
    inner : sequence of Sample
        Held out from train to choose among checkpoints; may be empty.
    network : torch.nn.Module
        With the weights the run begins from.
    checkpoints : Checkpoints
    progress : Progress
    team : Team
        The processes that train together; all are given the same of everything else.
    """

    def __init__(
        self,
        plan: Plan,
        samples: Sequence[Sample],
        inner: Sequence[Sample],
        network: torch.nn.Module,
        checkpoints: Checkpoints,
        progress: Progress,
        team: Team,
    ) -> None:
        self._plan, self._samples, self._inner = plan, samples, inner
        self._network, self._checkpoints, self._progress, self._team = network, checkpoints, progress, team
        self._joined = team.joined(network)
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=WEIGHT_DECAY)
        self._bf16 = uses_bf16(team.device, plan.patch)

    def run(self) -> tuple[list[int], list[float]]:
        """Train to the end, from the newest checkpoint if there is one.

        Returns
        -------
        chosen : list of int
            Epochs whose weights the model consists of, best first.
        losses : list of float
            Mean loss of each epoch.

        Raises
        ------
        Diverged
            The loss was not finite.
        """
        epochs, scores, losses = epochs_of(self._plan), {}, []
        if (found := self._checkpoints.newest()) is not None:
            self._network.load_state_dict(found.network)
            self._optimizer.load_state_dict(found.optimizer)
            scores, losses = found.scores, found.losses
        self._team.wait_for_all()  # before the first of them writes another checkpoint
        first = len(losses)
        if first and self._team.is_writer:
            print(json.dumps({"goes_on_after_epoch": first}), flush=True)
        for epoch in range(first, epochs):
            losses.append(self._epoch(epoch))
            if not self._team.is_writer:
                continue
            if self._inner:
                scores[epoch + 1] = self._inner_score()
            done = range(1, epoch + 2)
            self._checkpoints.save(
                Checkpoint(epoch + 1, self._network.state_dict(), self._optimizer.state_dict(), scores, losses),
                keep=[*best_epochs(done, scores, self._plan.members), epoch],
            )
        return best_epochs(range(1, epochs + 1), scores, min(self._plan.members, epochs)), losses

    def _epoch(self, epoch: int) -> float:
        plan = self._plan
        begin, end = epoch * plan.epoch_steps, min((epoch + 1) * plan.epoch_steps, plan.steps)
        weights = [sample.weight for sample in self._samples]
        order = epoch_order(weights, (end - begin) * plan.batch_size, plan.seed, epoch)
        total = 0.0
        self._network.train()
        for step in range(begin, end):
            place = (step - begin) * plan.batch_size
            loss = self._step(step, order[place : place + plan.batch_size])
            if not math.isfinite(loss):
                raise Diverged(f"the loss of step {step} is {loss}")
            total += loss
            self._progress.say("training", step + 1, epoch + 1, loss)
        return total / (end - begin)

    def _step(self, step: int, indices: np.ndarray) -> float:
        rng = step_rng(self._plan.seed, step, self._team.rank)
        indices = indices[self._team.part_of(len(indices))]
        views = [self._view(self._samples[index], rng) for index in indices]
        device = self._team.device
        images = torch.stack([image for image, _ in views])
        labels = torch.stack([label for _, label in views])
        known = torch.stack([self._samples[index].known for index in indices]).to(device)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(step, self._plan)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            logits = self._joined(images)
        if self._plan.overlapping_segments:
            loss = dice_binary_cross_entropy(logits.float(), labels, known)
        else:
            loss = dice_cross_entropy(logits.float(), labels[:, 0], known)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), LARGEST_NORM)
        self._optimizer.step()
        return self._team.mean(loss)

    def _view(self, sample: Sample, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        ranges = DEFAULT_RANGES.widened(EDGE_CASE_FACTOR) if sample.is_edge_case else DEFAULT_RANGES
        return random_view(sample.image, sample.label, self._plan.patch, rng, ranges, self._team.device)

    @torch.no_grad()
    def _inner_score(self) -> float:
        """Return the mean Dice of known segments over the inner split, in the network's space."""
        self._network.eval()
        inferer = SlidingWindowInferer(roi_size=self._plan.patch, sw_batch_size=4, padding_mode="replicate")
        dice: list[float] = []
        for sample in self._inner:
            with torch.autocast(self._team.device.type, torch.bfloat16, enabled=self._bf16):
                logits = inferer(sample.image[None].to(self._team.device), self._network)[0].cpu()
            if self._plan.overlapping_segments:
                predicted, drawn, known = logits > 0, sample.label > 0, sample.known
            else:
                values = torch.arange(1, self._plan.outputs)[:, None, None, None]
                predicted, drawn, known = logits.argmax(dim=0) == values, sample.label == values, sample.known[1:]
            for first, second in zip(predicted[known], drawn[known], strict=True):
                total = int(first.sum() + second.sum())
                dice.append(2 * int((first & second).sum()) / total if total else 1.0)
        return sum(dice) / max(1, len(dice))
