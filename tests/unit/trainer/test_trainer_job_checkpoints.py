"""Checkpoints: the newest whole one counts; which ones make the model."""

from pathlib import Path

import pytest
import torch

from training_job.checkpoints import Checkpoint, Checkpoints, best_epochs


def checkpoint(epoch: int) -> Checkpoint:
    weights = {"w": torch.full((3,), float(epoch))}
    return Checkpoint(epoch=epoch, network=weights, optimizer={"lr": 0.1}, scores={}, losses=[1.0] * epoch)


def test_without_a_checkpoint_there_is_none(tmp_path: Path):
    assert Checkpoints(tmp_path / "c", "sha256:1").newest() is None


def test_the_newest_counts_and_old_ones_go(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, "sha256:1")
    for epoch in (1, 2, 3):
        checkpoints.save(checkpoint(epoch), keep=[epoch - 1])
    found = checkpoints.newest()
    assert found is not None and found.epoch == 3 and found.losses == [1.0] * 3
    assert len(list(tmp_path.iterdir())) == 2
    assert checkpoints.weights(2)["w"].tolist() == [2.0] * 3
    with pytest.raises(FileNotFoundError):
        checkpoints.weights(1)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: str):
    checkpoints = Checkpoints(tmp_path, "sha256:1")
    checkpoints.save(checkpoint(1), keep=[])
    checkpoints.save(checkpoint(2), keep=[1])
    newest = max(tmp_path.iterdir())
    data = newest.read_bytes()
    newest.write_bytes({"cut": data[: len(data) // 2], "changed": data[:-1] + b"\x00\x01", "empty": b""}[damage])
    found = checkpoints.newest()
    assert found is not None and found.epoch == 1


def test_checkpoints_of_another_plan_are_passed_over(tmp_path: Path):
    Checkpoints(tmp_path, "sha256:1").save(checkpoint(4), keep=[])
    assert Checkpoints(tmp_path, "sha256:2").newest() is None


def test_an_unfinished_file_is_no_checkpoint(tmp_path: Path):
    (tmp_path / "epoch-00009-0123456789abcdef.pt.new").write_bytes(b"half")
    assert Checkpoints(tmp_path, "sha256:1").newest() is None


@pytest.mark.parametrize(
    ("scores", "count", "best"),
    [
        ({}, 2, [4, 3]),
        ({1: 0.8, 2: 0.9, 3: 0.7, 4: 0.85}, 3, [2, 4, 1]),
        ({1: 0.8, 2: 0.8, 3: 0.8, 4: 0.8}, 1, [4]),
        ({}, 9, [4, 3, 2, 1]),
    ],
)
def test_the_best_epochs_are_the_last_unless_scores_say_otherwise(scores, count, best):
    assert best_epochs(range(1, 5), scores, count) == best
