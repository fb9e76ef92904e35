from radloop.contracts.options.v1 import options_pb2 as _options_pb2
from radloop.contracts.references.v1 import references_pb2 as _references_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictionFailure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREDICTION_FAILURE_UNSPECIFIED: _ClassVar[PredictionFailure]
    PREDICTION_FAILURE_PROGRAM_RAISED: _ClassVar[PredictionFailure]
    PREDICTION_FAILURE_NOT_FINITE: _ClassVar[PredictionFailure]
    PREDICTION_FAILURE_UNREADABLE: _ClassVar[PredictionFailure]
    PREDICTION_FAILURE_UNSUITABLE: _ClassVar[PredictionFailure]

class Deployment(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEPLOYMENT_UNSPECIFIED: _ClassVar[Deployment]
    DEPLOYMENT_SERVING: _ClassVar[Deployment]
    DEPLOYMENT_KEPT: _ClassVar[Deployment]
    DEPLOYMENT_LOAD_FAILED: _ClassVar[Deployment]
    DEPLOYMENT_NONE: _ClassVar[Deployment]
    DEPLOYMENT_IMPORTED: _ClassVar[Deployment]
    DEPLOYMENT_OVERTAKEN: _ClassVar[Deployment]
PREDICTION_FAILURE_UNSPECIFIED: PredictionFailure
PREDICTION_FAILURE_PROGRAM_RAISED: PredictionFailure
PREDICTION_FAILURE_NOT_FINITE: PredictionFailure
PREDICTION_FAILURE_UNREADABLE: PredictionFailure
PREDICTION_FAILURE_UNSUITABLE: PredictionFailure
DEPLOYMENT_UNSPECIFIED: Deployment
DEPLOYMENT_SERVING: Deployment
DEPLOYMENT_KEPT: Deployment
DEPLOYMENT_LOAD_FAILED: Deployment
DEPLOYMENT_NONE: Deployment
DEPLOYMENT_IMPORTED: Deployment
DEPLOYMENT_OVERTAKEN: Deployment

class PredictionMade(_message.Message):
    __slots__ = ("prediction_id", "case_id", "study_key", "project_id", "model_name", "model_digest", "settings_digest", "mask", "uncertainty", "embedding", "scores", "volumes", "round_id")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_name: str
    model_digest: str
    settings_digest: str
    mask: _references_pb2.ObjectRef
    uncertainty: _references_pb2.ObjectRef
    embedding: _references_pb2.ObjectRef
    scores: _containers.RepeatedCompositeFieldContainer[_references_pb2.Score]
    volumes: _containers.RepeatedCompositeFieldContainer[_references_pb2.Score]
    round_id: str
    def __init__(self, prediction_id: _Optional[str] = ..., case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., model_name: _Optional[str] = ..., model_digest: _Optional[str] = ..., settings_digest: _Optional[str] = ..., mask: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., uncertainty: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., embedding: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., scores: _Optional[_Iterable[_Union[_references_pb2.Score, _Mapping]]] = ..., volumes: _Optional[_Iterable[_Union[_references_pb2.Score, _Mapping]]] = ..., round_id: _Optional[str] = ...) -> None: ...

class PredictionFailed(_message.Message):
    __slots__ = ("prediction_id", "case_id", "study_key", "project_id", "model_digest", "reason", "round_id")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    reason: PredictionFailure
    round_id: str
    def __init__(self, prediction_id: _Optional[str] = ..., case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., project_id: _Optional[str] = ..., model_digest: _Optional[str] = ..., reason: _Optional[_Union[PredictionFailure, str]] = ..., round_id: _Optional[str] = ...) -> None: ...

class ModelDeployed(_message.Message):
    __slots__ = ("model_name", "project_id", "serving_digest", "candidate_digest", "outcome", "sequence", "previous_digest", "bundle", "candidate_bundle", "wish_sequence")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SERVING_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_BUNDLE_FIELD_NUMBER: _ClassVar[int]
    WISH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    project_id: str
    serving_digest: str
    candidate_digest: str
    outcome: Deployment
    sequence: int
    previous_digest: str
    bundle: _references_pb2.ObjectRef
    candidate_bundle: _references_pb2.ObjectRef
    wish_sequence: int
    def __init__(self, model_name: _Optional[str] = ..., project_id: _Optional[str] = ..., serving_digest: _Optional[str] = ..., candidate_digest: _Optional[str] = ..., outcome: _Optional[_Union[Deployment, str]] = ..., sequence: _Optional[int] = ..., previous_digest: _Optional[str] = ..., bundle: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., candidate_bundle: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., wish_sequence: _Optional[int] = ...) -> None: ...
