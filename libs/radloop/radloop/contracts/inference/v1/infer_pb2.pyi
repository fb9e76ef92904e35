from radloop.contracts.inference.v1 import inference_pb2 as _inference_pb2
from radloop.contracts.references.v1 import references_pb2 as _references_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREDICTION_STATE_UNSPECIFIED: _ClassVar[PredictionState]
    PREDICTION_STATE_WAITING: _ClassVar[PredictionState]
    PREDICTION_STATE_MADE: _ClassVar[PredictionState]
    PREDICTION_STATE_FAILED: _ClassVar[PredictionState]
PREDICTION_STATE_UNSPECIFIED: PredictionState
PREDICTION_STATE_WAITING: PredictionState
PREDICTION_STATE_MADE: PredictionState
PREDICTION_STATE_FAILED: PredictionState

class InferRequest(_message.Message):
    __slots__ = ("project_id", "case_id", "model_digest")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    case_id: str
    model_digest: str
    def __init__(self, project_id: _Optional[str] = ..., case_id: _Optional[str] = ..., model_digest: _Optional[str] = ...) -> None: ...

class InferResponse(_message.Message):
    __slots__ = ("prediction_id", "case_id", "project_id", "model_name", "model_digest", "settings_digest", "state", "mask", "uncertainty", "embedding", "scores", "volumes", "reason", "detail")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    case_id: str
    project_id: str
    model_name: str
    model_digest: str
    settings_digest: str
    state: PredictionState
    mask: _references_pb2.ObjectRef
    uncertainty: _references_pb2.ObjectRef
    embedding: _references_pb2.ObjectRef
    scores: _containers.RepeatedCompositeFieldContainer[_references_pb2.Score]
    volumes: _containers.RepeatedCompositeFieldContainer[_references_pb2.Score]
    reason: _inference_pb2.PredictionFailure
    detail: str
    def __init__(self, prediction_id: _Optional[str] = ..., case_id: _Optional[str] = ..., project_id: _Optional[str] = ..., model_name: _Optional[str] = ..., model_digest: _Optional[str] = ..., settings_digest: _Optional[str] = ..., state: _Optional[_Union[PredictionState, str]] = ..., mask: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., uncertainty: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., embedding: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., scores: _Optional[_Iterable[_Union[_references_pb2.Score, _Mapping]]] = ..., volumes: _Optional[_Iterable[_Union[_references_pb2.Score, _Mapping]]] = ..., reason: _Optional[_Union[_inference_pb2.PredictionFailure, str]] = ..., detail: _Optional[str] = ...) -> None: ...
