"""The state table of runs: every state with every step."""

import itertools
import uuid

import pytest

from radloop.errors import IllegalTransition
from trainer.domain.model import ACTIVE, UNFINISHED, Run, RunState, Step, bundle_key, run_id_of

Q, R, T, A, F, C = (
    RunState.QUEUED,
    RunState.RUNNING,
    RunState.TRAINED,
    RunState.ANSWERED,
    RunState.FAILED,
    RunState.CANCELLED,
)
EXPECTED = {
    #          START SUCCEED ANSWER FAIL CANCEL
    Q: (R, None, None, F, C),
    R: (R, T, None, F, C),
    T: (None, T, A, None, None),
    A: (None, A, A, None, None),
    F: (None, None, None, F, None),
    C: (None, None, None, None, C),
}


def run(state: RunState) -> Run:
    return Run("run-1", "p", 1, "sha256:d", "sha256:p", "{}", "model", "", state=state)


@pytest.mark.parametrize(("state", "step"), list(itertools.product(RunState, Step)))
def test_every_state_with_every_step(state: RunState, step: Step) -> None:
    expected = EXPECTED[state][list(Step).index(step)]
    if expected is None:
        with pytest.raises(IllegalTransition, match="run-step-illegal"):
            run(state).after(step)
    else:
        assert run(state).after(step) == run(expected)


def test_the_next_run_waits_for_the_answer_to_the_last() -> None:
    assert set(ACTIVE) == {Q, R}
    assert set(UNFINISHED) == {Q, R, T}


def test_a_run_has_one_identity_for_site_project_and_number() -> None:
    ids = {run_id_of(site, project, number) for site in "st" for project in ("p", "q") for number in (1, 2)}
    assert len(ids) == 8 and all(uuid.UUID(run_id).version == 5 for run_id in ids)
    assert run_id_of("s", "p", 1) == run_id_of("s", "p", 1)


def test_a_bundle_lies_under_its_projects_own_prefix() -> None:
    assert bundle_key("p", "sha256:ab12") == "trainer/p/models/ab12.zip"
