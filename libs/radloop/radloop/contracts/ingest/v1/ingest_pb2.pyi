from radloop.contracts.options.v1 import options_pb2 as _options_pb2
from radloop.contracts.references.v1 import references_pb2 as _references_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RejectReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECT_REASON_UNSPECIFIED: _ClassVar[RejectReason]
    REJECT_REASON_NOT_DICOM: _ClassVar[RejectReason]
    REJECT_REASON_TRUNCATED: _ClassVar[RejectReason]
    REJECT_REASON_NO_PIXEL_DATA: _ClassVar[RejectReason]
    REJECT_REASON_UNDECODABLE: _ClassVar[RejectReason]
    REJECT_REASON_MIXED_SIZES: _ClassVar[RejectReason]
    REJECT_REASON_MISSING_SLICES: _ClassVar[RejectReason]
    REJECT_REASON_DUPLICATE_SLICES: _ClassVar[RejectReason]
    REJECT_REASON_UNEVEN_SPACING: _ClassVar[RejectReason]
    REJECT_REASON_TILTED: _ClassVar[RejectReason]
    REJECT_REASON_UNEQUAL_PHASES: _ClassVar[RejectReason]
    REJECT_REASON_NO_PROJECT: _ClassVar[RejectReason]
    REJECT_REASON_PIXELS_DIFFER: _ClassVar[RejectReason]
    REJECT_REASON_BURNED_IN_TEXT: _ClassVar[RejectReason]
    REJECT_REASON_WITHDRAWN: _ClassVar[RejectReason]
    REJECT_REASON_UNSUPPORTED: _ClassVar[RejectReason]

class WithdrawReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WITHDRAW_REASON_UNSPECIFIED: _ClassVar[WithdrawReason]
    WITHDRAW_REASON_CONSENT: _ClassVar[WithdrawReason]
    WITHDRAW_REASON_SENT_IN_ERROR: _ClassVar[WithdrawReason]
    WITHDRAW_REASON_IDENTIFIABLE: _ClassVar[WithdrawReason]
    WITHDRAW_REASON_RETENTION: _ClassVar[WithdrawReason]
REJECT_REASON_UNSPECIFIED: RejectReason
REJECT_REASON_NOT_DICOM: RejectReason
REJECT_REASON_TRUNCATED: RejectReason
REJECT_REASON_NO_PIXEL_DATA: RejectReason
REJECT_REASON_UNDECODABLE: RejectReason
REJECT_REASON_MIXED_SIZES: RejectReason
REJECT_REASON_MISSING_SLICES: RejectReason
REJECT_REASON_DUPLICATE_SLICES: RejectReason
REJECT_REASON_UNEVEN_SPACING: RejectReason
REJECT_REASON_TILTED: RejectReason
REJECT_REASON_UNEQUAL_PHASES: RejectReason
REJECT_REASON_NO_PROJECT: RejectReason
REJECT_REASON_PIXELS_DIFFER: RejectReason
REJECT_REASON_BURNED_IN_TEXT: RejectReason
REJECT_REASON_WITHDRAWN: RejectReason
REJECT_REASON_UNSUPPORTED: RejectReason
WITHDRAW_REASON_UNSPECIFIED: WithdrawReason
WITHDRAW_REASON_CONSENT: WithdrawReason
WITHDRAW_REASON_SENT_IN_ERROR: WithdrawReason
WITHDRAW_REASON_IDENTIFIABLE: WithdrawReason
WITHDRAW_REASON_RETENTION: WithdrawReason

class Case(_message.Message):
    __slots__ = ("case_id", "series_keys", "phase", "phase_count", "manifest", "volumes", "modality", "shape", "spacing_mm", "affine_lps", "quantity")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    SERIES_KEYS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PHASE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    SPACING_MM_FIELD_NUMBER: _ClassVar[int]
    AFFINE_LPS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    series_keys: _containers.RepeatedScalarFieldContainer[str]
    phase: int
    phase_count: int
    manifest: _references_pb2.ObjectRef
    volumes: _containers.RepeatedCompositeFieldContainer[_references_pb2.ObjectRef]
    modality: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    spacing_mm: _containers.RepeatedScalarFieldContainer[float]
    affine_lps: _containers.RepeatedScalarFieldContainer[float]
    quantity: str
    def __init__(self, case_id: _Optional[str] = ..., series_keys: _Optional[_Iterable[str]] = ..., phase: _Optional[int] = ..., phase_count: _Optional[int] = ..., manifest: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., volumes: _Optional[_Iterable[_Union[_references_pb2.ObjectRef, _Mapping]]] = ..., modality: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., spacing_mm: _Optional[_Iterable[float]] = ..., affine_lps: _Optional[_Iterable[float]] = ..., quantity: _Optional[str] = ...) -> None: ...

class StudyIngested(_message.Message):
    __slots__ = ("study_key", "site", "project_id", "project_version", "revision", "patient_key", "split", "cases")
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_VERSION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PATIENT_KEY_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    study_key: str
    site: str
    project_id: str
    project_version: int
    revision: int
    patient_key: str
    split: _references_pb2.Split
    cases: _containers.RepeatedCompositeFieldContainer[Case]
    def __init__(self, study_key: _Optional[str] = ..., site: _Optional[str] = ..., project_id: _Optional[str] = ..., project_version: _Optional[int] = ..., revision: _Optional[int] = ..., patient_key: _Optional[str] = ..., split: _Optional[_Union[_references_pb2.Split, str]] = ..., cases: _Optional[_Iterable[_Union[Case, _Mapping]]] = ...) -> None: ...

class StudyRejected(_message.Message):
    __slots__ = ("study_key", "series_key", "reason", "instance_count", "site", "rejection_id")
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    SERIES_KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    REJECTION_ID_FIELD_NUMBER: _ClassVar[int]
    study_key: str
    series_key: str
    reason: RejectReason
    instance_count: int
    site: str
    rejection_id: str
    def __init__(self, study_key: _Optional[str] = ..., series_key: _Optional[str] = ..., reason: _Optional[_Union[RejectReason, str]] = ..., instance_count: _Optional[int] = ..., site: _Optional[str] = ..., rejection_id: _Optional[str] = ...) -> None: ...

class StudyWithdrawn(_message.Message):
    __slots__ = ("study_key", "reason", "site")
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    study_key: str
    reason: WithdrawReason
    site: str
    def __init__(self, study_key: _Optional[str] = ..., reason: _Optional[_Union[WithdrawReason, str]] = ..., site: _Optional[str] = ...) -> None: ...
