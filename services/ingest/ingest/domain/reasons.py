"""Why something is refused or forgotten: closed sets, because free text never enters an event."""

from enum import StrEnum


class RejectReason(StrEnum):
    """Why a series or a study was refused; mirrors `ingest.v1.RejectReason`."""

    NOT_DICOM = "not-dicom"
    TRUNCATED = "truncated"
    NO_PIXEL_DATA = "no-pixel-data"
    UNDECODABLE = "undecodable"
    MIXED_SIZES = "mixed-sizes"
    MISSING_SLICES = "missing-slices"
    DUPLICATE_SLICES = "duplicate-slices"
    UNEVEN_SPACING = "uneven-spacing"
    TILTED = "tilted"
    UNEQUAL_PHASES = "unequal-phases"
    NO_PROJECT = "no-project"
    PIXELS_DIFFER = "pixels-differ"
    BURNED_IN_TEXT = "burned-in-text"
    """Likely to carry burned-in text: held until a person releases it."""
    WITHDRAWN = "withdrawn"
    UNSUPPORTED = "unsupported"


class WithdrawReason(StrEnum):
    """Why a study is to be forgotten; mirrors `ingest.v1.WithdrawReason`."""

    CONSENT = "consent"
    SENT_IN_ERROR = "sent-in-error"
    IDENTIFIABLE = "identifiable"
    RETENTION = "retention"


class Refused(Exception):
    """An instance, series or study cannot be taken.

    Parameters
    ----------
    reason : RejectReason
    detail : str
        What was expected and what came, in words for the operator; no identifier.
    """

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
