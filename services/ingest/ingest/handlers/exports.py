"""What goes back to the PACS: masks that could, those that do, and who was told whose case it is."""

import dataclasses
from collections.abc import Callable, Mapping

from ingest.domain.exports import (
    LEASE_S,
    Destination,
    Export,
    ExportSource,
    ExportState,
    ExportStep,
    Form,
    SourceKind,
    export_id,
    next_export_state,
    pause_s,
    resolved_forms,
)
from ingest.domain.messages import (
    AskExport,
    BeginExport,
    EndExport,
    KeepOriginal,
    LabelApproved,
    NoteDisclosure,
    PredictionMade,
    RetryExport,
    TakeBackExports,
)
from ingest.ports import Clock, IngestUnitOfWork
from radloop.errors import Conflict, Invalid, NotFound
from radloop.messages import Message

_BY_ITSELF = "ingest"
"""Subject in the audit trail of what nobody asked for."""

Destinations = Mapping[str, Destination]


def keep_label(event: LabelApproved, uow: IngestUnitOfWork, clock: Clock, destinations: Destinations) -> list[Message]:
    """Remember an approved label; it goes where labels of its project go by themselves."""
    source = ExportSource(
        source_id=event.label_version_id,
        kind=SourceKind.LABEL,
        case_id=event.case_id,
        study_key=event.study_key,
        project_id=event.project_id,
        project_version=event.project_version,
        mask=event.mask,
        segments=event.segments,
        started_from_model=event.started_from_model,
        sequence=event.sequence,
    )
    return _keep(source, uow, clock, destinations)


def keep_prediction(
    event: PredictionMade, uow: IngestUnitOfWork, clock: Clock, destinations: Destinations
) -> list[Message]:
    """Remember a prediction; it goes nowhere by itself unless a destination wants predictions."""
    source = ExportSource(
        source_id=event.prediction_id,
        kind=SourceKind.PREDICTION,
        case_id=event.case_id,
        study_key=event.study_key,
        project_id=event.project_id,
        project_version=0,
        mask=event.mask,
        model_name=event.model_name,
        model_digest=event.model_digest,
    )
    return _keep(source, uow, clock, destinations)


def _keep(source: ExportSource, uow: IngestUnitOfWork, clock: Clock, destinations: Destinations) -> list[Message]:
    if uow.tombstones.has(source.study_key):
        return []
    uow.exports.add_source(source, clock())
    stored = uow.cases.get(source.case_id)
    for destination in destinations.values():
        if destination.takes_by_itself(source, stored.split if stored else None):
            forms = resolved_forms((), destination, overlapping=_overlapping(uow, source))
            _queue(source, forms, destination, _BY_ITSELF, "automatic", uow, clock())
    return []


def _overlapping(uow: IngestUnitOfWork, source: ExportSource) -> bool:
    project = uow.projects.get(source.project_id)
    return project is not None and project.overlapping_segments


def ask_export(cmd: AskExport, uow: IngestUnitOfWork, clock: Clock, destinations: Destinations) -> list[Message]:
    """Queue a mask for a destination.

    Raises
    ------
    NotFound
        ``destination-unknown``.
    Conflict
        ``study-withdrawn``, ``predictions-not-taken``.
    Invalid
        ``reason-missing``, or what `exports.resolved_forms` raises.
    """
    destination = destinations.get(cmd.destination)
    if destination is None:
        raise NotFound(
            "destination-unknown",
            expected=f"a destination of this site: {', '.join(destinations) or 'none is configured'}",
            got="another name",
            do="add it to the file that INGEST_DESTINATIONS_FILE names",
        )
    if uow.tombstones.has(cmd.source.study_key):
        raise Conflict("study-withdrawn", expected="a study that was not withdrawn", got="one that was")
    if cmd.source.kind is SourceKind.PREDICTION and not destination.predictions:
        raise Conflict(
            "predictions-not-taken",
            expected="a label, or a destination that takes predictions",
            got="a prediction",
            do="set predictions for it in the file that INGEST_DESTINATIONS_FILE names, if its users know what they are",
        )
    checked_reason(cmd.reason)
    forms = resolved_forms(cmd.forms, destination, overlapping=_overlapping(uow, cmd.source))
    _queue(cmd.source, forms, destination, cmd.subject, cmd.reason.strip(), uow, clock())
    return []


def _queue(
    source: ExportSource,
    forms: tuple[Form, ...],
    destination: Destination,
    subject: str,
    reason: str,
    uow: IngestUnitOfWork,
    now: float,
) -> None:
    for form in forms:
        identity = export_id(source.source_id, form, destination.name)
        if uow.exports.get(identity) is not None:
            continue
        ids = (source.source_id, source.case_id, source.study_key, source.project_id)
        uow.exports.save(Export(identity, *ids, form, destination.name, now, now, subject, reason))
        uow.audit(subject, "export", identity)


def begin_export(cmd: BeginExport, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Begin an attempt; if it is not ended within its lease, another one begins."""
    export = _export(uow, cmd.export_id)
    state = next_export_state(export.state, ExportStep.SEND)
    uow.exports.save(
        dataclasses.replace(export, state=state, attempts=export.attempts + 1, due_at=clock() + LEASE_S, error="")
    )
    return []


def end_export(cmd: EndExport, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Note what came of an attempt; of a study that was withdrawn meanwhile nothing is left to note it on."""
    export = uow.exports.get(cmd.export_id)
    if export is None or export.state is not ExportState.SENDING:
        return []
    now = clock()
    if not cmd.error:
        state = next_export_state(export.state, ExportStep.ARRIVE)
        uow.exports.save(dataclasses.replace(export, state=state, sent_at=now, error=""))
        uow.audit(export.asked_by, "export-sent", export.export_id)
        return []
    state = next_export_state(export.state, ExportStep.GIVE_UP if cmd.final else ExportStep.PUT_OFF)
    due_at = now + pause_s(export.attempts)
    uow.exports.save(dataclasses.replace(export, state=state, due_at=due_at, error=cmd.error))
    return []


def take_back_exports(cmd: TakeBackExports, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Send again what was being sent when this service was killed."""
    uow.exports.take_back(clock())
    return []


def retry_export(cmd: RetryExport, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Try an export at once.

    Raises
    ------
    NotFound
        ``export-unknown``.
    IllegalTransition
        It was sent, or is being sent.
    """
    export = _export(uow, cmd.export_id)
    state = next_export_state(export.state, ExportStep.RETRY)
    uow.exports.save(dataclasses.replace(export, state=state, due_at=clock()))
    uow.audit(cmd.subject, "export-retry", export.export_id)
    return []


def _export(uow: IngestUnitOfWork, identity: str) -> Export:
    export = uow.exports.get(identity)
    if export is None:
        raise NotFound("export-unknown", expected="the id of an export", got="another id")
    return export


def keep_original(cmd: KeepOriginal, uow: IngestUnitOfWork) -> list[Message]:
    """Keep the originals of an instance that came before they were kept."""
    study = uow.studies.get(cmd.original.study_key)
    if study is None:
        return []
    uow.originals.add(cmd.original)
    newer = dataclasses.replace(study.record, identity=cmd.study.identity, vault_version=cmd.study.vault_version)
    uow.studies.save(dataclasses.replace(study, record=newer))
    return []


def note_disclosure(cmd: NoteDisclosure, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Remember who is told whose case or study it is, and why; the audit trail names the entry with the reason.

    Raises
    ------
    Invalid
        ``reason-missing``.
    """
    checked_reason(cmd.reason)
    uow.exports.note_disclosure(dataclasses.replace(cmd, reason=cmd.reason.strip()), clock())
    uow.audit(cmd.subject, cmd.action, cmd.target)
    return []


_LONGEST_REASON = 500


def checked_reason(reason: str) -> None:
    """Refuse what is no reason.

    Raises
    ------
    Invalid
        ``reason-missing``.
    """
    if not reason.strip() or len(reason) > _LONGEST_REASON:
        raise Invalid(
            "reason-missing",
            expected=f"why, in 1 to {_LONGEST_REASON} characters",
            got=f"{len(reason)} characters" if reason.strip() else "nothing",
            do="say what the original identity is needed for; it is kept for the auditor",
        )


HANDLERS: dict[type, Callable[..., list[Message]]] = {
    PredictionMade: keep_prediction,
    AskExport: ask_export,
    BeginExport: begin_export,
    EndExport: end_export,
    TakeBackExports: take_back_exports,
    RetryExport: retry_export,
    KeepOriginal: keep_original,
    NoteDisclosure: note_disclosure,
}
