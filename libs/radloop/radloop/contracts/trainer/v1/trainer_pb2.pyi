from radloop.contracts.options.v1 import options_pb2 as _options_pb2
from radloop.contracts.references.v1 import references_pb2 as _references_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainingWait(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_WAIT_UNSPECIFIED: _ClassVar[TrainingWait]
    TRAINING_WAIT_QUEUE: _ClassVar[TrainingWait]
    TRAINING_WAIT_MACHINE: _ClassVar[TrainingWait]
    TRAINING_WAIT_IMAGE: _ClassVar[TrainingWait]
    TRAINING_WAIT_CONFIGURATION: _ClassVar[TrainingWait]

class TrainingFailure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_FAILURE_UNSPECIFIED: _ClassVar[TrainingFailure]
    TRAINING_FAILURE_BAD_PLAN: _ClassVar[TrainingFailure]
    TRAINING_FAILURE_JOB_DIED: _ClassVar[TrainingFailure]
    TRAINING_FAILURE_DIVERGED: _ClassVar[TrainingFailure]
    TRAINING_FAILURE_CANCELLED: _ClassVar[TrainingFailure]
TRAINING_WAIT_UNSPECIFIED: TrainingWait
TRAINING_WAIT_QUEUE: TrainingWait
TRAINING_WAIT_MACHINE: TrainingWait
TRAINING_WAIT_IMAGE: TrainingWait
TRAINING_WAIT_CONFIGURATION: TrainingWait
TRAINING_FAILURE_UNSPECIFIED: TrainingFailure
TRAINING_FAILURE_BAD_PLAN: TrainingFailure
TRAINING_FAILURE_JOB_DIED: TrainingFailure
TRAINING_FAILURE_DIVERGED: TrainingFailure
TRAINING_FAILURE_CANCELLED: TrainingFailure

class DatasetItem(_message.Message):
    __slots__ = ("case_id", "study_key", "image_digest", "label_version_id", "label_digest", "weight", "split", "arm")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LABEL_VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    study_key: str
    image_digest: str
    label_version_id: str
    label_digest: str
    weight: float
    split: _references_pb2.Split
    arm: _references_pb2.Arm
    def __init__(self, case_id: _Optional[str] = ..., study_key: _Optional[str] = ..., image_digest: _Optional[str] = ..., label_version_id: _Optional[str] = ..., label_digest: _Optional[str] = ..., weight: _Optional[float] = ..., split: _Optional[_Union[_references_pb2.Split, str]] = ..., arm: _Optional[_Union[_references_pb2.Arm, str]] = ...) -> None: ...

class TrainingStarted(_message.Message):
    __slots__ = ("run_id", "project_id", "dataset_version", "plan_digest", "items", "run_number", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    RUN_NUMBER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    project_id: str
    dataset_version: str
    plan_digest: str
    items: _containers.RepeatedCompositeFieldContainer[DatasetItem]
    run_number: int
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., project_id: _Optional[str] = ..., dataset_version: _Optional[str] = ..., plan_digest: _Optional[str] = ..., items: _Optional[_Iterable[_Union[DatasetItem, _Mapping]]] = ..., run_number: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class TrainingWaiting(_message.Message):
    __slots__ = ("run_id", "project_id", "run_number", "waits_for", "scheduler_said", "since_s", "sequence")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_NUMBER_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_SAID_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    project_id: str
    run_number: int
    waits_for: TrainingWait
    scheduler_said: str
    since_s: int
    sequence: int
    def __init__(self, run_id: _Optional[str] = ..., project_id: _Optional[str] = ..., run_number: _Optional[int] = ..., waits_for: _Optional[_Union[TrainingWait, str]] = ..., scheduler_said: _Optional[str] = ..., since_s: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("serving_digest", "mean_difference", "lower_bound", "worst_segment_difference", "patient_count", "passes")
    SERVING_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MEAN_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOWER_BOUND_FIELD_NUMBER: _ClassVar[int]
    WORST_SEGMENT_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    PATIENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    serving_digest: str
    mean_difference: float
    lower_bound: float
    worst_segment_difference: float
    patient_count: int
    passes: bool
    def __init__(self, serving_digest: _Optional[str] = ..., mean_difference: _Optional[float] = ..., lower_bound: _Optional[float] = ..., worst_segment_difference: _Optional[float] = ..., patient_count: _Optional[int] = ..., passes: _Optional[bool] = ...) -> None: ...

class ModelTrained(_message.Message):
    __slots__ = ("model_name", "model_digest", "project_id", "run_id", "run_number", "dataset_version", "plan_digest", "bundle", "train_patient_count", "validation_dice", "serving_validation_dice", "test_dice", "comparison", "duration_s")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DATASET_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    TRAIN_PATIENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_DICE_FIELD_NUMBER: _ClassVar[int]
    SERVING_VALIDATION_DICE_FIELD_NUMBER: _ClassVar[int]
    TEST_DICE_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_digest: str
    project_id: str
    run_id: str
    run_number: int
    dataset_version: str
    plan_digest: str
    bundle: _references_pb2.ObjectRef
    train_patient_count: int
    validation_dice: _containers.RepeatedCompositeFieldContainer[_references_pb2.CaseDice]
    serving_validation_dice: _containers.RepeatedCompositeFieldContainer[_references_pb2.CaseDice]
    test_dice: _containers.RepeatedCompositeFieldContainer[_references_pb2.CaseDice]
    comparison: Comparison
    duration_s: float
    def __init__(self, model_name: _Optional[str] = ..., model_digest: _Optional[str] = ..., project_id: _Optional[str] = ..., run_id: _Optional[str] = ..., run_number: _Optional[int] = ..., dataset_version: _Optional[str] = ..., plan_digest: _Optional[str] = ..., bundle: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., train_patient_count: _Optional[int] = ..., validation_dice: _Optional[_Iterable[_Union[_references_pb2.CaseDice, _Mapping]]] = ..., serving_validation_dice: _Optional[_Iterable[_Union[_references_pb2.CaseDice, _Mapping]]] = ..., test_dice: _Optional[_Iterable[_Union[_references_pb2.CaseDice, _Mapping]]] = ..., comparison: _Optional[_Union[Comparison, _Mapping]] = ..., duration_s: _Optional[float] = ...) -> None: ...

class TrainingFailed(_message.Message):
    __slots__ = ("run_id", "project_id", "reason", "attempts")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    project_id: str
    reason: TrainingFailure
    attempts: int
    def __init__(self, run_id: _Optional[str] = ..., project_id: _Optional[str] = ..., reason: _Optional[_Union[TrainingFailure, str]] = ..., attempts: _Optional[int] = ...) -> None: ...
