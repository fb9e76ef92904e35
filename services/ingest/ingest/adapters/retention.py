"""The file of the retention rules, and the worker that carries them out: what is due is listed first, and goes after a notice."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest.adapters.reception import Dispatch
from ingest.adapters.sql_retention import Kept
from ingest.domain.messages import DropNotice, NoticeRetention, WithdrawStudy
from ingest.domain.reasons import WithdrawReason
from ingest.domain.retention import DAY_S, Due, ProjectRule, RetentionPolicy, due
from ingest.ports import Clock
from radloop.errors import Invalid
from radloop.telemetry import logger

log = logger(__name__)

SUBJECT = "retention"
"""Who withdraws by a rule, in the audit trail."""

Days = Annotated[float, Field(ge=0, le=36525)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectRuleFile(_Part):
    """The rule of one project."""

    unlabelled_days: Days | None = None
    ended_on: date | None = None
    after_end_days: Days = 0.0


class RetentionFile(_Part):
    """The whole file."""

    projects: dict[str, ProjectRuleFile] = {}
    without_case_days: Days | None = None
    notice_days: Days = 7.0
    in_use_days: Days = 90.0
    act: bool = False


def read_retention(file: Path) -> RetentionPolicy:
    """Read the retention rules.

    Raises
    ------
    Invalid
        ``retention-unreadable``, with the place of what is not understood.
    """
    try:
        read = RetentionFile.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(
            "retention-unreadable", expected="a JSON file where INGEST_RETENTION_FILE says", got="none"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Invalid(
            "retention-unreadable",
            expected=f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}",
            got=json.dumps(first["input"], default=str)[:60],
            do="see docs/operate/privacy.md",
        ) from error
    rules = {name: ProjectRule(**rule.model_dump()) for name, rule in read.projects.items()}
    return RetentionPolicy(rules, read.without_case_days, read.notice_days, read.in_use_days, read.act)


class Retention:
    """Lists what is due, and lets it go after its notice.

    Parameters
    ----------
    dispatch : Dispatch
    kept : Kept
    policy : RetentionPolicy
    clock : Clock
    """

    def __init__(self, dispatch: Dispatch, kept: Kept, policy: RetentionPolicy, clock: Clock) -> None:
        self._dispatch, self._kept, self._policy, self._clock = dispatch, kept, policy, clock

    def step(self) -> bool:
        """Look at every study once: give notice of what is due, and withdraw what has been long enough; return False."""
        now = self._clock()
        notices = self._kept.notices()
        found = self.found(now)
        for study_key in set(notices) - {one.study_key for one in found}:
            self._dispatch(DropNotice(study_key))
        for one in found:
            if one.study_key not in notices:
                self._dispatch(NoticeRetention(one.study_key, one.why))
            elif self._policy.act and now >= notices[one.study_key] + self._policy.notice_days * DAY_S:
                self._dispatch(WithdrawStudy(one.study_key, WithdrawReason.RETENTION, SUBJECT))
        return False

    def found(self, now: float) -> list[Due]:
        """Return what the rules say is to go now."""
        verdicts = (due(study, self._policy, now) for study in self._kept.studies())
        return [verdict for verdict in verdicts if verdict is not None]

    def listed(self) -> dict[str, Any]:
        """Return what is due and when each goes; nothing is changed."""
        policy, now, notices = self._policy, self._clock(), self._kept.notices()
        return {
            "acts": policy.act,
            "notice_days": policy.notice_days,
            "projects": sorted(policy.projects),
            "due": [
                {
                    "study_key": one.study_key,
                    "why": one.why,
                    "in_use_by_a_round": one.in_use,
                    "noticed_at": notices.get(one.study_key),
                    "goes_at": notices.get(one.study_key, now) + policy.notice_days * DAY_S if policy.act else None,
                }
                for one in self.found(now)
            ],
        }
