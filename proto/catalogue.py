"""The contracts as plain data: what `generate.py` writes documents from.

Comments live only in a FileDescriptorSet with source information, not in the generated classes; so this module reads
such a set once and gives dataclasses that hold names, types and comments side by side. `documents.py` makes text of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

PACKAGE = "radloop.contracts."
Comments = dict[tuple[int, ...], str]


class Kind(StrEnum):
    """What a field's value is."""

    SCALAR = "scalar"
    MESSAGE = "message"
    ENUM = "enum"


@dataclass(frozen=True)
class Field:
    """One field of a message; `type` is a scalar's proto name or the full name of a message or enum."""

    name: str
    kind: Kind
    type: str
    repeated: bool
    comment: str
    site_only: bool

    @property
    def required(self) -> bool:
        """Whether the comment promises a value; proto3 itself has no such word."""
        return self.comment.endswith("Required.") or self.non_empty

    @property
    def non_empty(self) -> bool:
        """Whether the comment promises at least one element."""
        return "At least one." in self.comment


@dataclass(frozen=True)
class EventOption:
    """How an event travels: the `event` option of `options.proto`."""

    topic: str
    key: str
    heard_by: tuple[str, ...]
    compacted: bool


@dataclass(frozen=True)
class MessageType:
    """One message type; `event` is None for a part that events are made of."""

    full_name: str
    producer: str
    comment: str
    fields: tuple[Field, ...]
    event: EventOption | None = None

    @property
    def name(self) -> str:
        """Name without its package."""
        return self.full_name.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class EnumType:
    """One enum: (value name, comment) in order; the zero is never valid."""

    full_name: str
    comment: str
    values: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Name without its package."""
        return self.full_name.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Catalogue:
    """All contracts, by full name."""

    messages: dict[str, MessageType] = field(default_factory=dict)
    enums: dict[str, EnumType] = field(default_factory=dict)

    @property
    def events(self) -> tuple[MessageType, ...]:
        """Every event, by topic."""
        found = [message for message in self.messages.values() if message.event is not None]
        return tuple(sorted(found, key=lambda message: message.event.topic))

    def parts(self, message: MessageType) -> list[MessageType]:
        """List the message types that `message` holds, at any depth, each once."""
        found: dict[str, MessageType] = {}
        waiting = [message]
        while waiting:
            for part in waiting.pop().fields:
                if part.kind is Kind.MESSAGE and part.type not in found:
                    found[part.type] = self.messages[part.type]
                    waiting.append(self.messages[part.type])
        return list(found.values())

    def site_only(self, message: MessageType) -> tuple[str, ...]:
        """List the fields that keep an event at its site, those of its parts included, as ``Type.field``."""
        return tuple(
            f"{holder.name}.{part.name}"
            for holder in [message, *self.parts(message)]
            for part in holder.fields
            if part.site_only
        )

    def services(self) -> tuple[str, ...]:
        """List every service that says or hears an event."""
        names = {event.producer for event in self.events}
        for event in self.events:
            names.update(event.event.heard_by)
        return tuple(sorted(names))


def read_catalogue(descriptor_set: bytes) -> Catalogue:
    """Read the contracts from a serialized FileDescriptorSet that carries source information.

    Parameters
    ----------
    descriptor_set : bytes
        As ``protoc --include_source_info --include_imports --descriptor_set_out`` writes it.

    Returns
    -------
    Catalogue
        Everything but `options.proto`, which speaks about contracts and is none.
    """
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file
    options = Options(files)
    catalogue = Catalogue()
    for file in files:
        if not file.package.startswith(PACKAGE) or file.package.startswith(PACKAGE + "options"):
            continue
        producer = file.package.removeprefix(PACKAGE).split(".")[0].replace("_", "-")
        comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for index, message in enumerate(file.message_type):
            read = _message(message, file.package, producer, (4, index), comments, options)
            catalogue.messages[read.full_name] = read
        for index, enum in enumerate(file.enum_type):
            values = tuple(
                (value.name, _text(comments, (5, index, 2, position))) for position, value in enumerate(enum.value)
            )
            full_name = f"{file.package}.{enum.name}"
            catalogue.enums[full_name] = EnumType(full_name, _text(comments, (5, index)), values)
    return catalogue


class Options:
    """Reads our own options through classes made from the set itself, so that generating never needs generated code."""

    def __init__(self, files: Iterable[descriptor_pb2.FileDescriptorProto]):
        self._pool = descriptor_pool.DescriptorPool()
        for file in files:
            self._pool.Add(file)

    def _read(self, options, kind: str, extension: str):
        parsed = message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"google.protobuf.{kind}"))
        read = parsed.FromString(options.SerializeToString())
        found = self._pool.FindExtensionByName(f"{PACKAGE}options.v1.{extension}")
        return read.Extensions[found] if found.message_type is None or read.HasExtension(found) else None

    def event(self, options: descriptor_pb2.MessageOptions) -> EventOption | None:
        """Read the `event` option; None for a message that is no event."""
        event = self._read(options, "MessageOptions", "event")
        if event is None:
            return None
        return EventOption(event.topic, event.key, tuple(event.heard_by), event.compacted)

    def site_only(self, options: descriptor_pb2.FieldOptions) -> bool:
        """Read the `site_only` option."""
        return self._read(options, "FieldOptions", "site_only")


def _message(
    message: descriptor_pb2.DescriptorProto,
    package: str,
    producer: str,
    path: tuple[int, ...],
    comments: Comments,
    options: Options,
) -> MessageType:
    fields = tuple(
        _field(part, _text(comments, (*path, 2, position)), options) for position, part in enumerate(message.field)
    )
    event = options.event(message.options)
    return MessageType(f"{package}.{message.name}", producer, _text(comments, path), fields, event)


def _field(part: descriptor_pb2.FieldDescriptorProto, comment: str, options: Options) -> Field:
    if part.type == FieldDescriptor.TYPE_MESSAGE:
        kind, type_name = Kind.MESSAGE, part.type_name.lstrip(".")
    elif part.type == FieldDescriptor.TYPE_ENUM:
        kind, type_name = Kind.ENUM, part.type_name.lstrip(".")
    else:
        label = descriptor_pb2.FieldDescriptorProto.Type.Name(part.type)
        kind, type_name = Kind.SCALAR, label.removeprefix("TYPE_").lower()
    repeated = part.label == descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    return Field(part.name, kind, type_name, repeated, comment, options.site_only(part.options))


def _text(comments: Comments, path: tuple[int, ...]) -> str:
    """Join a comment's lines; a source path is (4 message | 5 enum, index, 2 member, index) of descriptor.proto."""
    return " ".join(comments.get(path, "").split())
