"""Run a training: ``python -m training_job PLAN.json``.

Exit codes: 0 a model, 2 wrong call, 3 the plan cannot be carried out, 4 the loss was not finite; anything else is a crash
and worth another start, which goes on from the newest checkpoint.
"""

import json
import os
import sys
import traceback
from pathlib import Path

from training_job.errors import TrainingError
from training_job.plan import read_task
from training_job.processes import is_one_of_several, rank, run_together
from training_job.result import RESULT, describe, is_done, write_failure


def main(arguments: list[str]) -> int:
    """Carry out the task file named by the only argument; return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m training_job PLAN.json", file=sys.stderr)
        return 2
    path = Path(arguments[0]).resolve()
    plan_digest, output = "", path.parent
    try:
        task = read_task(path)
        plan_digest, output = task.plan_digest, task.output
        output.mkdir(parents=True, exist_ok=True)
        if is_done(output / RESULT, plan_digest):
            return 0
        if task.plan.processes > 1 and not is_one_of_several():
            return run_together(task.plan.processes, path, output)
        # Torch reads it at import, and importing torch and MONAI takes seconds: a bad plan is told at once.
        os.environ["OMP_NUM_THREADS"] = str(task.plan.threads)
        # Measured on two cores shared with other processes: threads that spin while they wait cost twice the time.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        from training_job.job import run

        torch.set_num_threads(task.plan.threads)
        if rank() == 0:
            print(json.dumps(describe(task)), flush=True)
        run(task)
    except TrainingError as error:
        if rank() == 0:
            write_failure(output, plan_digest, error)
            print(str(error), file=sys.stderr)
        return error.exit_code
    # What nobody foresaw may quote the data in its text; the log gets its kind and its places.
    except Exception as error:
        places = [f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
        print(json.dumps({"error": type(error).__name__, "at": places[-8:]}), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
