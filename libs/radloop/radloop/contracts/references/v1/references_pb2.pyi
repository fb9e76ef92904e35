from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Split(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPLIT_UNSPECIFIED: _ClassVar[Split]
    SPLIT_TRAIN: _ClassVar[Split]
    SPLIT_VALIDATION: _ClassVar[Split]
    SPLIT_TEST: _ClassVar[Split]

class Arm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARM_UNSPECIFIED: _ClassVar[Arm]
    ARM_MINED: _ClassVar[Arm]
    ARM_CONTROL: _ClassVar[Arm]
    ARM_REPORTED: _ClassVar[Arm]
    ARM_COLD_START: _ClassVar[Arm]

class SegmentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEGMENT_STATE_UNSPECIFIED: _ClassVar[SegmentState]
    SEGMENT_STATE_ANNOTATED: _ClassVar[SegmentState]
    SEGMENT_STATE_ABSENT: _ClassVar[SegmentState]
    SEGMENT_STATE_NOT_ANNOTATED: _ClassVar[SegmentState]
SPLIT_UNSPECIFIED: Split
SPLIT_TRAIN: Split
SPLIT_VALIDATION: Split
SPLIT_TEST: Split
ARM_UNSPECIFIED: Arm
ARM_MINED: Arm
ARM_CONTROL: Arm
ARM_REPORTED: Arm
ARM_COLD_START: Arm
SEGMENT_STATE_UNSPECIFIED: SegmentState
SEGMENT_STATE_ANNOTATED: SegmentState
SEGMENT_STATE_ABSENT: SegmentState
SEGMENT_STATE_NOT_ANNOTATED: SegmentState

class ObjectRef(_message.Message):
    __slots__ = ("key", "digest", "size_bytes")
    KEY_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    key: str
    digest: str
    size_bytes: int
    def __init__(self, key: _Optional[str] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class SegmentStatus(_message.Message):
    __slots__ = ("value", "state")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    value: int
    state: SegmentState
    def __init__(self, value: _Optional[int] = ..., state: _Optional[_Union[SegmentState, str]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class CaseDice(_message.Message):
    __slots__ = ("case_id", "patient_key", "segment", "dice")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    PATIENT_KEY_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    DICE_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    patient_key: str
    segment: int
    dice: float
    def __init__(self, case_id: _Optional[str] = ..., patient_key: _Optional[str] = ..., segment: _Optional[int] = ..., dice: _Optional[float] = ...) -> None: ...
