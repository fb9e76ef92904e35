"""Which case is drawn when, and which checkpoints a model consists of."""

import numpy as np
import pytest

from training_job.sampling import epoch_order, step_rng

# weights, draws, how often each case must come (systematic sampling: the expected number, rounded up or down)
SHARES = [
    ((1, 1, 1, 1), 8, (2, 2, 2, 2)),
    ((1, 1, 2), 8, (2, 2, 4)),
    ((3, 1), 4, (3, 1)),
    ((2.5,), 5, (5,)),
]


@pytest.mark.parametrize(("weights", "draws", "counts"), SHARES)
def test_cases_come_as_often_as_their_weight_says(weights, draws, counts):
    for epoch in range(5):
        drawn = np.bincount(epoch_order(weights, draws, seed=3, epoch=epoch), minlength=len(weights))
        assert tuple(drawn) == counts


def test_shares_that_are_no_whole_numbers_are_rounded_up_or_down():
    for epoch in range(20):
        drawn = np.bincount(epoch_order((1, 1, 1), 10, seed=0, epoch=epoch), minlength=3)
        assert drawn.sum() == 10 and set(drawn.tolist()) <= {3, 4}


def test_seed_and_epoch_decide_the_order_and_nothing_else_does():
    first = epoch_order((1, 2, 3), 50, seed=1, epoch=2)
    np.random.default_rng(0).random(100)
    assert (epoch_order((1, 2, 3), 50, seed=1, epoch=2) == first).all()
    assert (epoch_order((1, 2, 3), 50, seed=1, epoch=3) != first).any()
    assert (epoch_order((1, 2, 3), 50, seed=2, epoch=2) != first).any()


def test_each_step_has_its_own_chance():
    assert step_rng(1, 5).random() == step_rng(1, 5).random()
    assert step_rng(1, 5).random() != step_rng(1, 6).random()


def test_each_of_several_processes_has_its_own_chance():
    assert step_rng(1, 5, rank=0).random() == step_rng(1, 5).random()
    assert len({step_rng(1, 5, rank).random() for rank in range(8)}) == 8
