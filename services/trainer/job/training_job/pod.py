"""Run a training where nothing is shared but the object store: ``python -m training_job.pod PREFIX``.

This program and the training are two processes. This one knows the store: it brings the task, what it names and an earlier
pod's checkpoints into the working directory, and takes progress, checkpoints and the result back while the training works.
The training knows files only, and is started without the store's address and keys.

Exit codes are the training's; 143 when told to end, after the newest checkpoint was taken to the store.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from radloop.errors import PermanentError, TemporaryError
from radloop.objects import Objects, open_objects
from radloop.objects.shelf import Shelf
from radloop.references import ObjectRef
from training_job.errors import BadPlan
from training_job.files import write_json
from training_job.mirror import Mirror
from training_job.result import write_failure

MIRROR_INTERVAL_S = 2.0
STORE_PATIENCE_S = 300.0
"""How long a store that is away is waited for, before the work and after it."""
OBJECTS_URL = "RADLOOP_OBJECTS_URL"


def main(arguments: list[str]) -> int:
    """Carry out the task on the shelf at the only argument; return the exit code."""
    if len(arguments) != 1 or not os.environ.get(OBJECTS_URL):
        print(f"usage: {OBJECTS_URL}=… python -m training_job.pod PREFIX", file=sys.stderr)
        return 2
    folder = Path.cwd() / "run"
    objects = open_objects(os.environ[OBJECTS_URL], Path.cwd())
    mirror = Mirror(folder, Shelf(objects, arguments[0]))
    told_to_end = _Ending()
    try:
        _patiently(mirror.fetch)
        _patiently(lambda: _bring(objects, folder))
        code = _train(folder, mirror, told_to_end)
    except BadPlan as error:
        write_failure(folder, "", error)
        print(str(error), file=sys.stderr)
        code = error.exit_code
    _patiently(mirror.push_all)
    return code


class _Ending:
    """Whether this process was told to end (SIGTERM: evicted, cancelled); the training is told, too."""

    def __init__(self) -> None:
        self.asked = False
        self.training: subprocess.Popen[bytes] | None = None
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True
        if self.training is not None:
            self.training.terminate()


def _bring(objects: Objects, folder: Path) -> None:
    """Bring the objects a task names here; write the task as the training reads it.

    Raises
    ------
    BadPlan
        There is no task, or an object it names is gone or damaged.
    TemporaryError
        The store is away.
    """
    try:
        task = json.loads((folder / "shelved-task.json").read_bytes())
        references = [ObjectRef(each["key"], each["digest"], 0) for each in task["objects"]]
        hold = folder / "objects"
        places = {ref.key: str(objects.path(ref, hold)) for ref in references}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPlan(f"the task cannot be read: {type(error).__name__}") from error
    except PermanentError as error:
        raise BadPlan(f"an object the plan names is gone or damaged: {error.code}") from error
    write_json(folder / "task.json", task | {"objects": places, "output": "."})


def _train(folder: Path, mirror: Mirror, ending: _Ending) -> int:
    """Run the training; return its exit code as a shell would."""
    secret = (OBJECTS_URL, "AWS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(secret)}
    training = subprocess.Popen([sys.executable, "-m", "training_job", str(folder / "task.json")], env=environment)
    ending.training = training
    if ending.asked:  # in the moment before
        training.terminate()
    while True:
        try:
            code = training.wait(MIRROR_INTERVAL_S)
        except subprocess.TimeoutExpired:
            try:
                mirror.push()
            except TemporaryError as error:  # the next look tries again; the training need not wait
                print(json.dumps({"store": error.code}), file=sys.stderr, flush=True)
        else:
            return code if code >= 0 else 128 - code


def _patiently(work: Callable[[], None]) -> None:
    deadline = time.monotonic() + STORE_PATIENCE_S
    while True:
        try:
            work()
            return
        except TemporaryError as error:
            if time.monotonic() + error.delay_s > deadline:
                raise
            print(json.dumps({"store": error.code}), file=sys.stderr, flush=True)
            time.sleep(error.delay_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
