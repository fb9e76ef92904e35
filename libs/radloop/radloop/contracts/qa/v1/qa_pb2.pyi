from radloop.contracts.labeling.v1 import labeling_pb2 as _labeling_pb2
from radloop.contracts.options.v1 import options_pb2 as _options_pb2
from radloop.contracts.references.v1 import references_pb2 as _references_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReturnReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURN_REASON_UNSPECIFIED: _ClassVar[ReturnReason]
    RETURN_REASON_EMPTY: _ClassVar[ReturnReason]
    RETURN_REASON_GEOMETRY: _ClassVar[ReturnReason]
    RETURN_REASON_MISSING_SEGMENT: _ClassVar[ReturnReason]
    RETURN_REASON_STRAY_COMPONENT: _ClassVar[ReturnReason]
    RETURN_REASON_HOLES: _ClassVar[ReturnReason]
    RETURN_REASON_VOLUME_OUTLIER: _ClassVar[ReturnReason]
    RETURN_REASON_SWAPPED_SEGMENTS: _ClassVar[ReturnReason]
    RETURN_REASON_DISPLACED: _ClassVar[ReturnReason]
    RETURN_REASON_DISAGREEMENT: _ClassVar[ReturnReason]
    RETURN_REASON_UNKNOWN_VALUE: _ClassVar[ReturnReason]
    RETURN_REASON_REVIEWER: _ClassVar[ReturnReason]
RETURN_REASON_UNSPECIFIED: ReturnReason
RETURN_REASON_EMPTY: ReturnReason
RETURN_REASON_GEOMETRY: ReturnReason
RETURN_REASON_MISSING_SEGMENT: ReturnReason
RETURN_REASON_STRAY_COMPONENT: ReturnReason
RETURN_REASON_HOLES: ReturnReason
RETURN_REASON_VOLUME_OUTLIER: ReturnReason
RETURN_REASON_SWAPPED_SEGMENTS: ReturnReason
RETURN_REASON_DISPLACED: ReturnReason
RETURN_REASON_DISAGREEMENT: ReturnReason
RETURN_REASON_UNKNOWN_VALUE: ReturnReason
RETURN_REASON_REVIEWER: ReturnReason

class ReadingRequested(_message.Message):
    __slots__ = ("request_id", "review_id", "case_id", "study_key", "project_id", "reading", "excluded_readers", "label_version_ids", "round_id", "arm")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REVIEW_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_READERS_FIELD_NUMBER: _ClassVar[int]
    LABEL_VERSION_IDS_FIELD_NUMBER: _ClassVar[int]
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    review_id: str
    case_id: str
    study_key: str
    project_id: str
    reading: _labeling_pb2.Reading
    excluded_readers: _containers.RepeatedScalarFieldContainer[str]
    label_version_ids: _containers.RepeatedScalarFieldContainer[str]
    round_id: str
    arm: _references_pb2.Arm
    def __init__(self, request_id: _Optional[str] = ..., review_id: _Optional[str] = ..., case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., reading: _Optional[_Union[_labeling_pb2.Reading, str]] = ..., excluded_readers: _Optional[_Iterable[str]] = ..., label_version_ids: _Optional[_Iterable[str]] = ..., round_id: _Optional[str] = ..., arm: _Optional[_Union[_references_pb2.Arm, str]] = ...) -> None: ...

class LabelReturned(_message.Message):
    __slots__ = ("review_id", "label_version_id", "task_id", "case_id", "study_key", "project_id", "reader", "reasons")
    REVIEW_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    review_id: str
    label_version_id: str
    task_id: str
    case_id: str
    study_key: str
    project_id: str
    reader: str
    reasons: _containers.RepeatedScalarFieldContainer[ReturnReason]
    def __init__(self, review_id: _Optional[str] = ..., label_version_id: _Optional[str] = ..., task_id: _Optional[str] = ..., case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., reader: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[ReturnReason, str]]] = ...) -> None: ...

class LabelApproved(_message.Message):
    __slots__ = ("review_id", "label_version_id", "case_id", "study_key", "project_id", "project_version", "mask", "segments", "readers", "agreement", "rules_version", "source", "started_from_model", "prediction_dice", "prediction_id", "round_id", "arm", "sequence", "task_id")
    REVIEW_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_VERSION_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STARTED_FROM_MODEL_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_DICE_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    review_id: str
    label_version_id: str
    case_id: str
    study_key: str
    project_id: str
    project_version: int
    mask: _references_pb2.ObjectRef
    segments: _containers.RepeatedCompositeFieldContainer[_references_pb2.SegmentStatus]
    readers: _containers.RepeatedScalarFieldContainer[str]
    agreement: _containers.RepeatedCompositeFieldContainer[_references_pb2.Score]
    rules_version: str
    source: _labeling_pb2.LabelSource
    started_from_model: bool
    prediction_dice: _containers.RepeatedCompositeFieldContainer[_references_pb2.Score]
    prediction_id: str
    round_id: str
    arm: _references_pb2.Arm
    sequence: int
    task_id: str
    def __init__(self, review_id: _Optional[str] = ..., label_version_id: _Optional[str] = ..., case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., project_version: _Optional[int] = ..., mask: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[_references_pb2.SegmentStatus, _Mapping]]] = ..., readers: _Optional[_Iterable[str]] = ..., agreement: _Optional[_Iterable[_Union[_references_pb2.Score, _Mapping]]] = ..., rules_version: _Optional[str] = ..., source: _Optional[_Union[_labeling_pb2.LabelSource, str]] = ..., started_from_model: _Optional[bool] = ..., prediction_dice: _Optional[_Iterable[_Union[_references_pb2.Score, _Mapping]]] = ..., prediction_id: _Optional[str] = ..., round_id: _Optional[str] = ..., arm: _Optional[_Union[_references_pb2.Arm, str]] = ..., sequence: _Optional[int] = ..., task_id: _Optional[str] = ...) -> None: ...
