from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor
EVENT_FIELD_NUMBER: _ClassVar[int]
event: _descriptor.FieldDescriptor
SITE_ONLY_FIELD_NUMBER: _ClassVar[int]
site_only: _descriptor.FieldDescriptor

class Event(_message.Message):
    __slots__ = ("topic", "key", "heard_by", "compacted")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    HEARD_BY_FIELD_NUMBER: _ClassVar[int]
    COMPACTED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    key: str
    heard_by: _containers.RepeatedScalarFieldContainer[str]
    compacted: bool
    def __init__(self, topic: _Optional[str] = ..., key: _Optional[str] = ..., heard_by: _Optional[_Iterable[str]] = ..., compacted: _Optional[bool] = ...) -> None: ...
