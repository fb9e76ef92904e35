from radloop.contracts.options.v1 import options_pb2 as _options_pb2
from radloop.contracts.references.v1 import references_pb2 as _references_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LabelSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_SOURCE_UNSPECIFIED: _ClassVar[LabelSource]
    LABEL_SOURCE_READER: _ClassVar[LabelSource]
    LABEL_SOURCE_IMPORT: _ClassVar[LabelSource]

class Reading(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    READING_UNSPECIFIED: _ClassVar[Reading]
    READING_FIRST: _ClassVar[Reading]
    READING_SECOND: _ClassVar[Reading]
    READING_ADJUDICATION: _ClassVar[Reading]
    READING_NONE: _ClassVar[Reading]

class ReportReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_REASON_UNSPECIFIED: _ClassVar[ReportReason]
    REPORT_REASON_MODEL_WRONG: _ClassVar[ReportReason]
    REPORT_REASON_RARE_FINDING: _ClassVar[ReportReason]
    REPORT_REASON_IMAGE_QUALITY: _ClassVar[ReportReason]
    REPORT_REASON_OTHER: _ClassVar[ReportReason]
LABEL_SOURCE_UNSPECIFIED: LabelSource
LABEL_SOURCE_READER: LabelSource
LABEL_SOURCE_IMPORT: LabelSource
READING_UNSPECIFIED: Reading
READING_FIRST: Reading
READING_SECOND: Reading
READING_ADJUDICATION: Reading
READING_NONE: Reading
REPORT_REASON_UNSPECIFIED: ReportReason
REPORT_REASON_MODEL_WRONG: ReportReason
REPORT_REASON_RARE_FINDING: ReportReason
REPORT_REASON_IMAGE_QUALITY: ReportReason
REPORT_REASON_OTHER: ReportReason

class LabelSubmitted(_message.Message):
    __slots__ = ("label_version_id", "task_id", "case_id", "study_key", "project_id", "project_version", "reader", "source", "reading", "mask", "segments", "started_from_model", "prediction_id", "round_id", "arm", "attempt", "active_time_s")
    LABEL_VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_VERSION_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    STARTED_FROM_MODEL_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_TIME_S_FIELD_NUMBER: _ClassVar[int]
    label_version_id: str
    task_id: str
    case_id: str
    study_key: str
    project_id: str
    project_version: int
    reader: str
    source: LabelSource
    reading: Reading
    mask: _references_pb2.ObjectRef
    segments: _containers.RepeatedCompositeFieldContainer[_references_pb2.SegmentStatus]
    started_from_model: bool
    prediction_id: str
    round_id: str
    arm: _references_pb2.Arm
    attempt: int
    active_time_s: float
    def __init__(self, label_version_id: _Optional[str] = ..., task_id: _Optional[str] = ..., case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., project_version: _Optional[int] = ..., reader: _Optional[str] = ..., source: _Optional[_Union[LabelSource, str]] = ..., reading: _Optional[_Union[Reading, str]] = ..., mask: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[_references_pb2.SegmentStatus, _Mapping]]] = ..., started_from_model: _Optional[bool] = ..., prediction_id: _Optional[str] = ..., round_id: _Optional[str] = ..., arm: _Optional[_Union[_references_pb2.Arm, str]] = ..., attempt: _Optional[int] = ..., active_time_s: _Optional[float] = ...) -> None: ...

class EdgeCaseReported(_message.Message):
    __slots__ = ("report_id", "case_id", "study_key", "project_id", "reason", "reader", "note_id")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    NOTE_ID_FIELD_NUMBER: _ClassVar[int]
    report_id: str
    case_id: str
    study_key: str
    project_id: str
    reason: ReportReason
    reader: str
    note_id: str
    def __init__(self, report_id: _Optional[str] = ..., case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., reason: _Optional[_Union[ReportReason, str]] = ..., reader: _Optional[str] = ..., note_id: _Optional[str] = ...) -> None: ...
