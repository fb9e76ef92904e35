"""From a task file to a result: the order of things, and what is written when they go wrong."""

import io
import time
import zipfile
from pathlib import Path

import torch

from training_job.bundle import pack
from training_job.cases import Case, prepare, read_case
from training_job.checkpoints import Checkpoints
from training_job.errors import BadPlan
from training_job.evaluation import Rows, evaluate
from training_job.files import digest_of, write_json, write_whole
from training_job.network import build, network_definition
from training_job.plan import Task
from training_job.progress import Progress
from training_job.result import is_done
from training_job.team import join, leave, uses_bf16
from training_job.training import Training, epochs_of


def run(task: Task) -> None:
    """Carry a task out; afterwards ``bundle.zip`` and ``result.json`` lie in its output folder.

    A task that was carried out before is left as it is. A task that was killed goes on from its newest checkpoint.

    Raises
    ------
    TrainingError
        The plan cannot be carried out, or the loss was not finite.
    """
    result_file = task.output / "result.json"
    if is_done(result_file, task.plan_digest):
        return
    plan = task.plan
    team = join(plan, task.output)
    torch.manual_seed(plan.seed)
    # The promise of the same bits is the CPU's: on a GPU some operations have no deterministic form.
    torch.use_deterministic_algorithms(True, warn_only=team.device.type != "cpu")
    progress = Progress.begin(task.output / "progress.json", plan.steps, epochs_of(plan), is_writer=team.is_writer)
    progress.say("loading", 0, 0, None, now=True)

    cases = {item.case_id: read_case(item, task) for item in plan.items}
    channels = next(iter(cases.values())).image.shape[0]
    prepared = {item.case_id: prepare(cases[item.case_id], plan) for item in plan.of_split("train")}
    held_out = [item for item in plan.of_split("train") if item.patient_key in plan.inner_patients]
    inner = [prepared[item.case_id] for item in held_out]
    samples = [prepared[item.case_id] for item in plan.of_split("train") if item not in held_out]

    network = build(network_definition(channels, plan.outputs))
    if plan.warm_start:
        _start_from(network, task)
    checkpoints = Checkpoints(task.output / "checkpoints", task.plan_digest)
    chosen, losses = Training(plan, samples, inner, network, checkpoints, progress, team).run()
    leave(team)
    if not team.is_writer:
        return
    members = [checkpoints.weights(epoch) for epoch in chosen]
    # The window is the patch: instance normalisation that sees more than in training costs two points of Dice, measured.
    bundle = pack(plan, task.plan_digest, channels=channels, window=plan.patch, members=members)
    bundle_file = task.output / "bundle.zip"
    write_whole(bundle_file, bundle)

    rows = _measure(task, bundle_file, cases, progress, losses[-1], team.device)
    result = {
        "plan_digest": task.plan_digest,
        "outcome": "model",
        "bundle": bundle_file.name,
        "bundle_digest": digest_of(bundle),
        **rows,
        "chosen_epochs": chosen,
        "losses": losses,
        "precision": "bf16" if uses_bf16(team.device, plan.patch) else "fp32",
        "duration_s": time.time() - progress.started_at,
    }
    progress.say("done", plan.steps, epochs_of(plan), losses[-1], now=True)
    write_json(result_file, result)


def _start_from(network: torch.nn.Module, task: Task) -> None:
    """Load the first weights of the serving bundle.

    Raises
    ------
    BadPlan
        They are not there or belong to another network.
    """
    serving = task.plan.serving
    if serving is None:
        raise BadPlan("expected a serving model to start from")
    try:
        with zipfile.ZipFile(io.BytesIO(task.read(serving))) as archive:
            weights = torch.load(io.BytesIO(archive.read("models/model.pt")), map_location="cpu", weights_only=True)
        network.load_state_dict(weights)
    except (zipfile.BadZipFile, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise BadPlan(f"the weights to start from do not fit: {type(error).__name__}") from error


def _measure(
    task: Task, bundle_file: Path, cases: dict[str, Case], progress: Progress, loss: float, device: torch.device
) -> dict[str, Rows]:
    """Measure the new model on validation and test, the serving one on validation."""
    plan = task.plan
    values = sorted(plan.segments)
    validation = [cases[item.case_id] for item in plan.of_split("validation")]
    test = [cases[item.case_id] for item in plan.of_split("test")]

    def done() -> None:
        progress.say("evaluating", plan.steps, epochs_of(plan), loss)

    serving: Rows = []
    if plan.serving is not None:
        serving_file = task.output / "serving.zip"
        write_whole(serving_file, task.read(plan.serving))
        serving = evaluate(serving_file, validation, values, done, device)
    return {
        "validation_dice": evaluate(bundle_file, validation, values, done, device),
        "serving_validation_dice": serving,
        "test_dice": evaluate(bundle_file, test, values, done, device),
    }
