"""From a ledger to what is said: one event for each flagged case, and the round it belongs to."""

from collections.abc import Mapping, Sequence

from edge_miner.domain.batch import Line
from edge_miner.domain.messages import EdgeCaseFlagged
from edge_miner.domain.model import Project, Round, RoundKind, RoundState, round_seed
from edge_miner.domain.pool import PoolMember
from edge_miner.ports import UnitOfWork
from radloop.messages import Message
from radloop.references import Arm, Score


def new_round(project: Project, round_id: str, kind: RoundKind, number: int, model: str, now: float) -> Round:
    """Return a project's next round, announced, by the policy as it stands now."""
    selection = project.selection
    return Round(
        round_id=round_id,
        project_id=project.project_id,
        kind=kind,
        round_number=number,
        state=RoundState.ANNOUNCED,
        model_digest=model,
        seed=round_seed(selection.seed, round_id),
        strategy="random" if kind is RoundKind.COLD_START else selection.strategy,
        batch_size=selection.batch_size,
        control_fraction=selection.control_fraction,
        pool_sample=selection.pool_sample,
        opened_at=now,
    )


def say_flags(each: Round, lines: Sequence[Line], members: Mapping[str, PoolMember], uow: UnitOfWork) -> list[Message]:
    """Mark the flagged cases as open, and return one event for each, most urgent first."""
    flagged = sorted((line for line in lines if line.arm is not None), key=lambda line: line.rank)
    uow.cases.open([line.case_id for line in flagged], each.round_id)
    said: list[Message] = []
    for line in flagged:
        assert line.arm is not None
        member = members[line.case_id]
        predicted = bool(member.prediction_id) and not member.failed
        scores = {**member.scores, **line.computed}
        said.append(
            EdgeCaseFlagged(
                round_id=each.round_id,
                round_number=each.round_number,
                case_id=line.case_id,
                study_key=member.study_key,
                project_id=each.project_id,
                arm=line.arm,
                inclusion_probability=line.inclusion_probability,
                pool_size=each.pool_size,
                rank=line.rank,
                batch_size=len(flagged),
                reasons=line.reasons,
                scores=tuple(Score(name, value) for name, value in sorted(scores.items())),
                prediction_id=member.prediction_id if predicted else "",
                model_digest=each.model_digest,
                seed=each.seed,
                show_proposal=predicted and line.arm in (Arm.MINED, Arm.REPORTED),
                mined_as_well=line.mined_as_well,
            )
        )
    return said
