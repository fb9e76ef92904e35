"""Maps between protobuf payloads and the frozen dataclasses of a service's domain, by field name.

A consumer's dataclass may leave fields out (tolerant reader); a producer's must have every field of the contract.
Nothing is repaired: an unspecified enum or an absent message where the dataclass requires one is a `PermanentError`.
"""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

from radloop.contracts.options.v1 import options_pb2
from radloop.errors import PermanentError
from radloop.messages import Envelope, Message, Record

Pair = tuple[type[Protobuf], type[Message]]


class Wire:
    """The table of one service: what it hears and what it says.

    Parameters
    ----------
    group : str
        Consumer group, equal to the service's name, e.g. ``"edge-miner"``.
    incoming, outgoing : sequence of (protobuf class, dataclass)
        One pair for each event heard or said. Topic and key come from the contract's ``event`` option.
    """

    def __init__(self, group: str, *, incoming: Sequence[Pair], outgoing: Sequence[Pair]) -> None:
        self.group = group
        self._incoming = {event_option(proto).topic: (proto, cls) for proto, cls in incoming}
        self._outgoing = {cls: proto for proto, cls in outgoing}
        for proto, cls in outgoing:
            missing = {f.name for f in proto.DESCRIPTOR.fields} - {f.name for f in dataclasses.fields(cls)}
            if missing:
                raise TypeError(f"{cls.__name__} says {proto.DESCRIPTOR.name} but lacks {sorted(missing)}")
        for proto, cls in [*incoming, *outgoing]:
            unknown = {f.name for f in dataclasses.fields(cls)} - {f.name for f in proto.DESCRIPTOR.fields}
            if unknown:
                raise TypeError(f"{cls.__name__} has {sorted(unknown)}, which {proto.DESCRIPTOR.name} does not know")

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics heard, in the table's order."""
        return tuple(self._incoming)

    @property
    def said(self) -> tuple[str, ...]:
        """Topics said."""
        return tuple(event_option(proto).topic for proto in self._outgoing.values())

    def decode(self, record: Record) -> Message:
        """Turn a record's payload into the domain's message.

        Raises
        ------
        PermanentError
            When the topic is not in the table, the bytes are no such payload, or a required field is missing.
        """
        if record.topic not in self._incoming:
            raise PermanentError("topic-unknown", expected=f"one of {', '.join(self._incoming)}", got=record.topic)
        proto, cls = self._incoming[record.topic]
        try:
            payload = proto.FromString(record.value)
        except DecodeError as error:
            raise PermanentError(
                "event-unreadable", expected=f"a {proto.DESCRIPTOR.full_name}", got=f"{len(record.value)} other bytes"
            ) from error
        return from_protobuf(payload, cls)

    def encode(self, message: Message, *, source: str, cause: Envelope | None) -> Record:
        """Turn a message the service says into a record with a new envelope.

        Raises
        ------
        TypeError
            When the service says something its table does not know.
        """
        if type(message) not in self._outgoing:
            raise TypeError(f"{self.group} does not say {type(message).__name__}")
        proto = self._outgoing[type(message)]
        option = event_option(proto)
        key = getattr(message, option.key)
        envelope = Envelope.new(option.topic, source=source, subject=key, cause=cause)
        value = to_protobuf(message, proto).SerializeToString(deterministic=True)
        return Record(topic=option.topic, key=key, value=value, headers=envelope.headers())


def event_option(proto: type[Protobuf]) -> options_pb2.Event:
    """Return the ``event`` option of a contract message: topic, key, who hears it."""
    options = proto.DESCRIPTOR.GetOptions()
    if not options.HasExtension(options_pb2.event):
        raise TypeError(f"{proto.DESCRIPTOR.full_name} is no event")
    return options.Extensions[options_pb2.event]


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _optional(hint: Any) -> tuple[Any, bool]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return rest[0], True
    return hint, False


def from_protobuf(payload: Protobuf, cls: type) -> Any:
    """Build the dataclass ``cls`` from a protobuf message, field by field."""
    fields = payload.DESCRIPTOR.fields_by_name
    values = {f.name: _read(payload, fields[f.name], _hints(cls)[f.name]) for f in dataclasses.fields(cls)}
    return cls(**values)


def _read(payload: Protobuf, field: FieldDescriptor, hint: Any) -> Any:
    value = getattr(payload, field.name)
    if field.is_repeated:
        (element, *_) = typing.get_args(hint) or (Any,)
        return tuple(_element(item, field, element, optional=False) for item in value)
    hint, optional = _optional(hint)
    if field.message_type is not None and not payload.HasField(field.name):
        value = None
    return _element(value, field, hint, optional=optional)


def _element(value: Any, field: FieldDescriptor, hint: Any, *, optional: bool) -> Any:
    if field.message_type is not None:
        if value is None:
            return _absent(field, optional=optional)
        return from_protobuf(value, hint)
    if field.enum_type is not None:
        if value == 0:
            return _absent(field, optional=optional)
        known = field.enum_type.values_by_number.get(value)
        name = known.name.removeprefix(_prefix(field)) if known else ""
        if name not in hint.__members__:
            raise PermanentError(
                "enum-value-unknown",
                expected=f"one of {', '.join(hint.__members__)} in {field.full_name}",
                got=f"number {value}",
                do="update this service: the event comes from a newer release",
            )
        return hint[name]
    return value


def _absent(field: FieldDescriptor, *, optional: bool) -> None:
    if not optional:
        raise PermanentError("field-missing", expected=f"a value in {field.full_name}", got="none")


def _prefix(field: FieldDescriptor) -> str:
    zero = field.enum_type.values_by_number[0].name
    return zero.removesuffix("UNSPECIFIED")


def to_protobuf(message: Any, proto: type[Protobuf]) -> Protobuf:
    """Build a protobuf message of class ``proto`` from a dataclass, field by field."""
    payload = proto()
    _fill(payload, message)
    return payload


def _fill(payload: Protobuf, message: Any) -> None:
    for field in payload.DESCRIPTOR.fields:
        value = getattr(message, field.name, None)
        if value is None:
            continue
        if field.message_type is not None:
            if field.is_repeated:
                for item in value:
                    _fill(getattr(payload, field.name).add(), item)
            else:
                getattr(payload, field.name).SetInParent()
                _fill(getattr(payload, field.name), value)
        elif field.is_repeated:
            getattr(payload, field.name).extend(_scalar(item, field) for item in value)
        else:
            setattr(payload, field.name, _scalar(value, field))


def _scalar(value: Any, field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        if not isinstance(value, enum.Enum):
            raise TypeError(f"{field.full_name} takes an enum member, not {value!r}")
        return field.enum_type.values_by_name[_prefix(field) + value.name].number
    return value
