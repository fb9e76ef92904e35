"""How well, and how fast, does each selection strategy rank a pool?

    python benchmarks/selection.py [--events FOLDER] [--pools N] [--seed S]

Quality: recall@10 % (how many of the worst tenth are among the tenth ranked first; chance 0.10) and AURC as gain over
chance (0 at chance, 1 for a perfect order), on synthetic pools, whose truth is made up, and, with ``--events`` (a folder with
a run's ``events.db``), on the predictions of that run whose labels were approved since. Those are mostly flagged cases, so
figures of a run compare strategies with one another and say little about a whole pool.
Speed: seconds from the members of a pool to its batch, of a pool of 10 000 and of 100 000 cases.
Prints Markdown tables; nothing else depends on this program.
"""

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_miner.adapters.wire import WIRE
from edge_miner.domain.batch import BatchPolicy, Frame, compose_batch
from edge_miner.domain.failure_detection import aurc, recall_at
from edge_miner.domain.messages import LabelApproved, PredictionMade
from edge_miner.domain.pool import Pool, PoolMember
from edge_miner.domain.sanity import examine
from edge_miner.domain.strategies import STRATEGIES
from radloop.events import open_event_log, read_on

ALWAYS_PRESENT = (1, 2)
LEAST_LABELLED = 20
"""Labelled cases of one model below which a recall@10 % would count one or two cases."""


def synthetic_pool(count: int, seed: int) -> tuple[list[PoolMember], dict[str, float]]:
    """Make up a pool and its truth.

    Nine tenths of the cases have a Dice about 0.87, the rest a long tail below. Both scores see the risk through noise of
    their own; gross failures (2 %) lose or gain volume, 0.5 % come out empty, 0.5 % do not come out at all.

    Returns
    -------
    list of PoolMember, dict of case id to risk (1 - Dice)
    """
    chance = np.random.default_rng(seed)
    risk = np.clip(
        np.where(chance.random(count) < 0.9, chance.normal(0.13, 0.03, count), chance.gamma(3, 0.12, count)), 0.02, 1
    )
    fate = chance.random(count)
    gross, empty, failed = fate < 0.02, (fate >= 0.02) & (fate < 0.025), (fate >= 0.025) & (fate < 0.03)
    risk = np.where(gross, np.maximum(risk, chance.uniform(0.4, 0.9, count)), risk)
    risk = np.where(empty | failed, 1.0, risk)
    volume = 3 * np.exp(chance.normal(0, 0.15, count)) * np.where(gross, np.exp(chance.choice([-1.5, 1.5], count)), 1)
    entropy = 0.2 + 0.3 * risk + chance.normal(0, 0.04, count)
    disagreement = np.clip(0.6 * risk + chance.normal(0, 0.05, count), 0, 1)
    parts = 1 + chance.poisson(0.1 + 2 * gross)
    members = []
    for n in range(count):
        scores = {} if failed[n] else {"foreground-entropy": float(entropy[n] * (0.1 if empty[n] else 1))}
        if not failed[n]:
            scores |= {"pairwise-dice": float(disagreement[n]), "components-segment-1": float(parts[n])}
        volumes = {} if failed[n] else {"segment-1-ml": 0.0 if empty[n] else float(volume[n]), "segment-2-ml": 2.0}
        members.append(
            PoolMember(f"{n:06d}", f"study-{n}", f"patient-{n // 2}", bool(failed[n]), scores, volumes, str(n))
        )
    return members, {f"{n:06d}": float(risk[n]) for n in range(count)}


def pools_of_run(folder: Path) -> Iterator[tuple[str, list[PoolMember], dict[str, float]]]:
    """Yield (model, members, risks) of each model of a run whose predictions got enough approved labels."""
    log = open_event_log(f"sqlite:///{folder / 'events.db'}")
    made: dict[str, PredictionMade] = {}
    dices: dict[str, float] = {}
    for topic in ("prediction-made", "label-approved"):
        for stored in read_on(log, topic, {}):
            event = WIRE.decode(stored.record)
            if isinstance(event, PredictionMade):
                made[event.prediction_id] = event
            elif isinstance(event, LabelApproved) and event.prediction_dice:
                dices[event.prediction_id] = float(np.mean([score.value for score in event.prediction_dice]))
    log.close()
    by_model: dict[str, list[PoolMember]] = defaultdict(list)
    for prediction_id in sorted(dices.keys() & made.keys()):
        event = made[prediction_id]
        by_model[event.model_digest].append(
            PoolMember(
                event.case_id,
                event.study_key,
                event.study_key,
                False,
                {score.name: score.value for score in event.scores},
                {score.name: score.value for score in event.volumes},
                prediction_id,
            )
        )
    for model, members in by_model.items():
        if len(members) >= LEAST_LABELLED:
            yield model, members, {member.case_id: 1 - dices[member.prediction_id] for member in members}


def quality(members: Sequence[PoolMember], risks: dict[str, float], seed: int) -> dict[str, tuple[float, float]]:
    """Return recall@10 % and the gain in AURC of each strategy on one pool."""
    pool = Pool.of(members)
    risk = np.array([risks[member.case_id] for member in pool.members])
    sanity = examine(pool, ALWAYS_PRESENT)
    result = {}
    for name, strategy in STRATEGIES.items():
        place = np.empty(len(pool))
        place[strategy(pool, sanity, seed).order] = np.arange(len(pool))
        result[name] = recall_at(-place, risk, 0.1, seed), aurc(-place, risk).gain
    return result


def seconds_to_batch(count: int, strategy: str) -> float:
    """Return the seconds from the members of a pool to its whole ledger, the best of three."""
    members, _ = synthetic_pool(count, seed=0)
    per_patient: dict[str, int] = defaultdict(int)
    for member in members:
        per_patient[member.patient_key] += 1
    frame, policy = Frame(per_patient), BatchPolicy(strategy, 100, 0.1)
    best = math.inf
    for _ in range(3):
        began = time.perf_counter()
        compose_batch(Pool.of(members), policy, ALWAYS_PRESENT, frame, seed=1)
        best = min(best, time.perf_counter() - began)
    return best


def table(title: str, results: Sequence[dict[str, tuple[float, float]]]) -> str:
    """Return mean and standard deviation over pools as a Markdown table."""
    rows = [f"**{title}**", "", "| strategy | recall@10 % | AURC, gain over chance |", "|---|---|---|"]
    for name in STRATEGIES:
        figures = np.array([result[name] for result in results])
        cells = [f"{mean:.2f} ± {sd:.2f}" for mean, sd in zip(figures.mean(axis=0), figures.std(axis=0), strict=True)]
        rows.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=Path, help="folder with a run's events.db")
    parser.add_argument("--pools", type=int, default=20, help="synthetic pools of 500 cases")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    synthetic = [
        quality(*synthetic_pool(500, seed), seed) for seed in range(arguments.seed, arguments.seed + arguments.pools)
    ]
    print(table(f"{arguments.pools} synthetic pools of 500 cases (mean ± sd over pools)", synthetic))
    if arguments.events:
        for model, members, risks in pools_of_run(arguments.events):
            # Only the ties and the random order depend on the seed.
            real = [quality(members, risks, seed) for seed in range(20)]
            print(
                f"\n{table(f'Model {model[:19]}, {len(members)} labelled cases (mean ± sd over seeds of ties)', real)}"
            )
    print(
        "\n**Seconds from a pool to its batch and ledger**\n\n| strategy | 10 000 cases | 100 000 cases |\n|---|---|---|"
    )
    for name in STRATEGIES:
        print(f"| {name} | {seconds_to_batch(10_000, name):.2f} | {seconds_to_batch(100_000, name):.2f} |")


if __name__ == "__main__":
    main()
