"""What goes back to the PACS: which label of which case, in which form, to which destination, and where that stands."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ingest.domain.pseudonyms import content_id
from radloop.errors import IllegalTransition, Invalid
from radloop.references import ObjectRef, SegmentStatus, Split


class Form(StrEnum):
    """As what DICOM object a mask is written."""

    SEG = "seg"
    """Segmentation Storage, BINARY: a frame for each segment and slice; every viewer of segmentations reads it."""
    SEG_LABELMAP = "seg-labelmap"
    """Label Map Segmentation Storage (2023): a frame for each slice. Small and quick; segments cannot overlap."""
    RTSTRUCT = "rtstruct"
    """RT Structure Set Storage: closed planar contours."""
    SR = "sr"
    """Comprehensive SR Storage, TID 1500: volume and longest diameter of each segment of the SEG that goes with it."""


class SourceKind(StrEnum):
    """Who made the mask."""

    LABEL = "label"
    """People: a label version that was approved."""
    PREDICTION = "prediction"
    """A model, and nobody has looked at it."""


class ExportState(StrEnum):
    """Where an export stands."""

    WAITING = "waiting"
    """To be sent when it is due; after a failure that may pass, with its reason."""
    SENDING = "sending"
    SENT = "sent"
    """The receiver has said that it is stored."""
    FAILED = "failed"
    """Not sent, and trying again would not help."""


class ExportStep(StrEnum):
    """What can happen to an export."""

    SEND = "send"
    ARRIVE = "arrive"
    PUT_OFF = "put-off"
    """Not now: the receiver is away or busy."""
    GIVE_UP = "give-up"
    RETRY = "retry"
    """Somebody wants it tried at once."""


_TRANSITIONS: dict[tuple[ExportState, ExportStep], ExportState] = {
    (ExportState.WAITING, ExportStep.SEND): ExportState.SENDING,
    # Whoever sent it was killed: the same object goes once more.
    (ExportState.SENDING, ExportStep.SEND): ExportState.SENDING,
    (ExportState.SENDING, ExportStep.ARRIVE): ExportState.SENT,
    (ExportState.SENDING, ExportStep.PUT_OFF): ExportState.WAITING,
    (ExportState.SENDING, ExportStep.GIVE_UP): ExportState.FAILED,
    (ExportState.WAITING, ExportStep.RETRY): ExportState.WAITING,
    (ExportState.FAILED, ExportStep.RETRY): ExportState.WAITING,
}


def next_export_state(state: ExportState, step: ExportStep) -> ExportState:
    """Return the state after a step.

    Raises
    ------
    IllegalTransition
        When the table has no such step.
    """
    if (state, step) not in _TRANSITIONS:
        possible = ", ".join(sorted({known.value for known, what in _TRANSITIONS if what is step}))
        raise IllegalTransition("export-state", expected=f"an export that is {possible}", got=f"one that is {state}")
    return _TRANSITIONS[(state, step)]


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A mask that could be exported.

    Attributes
    ----------
    source_id : str
        Label version or prediction.
    kind : SourceKind
    case_id, study_key, project_id : str
    project_version : int
        Whose segments it uses; 0 where the announcement does not say (predictions).
    mask : ObjectRef
        NIfTI in the geometry of the case: label map (uint8) or segment bits (uint32).
    segments : tuple of SegmentStatus
        Of a label: what was looked for; empty: all that the project has.
    started_from_model : bool
        Of a label: its reader began with a model's proposal.
    model_name, model_digest : str
        Of a prediction.
    sequence : int
        Of a label: grows with every approval of the case; the highest counts.
    """

    source_id: str
    kind: SourceKind
    case_id: str
    study_key: str
    project_id: str
    project_version: int
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...] = ()
    started_from_model: bool = False
    model_name: str = ""
    model_digest: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """A receiver of the site, as far as deciding goes; how it is reached knows the adapter.

    Attributes
    ----------
    name : str
    forms : tuple of Form
        What is sent when nobody says it, and by itself.
    labelmap : bool
        It takes Label Map Segmentation Storage: SEG means that then, where segments do not overlap.
    automatic : tuple of str
        Projects (``"*"``: all) whose labels are sent when they are approved.
    predictions : bool
        It takes predictions, too: by hand, and those of the projects under ``automatic`` by themselves.
    """

    name: str
    forms: tuple[Form, ...] = (Form.SEG,)
    labelmap: bool = False
    automatic: tuple[str, ...] = ()
    predictions: bool = False

    def takes_by_itself(self, source: ExportSource, split: Split | None) -> bool:
        """Whether a mask goes there without anybody asking.

        Never a prediction of a case that is read without the model's proposal: its readers may look into the PACS.
        """
        if not {source.project_id, "*"} & set(self.automatic):
            return False
        return source.kind is SourceKind.LABEL or (self.predictions and split is Split.TRAIN)


@dataclass(frozen=True, slots=True)
class Export:
    """One mask on its way in one form to one destination; there is one of each, however often it is asked for.

    Attributes
    ----------
    export_id : str
        From source, form and destination.
    made_at, due_at, sent_at : float
        When it was first asked for (the date of the object's content), when to try next, when the receiver had it; seconds
        since the epoch, ``sent_at`` 0 until then.
    asked_by, reason : str
        Who wants it, and why; of one that goes by itself the service and "automatic".
    error : str
        Why the last attempt failed; never an identifier.
    """

    export_id: str
    source_id: str
    case_id: str
    study_key: str
    project_id: str
    form: Form
    destination: str
    made_at: float
    due_at: float
    asked_by: str
    reason: str
    state: ExportState = ExportState.WAITING
    attempts: int = 0
    error: str = ""
    sent_at: float = 0.0


def export_id(source_id: str, form: Form, destination: str) -> str:
    """Return the identity of an export."""
    return content_id("export", source_id, form, destination)


def resolved_forms(asked: Sequence[Form], destination: Destination, *, overlapping: bool) -> tuple[Form, ...]:
    """Return the forms that go to a destination.

    SEG becomes SEG_LABELMAP where the destination takes it and the project's segments do not overlap. An SR brings the SEG it
    refers to. Nothing asked for means what the destination is sent by itself.

    Raises
    ------
    Invalid
        ``labelmap-not-taken``, ``labelmap-overlap``.
    """
    best = seg_form(labelmap=destination.labelmap, overlapping=overlapping)
    found: list[Form] = []
    for form in asked or destination.forms:
        if form is Form.SEG_LABELMAP and best is not Form.SEG_LABELMAP:
            raise Invalid(
                "labelmap-overlap" if destination.labelmap else "labelmap-not-taken",
                expected="a form that the destination takes and the project's segments allow",
                got="seg-labelmap",
                do="ask for seg",
            )
        if form in (Form.SEG, Form.SR):
            found.append(best)
        if form is not Form.SEG:
            found.append(form)
    return tuple(dict.fromkeys(found))


def seg_form(*, labelmap: bool, overlapping: bool) -> Form:
    """Return how a SEG is written for a receiver."""
    return Form.SEG_LABELMAP if labelmap and not overlapping else Form.SEG


_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 15.0, 900.0
LEASE_S = 900.0
"""How long an attempt may take before it is taken for dead, in seconds."""


def pause_s(attempts: int) -> float:
    """Return how long to wait after so many attempts, in seconds: doubling from 15 s to a quarter of an hour, for as long as it takes."""
    return min(_FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 10), _LONGEST_PAUSE_S)


def newest_label(sources: Collection[ExportSource]) -> ExportSource | None:
    """Return the approved label that counts, None when there is none."""
    return max((s for s in sources if s.kind is SourceKind.LABEL), key=lambda s: s.sequence, default=None)
