"""Studies, instances and what becomes of them."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from ingest.domain.reasons import RejectReason
from radloop.errors import IllegalTransition
from radloop.references import ObjectRef


class StudyState(StrEnum):
    """Where a study stands."""

    HELD = "held"
    """All that came of it is held for a person."""
    RECEIVING = "receiving"
    """Instances came that have not been looked at together yet."""
    INGESTED = "ingested"
    REJECTED = "rejected"
    """Looked at, and no project has a case of it."""


class StudyStep(StrEnum):
    """What can happen to a study."""

    HOLD = "hold"
    ACCEPT = "accept"
    FORM = "form"
    """Looked at, and it has cases."""
    REFUSE = "refuse"
    """Looked at, and it has none."""
    AGAIN = "again"
    """Somebody wants it looked at again."""


_TRANSITIONS: dict[tuple[StudyState | None, StudyStep], StudyState] = {
    (None, StudyStep.HOLD): StudyState.HELD,
    (None, StudyStep.ACCEPT): StudyState.RECEIVING,
    # What is held changes nothing of what is there.
    **{(state, StudyStep.HOLD): state for state in StudyState},
    **{(state, StudyStep.ACCEPT): StudyState.RECEIVING for state in StudyState},
    (StudyState.RECEIVING, StudyStep.FORM): StudyState.INGESTED,
    (StudyState.RECEIVING, StudyStep.REFUSE): StudyState.REJECTED,
    (StudyState.RECEIVING, StudyStep.AGAIN): StudyState.RECEIVING,
    (StudyState.INGESTED, StudyStep.AGAIN): StudyState.RECEIVING,
    (StudyState.REJECTED, StudyStep.AGAIN): StudyState.RECEIVING,
}


def next_state(state: StudyState | None, step: StudyStep) -> StudyState:
    """Return the state after a step.

    Raises
    ------
    IllegalTransition
        When the table has no such step.
    """
    if (state, step) not in _TRANSITIONS:
        possible = ", ".join(sorted({known.value for known, what in _TRANSITIONS if what is step and known}))
        raise IllegalTransition("study-state", expected=f"a study that is {possible}", got=f"{step} of one {state}")
    return _TRANSITIONS[(state, step)]


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What one frame of an enhanced multi-frame instance says of itself (PS3.3 C.7.6.16.2); fields as those of `SliceHeader`."""

    position_lps_mm: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    slice_step_mm: float | None
    rescale_slope: float
    rescale_intercept: float
    numbers: dict[str, float]


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """What forming a volume needs of one instance, taken before and after de-identification; nothing that identifies.

    Attributes
    ----------
    modality
        A term of `domain.modalities`, announced with each case.
    sop_class_uid, transfer_syntax_uid, image_type
        As in the data set; ``transfer_syntax_uid`` is that of the stored object.
    rows, columns, frames, samples_per_pixel : int
        No frames at all: a document.
    bits_allocated, bits_stored, high_bit : int
    signed : bool
        Pixel Representation (0028,0103) is 1.
    position_lps_mm : tuple of 3 float or None
        Centre of the first voxel, Image Position (Patient).
    orientation : tuple of 6 float or None
        Direction cosines of a row and a column, Image Orientation (Patient).
    pixel_spacing_mm : tuple of 2 float or None
        Distance between rows, then between columns, as Pixel Spacing (0028,0030) orders them.
    slice_step_mm : float or None
        Spacing Between Slices, else Slice Thickness; only used for a single slice.
    rescale_slope, rescale_intercept : float
        1 and 0 when absent.
    numbers : dict of str to float
        Relative numbers by name, see `domain.phases`.
    pixel_offset, pixel_length : int
        Where the native pixel data stands in the stored object, in bytes; length 0 when it is compressed.
    per_frame : tuple of FrameHeader
        Of an enhanced multi-frame instance, in order of its frames; else empty.
    """

    modality: str
    sop_class_uid: str
    transfer_syntax_uid: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    frames: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    position_lps_mm: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    slice_step_mm: float | None
    rescale_slope: float
    rescale_intercept: float
    numbers: dict[str, float] = field(default_factory=dict)
    pixel_offset: int = 0
    pixel_length: int = 0
    per_frame: tuple[FrameHeader, ...] = ()

    @property
    def planes(self) -> "list[SliceHeader]":
        """The header of each frame by itself, as if it were an instance of its own; this one, where frames say nothing of themselves."""
        if not self.per_frame:
            return [self]
        return [
            replace(self, frames=1, per_frame=(), **{field: getattr(one, field) for field in FrameHeader.__slots__})
            for one in self.per_frame
        ]


@dataclass(frozen=True, slots=True)
class Instance:
    """A de-identified instance in the object store."""

    sop_key: str
    series_key: str
    study_key: str
    object: ObjectRef
    header: SliceHeader
    changes: str = ""
    """Digest of what de-identification did to it (`domain.changes`); empty where nobody noted it."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What DICOMweb searches studies by, as it stands in the cleaned instance that came last.

    Attributes
    ----------
    described : str
        JSON object: value by tag.
    date, time : str
        Study Date, moved like all dates of the patient, and Study Time.
    """

    described: str = ""
    date: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """What is remembered of a study beside its instances.

    Attributes
    ----------
    study_key, patient : str
        Pseudonyms.
    identity : str
        Original study UID, accession number and patient, encrypted; for re-identification by the site's administrator.
    key_version, patient_version : int
        Versions of the site key that the study, and its patient, are pseudonymised under.
    vault_version : int
        Version that ``identity`` is encrypted with.
    """

    study_key: str
    patient: str
    identity: str
    key_version: int = 1
    patient_version: int = 1
    vault_version: int = 1
    searched: Searched = Searched()


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """What is remembered of a series: its routing attributes, encrypted with a version of the site key.

    ``described`` (a JSON object: value by tag), ``modality`` and ``number`` are what DICOMweb shows and searches, of the cleaned
    instance that came first.
    """

    series_key: str
    study_key: str
    routing: str
    vault_version: int = 1
    described: str = ""
    modality: str = ""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """The UIDs under which an instance is known outside, encrypted with a version of the site key."""

    sop_key: str
    study_key: str
    sealed: str
    vault_version: int = 1


@dataclass(frozen=True, slots=True)
class HeldInstance:
    """An instance that waits for a person. ``object`` holds the de-identified instance, encrypted with a version of the key."""

    held_id: str
    reason: RejectReason
    detail: str
    sop_key: str
    series_key: str
    study_key: str
    object: ObjectRef
    header: SliceHeader
    vault_version: int = 1
    changes: str = ""
    proposed_by: str = ""
    """Who wants it released, where a second person has to agree; empty until somebody does."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why instances of a study, or of one of its series (else empty), were refused; ``detail`` is for the operator."""

    study_key: str
    series_key: str
    reason: RejectReason
    instance_count: int
    detail: str


UNREADABLE = "unreadable"
"""Stands for the study key where the bytes named no study."""


@dataclass(frozen=True, slots=True)
class FormedCase:
    """A case whose volumes and manifest are in the object store.

    See `messages.Case` for what its fields mean; ``instance_count`` is what it was formed from.
    """

    case_id: str
    project_id: str
    project_version: int
    study_key: str
    series_keys: tuple[str, ...]
    phase: int
    phase_count: int
    manifest: ObjectRef
    volumes: tuple[ObjectRef, ...]
    modality: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine_lps: tuple[float, ...]
    quantity: str
    instance_count: int
