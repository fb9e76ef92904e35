"""The closed sets of labeling. A member's name is that of the contract's value, without its prefix."""

from enum import StrEnum


class Reading(StrEnum):
    """Which reading a task asks for."""

    FIRST = "first"
    SECOND = "second"
    """Blind to the other readings of the case."""
    ADJUDICATION = "adjudication"
    NONE = "none"
    """No task: an import."""


class LabelSource(StrEnum):
    """Where a label came from."""

    READER = "reader"
    IMPORT = "import"


class ReportReason(StrEnum):
    """Why a reader reports a case."""

    MODEL_WRONG = "model-wrong"
    RARE_FINDING = "rare-finding"
    IMAGE_QUALITY = "image-quality"
    OTHER = "other"
    """The note tells."""


class SkipReason(StrEnum):
    """Why a reader does not answer a task. The first three say something about the case, the others about the reader."""

    IMAGE_QUALITY = "image-quality"
    WRONG_ANATOMY = "wrong-anatomy"
    OUT_OF_SCOPE = "out-of-scope"
    NOT_MY_FIELD = "not-my-field"
    NO_TIME = "no-time"

    @property
    def closes(self) -> bool:
        """Whether nobody else should be offered the task either."""
        return self in (SkipReason.IMAGE_QUALITY, SkipReason.WRONG_ANATOMY, SkipReason.OUT_OF_SCOPE)


class FlagReason(StrEnum):
    """Why the miner flagged a case."""

    FAILED_PREDICTION = "failed-prediction"
    EMPTY_PREDICTION = "empty-prediction"
    COMPONENTS = "components"
    VOLUME_OUTLIER = "volume-outlier"
    UNCERTAIN = "uncertain"
    RANDOM = "random"
    """Drawn as control: never shown to a reader."""
    REPORTED = "reported"


class ReturnReason(StrEnum):
    """Why QA sent a label back."""

    EMPTY = "empty"
    GEOMETRY = "geometry"
    MISSING_SEGMENT = "missing-segment"
    STRAY_COMPONENT = "stray-component"
    HOLES = "holes"
    VOLUME_OUTLIER = "volume-outlier"
    SWAPPED_SEGMENTS = "swapped-segments"
    DISPLACED = "displaced"
    DISAGREEMENT = "disagreement"
    UNKNOWN_VALUE = "unknown-value"
    REVIEWER = "reviewer"


class WithdrawReason(StrEnum):
    """Why a study is to be forgotten."""

    CONSENT = "consent"
    SENT_IN_ERROR = "sent-in-error"
    IDENTIFIABLE = "identifiable"
    RETENTION = "retention"


class MemberRole(StrEnum):
    """What a person may do in a project."""

    READER = "reader"
    REVIEWER = "reviewer"
    PROJECT_LEAD = "project-lead"
    SITE_ADMIN = "site-admin"
    AUDITOR = "auditor"
