from radloop.contracts.options.v1 import options_pb2 as _options_pb2
from radloop.contracts.references.v1 import references_pb2 as _references_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PhaseRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_RULE_UNSPECIFIED: _ClassVar[PhaseRule]
    PHASE_RULE_SPLIT: _ClassVar[PhaseRule]
    PHASE_RULE_CHANNELS: _ClassVar[PhaseRule]

class PromotionMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROMOTION_MODE_UNSPECIFIED: _ClassVar[PromotionMode]
    PROMOTION_MODE_AUTOMATIC: _ClassVar[PromotionMode]
    PROMOTION_MODE_MANUAL: _ClassVar[PromotionMode]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_READER: _ClassVar[Role]
    ROLE_REVIEWER: _ClassVar[Role]
    ROLE_PROJECT_LEAD: _ClassVar[Role]
    ROLE_SITE_ADMIN: _ClassVar[Role]
    ROLE_AUDITOR: _ClassVar[Role]
PHASE_RULE_UNSPECIFIED: PhaseRule
PHASE_RULE_SPLIT: PhaseRule
PHASE_RULE_CHANNELS: PhaseRule
PROMOTION_MODE_UNSPECIFIED: PromotionMode
PROMOTION_MODE_AUTOMATIC: PromotionMode
PROMOTION_MODE_MANUAL: PromotionMode
ROLE_UNSPECIFIED: Role
ROLE_READER: Role
ROLE_REVIEWER: Role
ROLE_PROJECT_LEAD: Role
ROLE_SITE_ADMIN: Role
ROLE_AUDITOR: Role

class CodedTerm(_message.Message):
    __slots__ = ("value", "scheme", "meaning")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    MEANING_FIELD_NUMBER: _ClassVar[int]
    value: str
    scheme: str
    meaning: str
    def __init__(self, value: _Optional[str] = ..., scheme: _Optional[str] = ..., meaning: _Optional[str] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("value", "name", "color", "type", "category", "always_present")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    ALWAYS_PRESENT_FIELD_NUMBER: _ClassVar[int]
    value: int
    name: str
    color: str
    type: CodedTerm
    category: CodedTerm
    always_present: bool
    def __init__(self, value: _Optional[int] = ..., name: _Optional[str] = ..., color: _Optional[str] = ..., type: _Optional[_Union[CodedTerm, _Mapping]] = ..., category: _Optional[_Union[CodedTerm, _Mapping]] = ..., always_present: _Optional[bool] = ...) -> None: ...

class RoutingRule(_message.Message):
    __slots__ = ("called_ae_title", "modality", "body_part", "description_contains")
    CALLED_AE_TITLE_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    BODY_PART_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_CONTAINS_FIELD_NUMBER: _ClassVar[int]
    called_ae_title: str
    modality: str
    body_part: str
    description_contains: str
    def __init__(self, called_ae_title: _Optional[str] = ..., modality: _Optional[str] = ..., body_part: _Optional[str] = ..., description_contains: _Optional[str] = ...) -> None: ...

class SplitPolicy(_message.Message):
    __slots__ = ("validation_fraction", "test_fraction")
    VALIDATION_FRACTION_FIELD_NUMBER: _ClassVar[int]
    TEST_FRACTION_FIELD_NUMBER: _ClassVar[int]
    validation_fraction: float
    test_fraction: float
    def __init__(self, validation_fraction: _Optional[float] = ..., test_fraction: _Optional[float] = ...) -> None: ...

class SelectionPolicy(_message.Message):
    __slots__ = ("strategy", "pool_sample", "batch_size", "control_fraction", "cold_start", "max_rounds", "seed")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    POOL_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FRACTION_FIELD_NUMBER: _ClassVar[int]
    COLD_START_FIELD_NUMBER: _ClassVar[int]
    MAX_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    strategy: str
    pool_sample: int
    batch_size: int
    control_fraction: float
    cold_start: bool
    max_rounds: int
    seed: int
    def __init__(self, strategy: _Optional[str] = ..., pool_sample: _Optional[int] = ..., batch_size: _Optional[int] = ..., control_fraction: _Optional[float] = ..., cold_start: _Optional[bool] = ..., max_rounds: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class ReadingPolicy(_message.Message):
    __slots__ = ("second_reading_share", "agreement_threshold", "lease_s", "instructions")
    SECOND_READING_SHARE_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    second_reading_share: float
    agreement_threshold: float
    lease_s: int
    instructions: str
    def __init__(self, second_reading_share: _Optional[float] = ..., agreement_threshold: _Optional[float] = ..., lease_s: _Optional[int] = ..., instructions: _Optional[str] = ...) -> None: ...

class TrainingPolicy(_message.Message):
    __slots__ = ("new_labels", "min_validation_labels", "quiet_s", "initial_steps", "update_steps", "edge_case_weight", "members", "seed", "spacing_mm", "patch", "max_runs")
    NEW_LABELS_FIELD_NUMBER: _ClassVar[int]
    MIN_VALIDATION_LABELS_FIELD_NUMBER: _ClassVar[int]
    QUIET_S_FIELD_NUMBER: _ClassVar[int]
    INITIAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STEPS_FIELD_NUMBER: _ClassVar[int]
    EDGE_CASE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SPACING_MM_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNS_FIELD_NUMBER: _ClassVar[int]
    new_labels: int
    min_validation_labels: int
    quiet_s: int
    initial_steps: int
    update_steps: int
    edge_case_weight: float
    members: int
    seed: int
    spacing_mm: _containers.RepeatedScalarFieldContainer[float]
    patch: _containers.RepeatedScalarFieldContainer[int]
    max_runs: int
    def __init__(self, new_labels: _Optional[int] = ..., min_validation_labels: _Optional[int] = ..., quiet_s: _Optional[int] = ..., initial_steps: _Optional[int] = ..., update_steps: _Optional[int] = ..., edge_case_weight: _Optional[float] = ..., members: _Optional[int] = ..., seed: _Optional[int] = ..., spacing_mm: _Optional[_Iterable[float]] = ..., patch: _Optional[_Iterable[int]] = ..., max_runs: _Optional[int] = ...) -> None: ...

class PromotionPolicy(_message.Message):
    __slots__ = ("mode", "margin", "segment_loss_bound")
    MODE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_LOSS_BOUND_FIELD_NUMBER: _ClassVar[int]
    mode: PromotionMode
    margin: float
    segment_loss_bound: float
    def __init__(self, mode: _Optional[_Union[PromotionMode, str]] = ..., margin: _Optional[float] = ..., segment_loss_bound: _Optional[float] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("subject", "role")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    role: Role
    def __init__(self, subject: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ...) -> None: ...

class ProjectConfigured(_message.Message):
    __slots__ = ("project_id", "project_version", "model_name", "segments", "overlapping_segments", "routing", "split", "phases", "selection", "reading", "training", "promotion", "members")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    OVERLAPPING_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    project_version: int
    model_name: str
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    overlapping_segments: bool
    routing: _containers.RepeatedCompositeFieldContainer[RoutingRule]
    split: SplitPolicy
    phases: PhaseRule
    selection: SelectionPolicy
    reading: ReadingPolicy
    training: TrainingPolicy
    promotion: PromotionPolicy
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, project_id: _Optional[str] = ..., project_version: _Optional[int] = ..., model_name: _Optional[str] = ..., segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., overlapping_segments: _Optional[bool] = ..., routing: _Optional[_Iterable[_Union[RoutingRule, _Mapping]]] = ..., split: _Optional[_Union[SplitPolicy, _Mapping]] = ..., phases: _Optional[_Union[PhaseRule, str]] = ..., selection: _Optional[_Union[SelectionPolicy, _Mapping]] = ..., reading: _Optional[_Union[ReadingPolicy, _Mapping]] = ..., training: _Optional[_Union[TrainingPolicy, _Mapping]] = ..., promotion: _Optional[_Union[PromotionPolicy, _Mapping]] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...

class ModelPromoted(_message.Message):
    __slots__ = ("model_name", "project_id", "model_digest", "bundle", "sequence")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    project_id: str
    model_digest: str
    bundle: _references_pb2.ObjectRef
    sequence: int
    def __init__(self, model_name: _Optional[str] = ..., project_id: _Optional[str] = ..., model_digest: _Optional[str] = ..., bundle: _Optional[_Union[_references_pb2.ObjectRef, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class TrainingRequested(_message.Message):
    __slots__ = ("request_id", "project_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    project_id: str
    def __init__(self, request_id: _Optional[str] = ..., project_id: _Optional[str] = ...) -> None: ...
