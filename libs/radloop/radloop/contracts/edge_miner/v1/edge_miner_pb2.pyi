from radloop.contracts.options.v1 import options_pb2 as _options_pb2
from radloop.contracts.references.v1 import references_pb2 as _references_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FlagReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FLAG_REASON_UNSPECIFIED: _ClassVar[FlagReason]
    FLAG_REASON_FAILED_PREDICTION: _ClassVar[FlagReason]
    FLAG_REASON_EMPTY_PREDICTION: _ClassVar[FlagReason]
    FLAG_REASON_COMPONENTS: _ClassVar[FlagReason]
    FLAG_REASON_VOLUME_OUTLIER: _ClassVar[FlagReason]
    FLAG_REASON_UNCERTAIN: _ClassVar[FlagReason]
    FLAG_REASON_RANDOM: _ClassVar[FlagReason]
    FLAG_REASON_REPORTED: _ClassVar[FlagReason]
FLAG_REASON_UNSPECIFIED: FlagReason
FLAG_REASON_FAILED_PREDICTION: FlagReason
FLAG_REASON_EMPTY_PREDICTION: FlagReason
FLAG_REASON_COMPONENTS: FlagReason
FLAG_REASON_VOLUME_OUTLIER: FlagReason
FLAG_REASON_UNCERTAIN: FlagReason
FLAG_REASON_RANDOM: FlagReason
FLAG_REASON_REPORTED: FlagReason

class PredictionRequested(_message.Message):
    __slots__ = ("case_id", "study_key", "project_id", "model_digest", "round_id")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    round_id: str
    def __init__(self, case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., model_digest: _Optional[str] = ..., round_id: _Optional[str] = ...) -> None: ...

class EdgeCaseFlagged(_message.Message):
    __slots__ = ("round_id", "round_number", "case_id", "study_key", "project_id", "arm", "inclusion_probability", "pool_size", "rank", "batch_size", "reasons", "scores", "prediction_id", "model_digest", "seed", "show_proposal", "mined_as_well")
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    POOL_SIZE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SHOW_PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    MINED_AS_WELL_FIELD_NUMBER: _ClassVar[int]
    round_id: str
    round_number: int
    case_id: str
    study_key: str
    project_id: str
    arm: _references_pb2.Arm
    inclusion_probability: float
    pool_size: int
    rank: int
    batch_size: int
    reasons: _containers.RepeatedScalarFieldContainer[FlagReason]
    scores: _containers.RepeatedCompositeFieldContainer[_references_pb2.Score]
    prediction_id: str
    model_digest: str
    seed: int
    show_proposal: bool
    mined_as_well: bool
    def __init__(self, round_id: _Optional[str] = ..., round_number: _Optional[int] = ..., case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., arm: _Optional[_Union[_references_pb2.Arm, str]] = ..., inclusion_probability: _Optional[float] = ..., pool_size: _Optional[int] = ..., rank: _Optional[int] = ..., batch_size: _Optional[int] = ..., reasons: _Optional[_Iterable[_Union[FlagReason, str]]] = ..., scores: _Optional[_Iterable[_Union[_references_pb2.Score, _Mapping]]] = ..., prediction_id: _Optional[str] = ..., model_digest: _Optional[str] = ..., seed: _Optional[int] = ..., show_proposal: _Optional[bool] = ..., mined_as_well: _Optional[bool] = ...) -> None: ...
