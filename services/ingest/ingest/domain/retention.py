"""How long a study may be kept: rules of the site, project by project; pure, so that what they would do can be shown first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

DAY_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class ProjectRule:
    """How long a project keeps its studies.

    Attributes
    ----------
    unlabelled_days : float or None
        A study without an approved label goes this many days after its last instance came; None: never.
    ended_on : date or None
        When the project ended; None: it goes on.
    after_end_days : float
        All its studies go this many days after that, labels or not.
    """

    unlabelled_days: float | None = None
    ended_on: date | None = None
    after_end_days: float = 0.0


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """All rules of a site; without any, everything is kept.

    Attributes
    ----------
    projects : Mapping of str to ProjectRule
    without_case_days : float or None
        A study that no project has a case of goes after this many days; None: never.
    notice_days : float
        A study that is due is listed for this many days before it goes.
    in_use_days : float
        A case that a round asked for, and that has no approved label yet, counts as in use for this many days.
    act : bool
        False: only list what is due.
    """

    projects: Mapping[str, ProjectRule] = field(default_factory=dict)
    without_case_days: float | None = None
    notice_days: float = 7.0
    in_use_days: float = 90.0
    act: bool = False


@dataclass(frozen=True, slots=True)
class KeptCase:
    """One case of a study.

    Attributes
    ----------
    project_id : str
    labelled : bool
        It has an approved label.
    flagged_at : float or None
        When a round last asked for it, seconds since the epoch.
    """

    project_id: str
    labelled: bool
    flagged_at: float | None


@dataclass(frozen=True, slots=True)
class KeptStudy:
    """A study, as retention looks at it; ``received_at`` is when its last instance came, seconds since the epoch."""

    study_key: str
    received_at: float
    cases: tuple[KeptCase, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """That a study is to go, why, and whether a case of it is in a round that runs."""

    study_key: str
    why: str
    in_use: bool


def due(study: KeptStudy, policy: RetentionPolicy, now: float) -> Due | None:
    """Say whether a study is to go.

    A study of several projects goes when the rules of all of them say so. One that is in use by a round stays, unless its
    project has ended; then it is said that it is in use.

    Parameters
    ----------
    study : KeptStudy
    policy : RetentionPolicy
    now : float
        Seconds since the epoch.

    Returns
    -------
    Due or None
        None: it stays.
    """
    if not study.cases:
        days = policy.without_case_days
        if days is None or now < study.received_at + days * DAY_S:
            return None
        return Due(study.study_key, f"no project has had a case of it for {days:g} days", in_use=False)
    reasons, in_use = [], False
    for project_id in sorted({case.project_id for case in study.cases}):
        cases = [case for case in study.cases if case.project_id == project_id]
        used = any(_is_in_use(case, policy, now) for case in cases)
        rule = policy.projects.get(project_id, ProjectRule())
        if _has_ended(rule, now):
            reasons.append(f"project {project_id} ended on {rule.ended_on}")
        elif _is_unlabelled(rule, study, cases, now) and not used:
            reasons.append(f"no approved label in project {project_id} after {rule.unlabelled_days:g} days")
        else:
            return None
        in_use = in_use or used
    return Due(study.study_key, "; ".join(reasons), in_use)


def _is_in_use(case: KeptCase, policy: RetentionPolicy, now: float) -> bool:
    return not case.labelled and case.flagged_at is not None and now < case.flagged_at + policy.in_use_days * DAY_S


def _has_ended(rule: ProjectRule, now: float) -> bool:
    if rule.ended_on is None:
        return False
    # The day itself still belongs to the project.
    end = datetime.combine(rule.ended_on, datetime.min.time(), UTC) + timedelta(days=1 + rule.after_end_days)
    return now >= end.timestamp()


def _is_unlabelled(rule: ProjectRule, study: KeptStudy, cases: list[KeptCase], now: float) -> bool:
    if rule.unlabelled_days is None or any(case.labelled for case in cases):
        return False
    return now >= study.received_at + rule.unlabelled_days * DAY_S
