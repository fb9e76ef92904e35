"""The documents a subscriber reads, written from the catalogue: AsyncAPI 3 and the event catalogue in Markdown.

AsyncAPI's words: a channel is a topic, an operation is one service sending to or receiving from it. The payload is
protobuf; its schema here is JSON Schema over the proto's own field names, because that is what AsyncAPI tools can show.
"""

from catalogue import Catalogue, EnumType, Field, Kind, MessageType

EVENT_TYPE = "io.radloop.{topic}.v1"
TITLE = "radloop events"
VERSION = "1.0.0"

# JSON Schema (type, format) of each scalar that occurs; a new one fails loudly here.
SCALARS: dict[str, tuple[str, str | None]] = {
    "string": ("string", None),
    "bool": ("boolean", None),
    "int32": ("integer", "int32"),
    "int64": ("integer", "int64"),
    "double": ("number", "double"),
}

HEADERS: dict[str, tuple[bool, str]] = {
    "ce_specversion": (True, 'Version of CloudEvents: "1.0".'),
    "ce_id": (True, "Identity of the event; the same for every repeat of it. Remember it together with ce_source."),
    "ce_type": (True, "Type of the event: io.radloop.<topic>.v1."),
    "ce_source": (True, "Who said it: /<site>/<service>."),
    "ce_time": (True, "When it was said, RFC 3339 in UTC. For people; no logic compares clocks."),
    "ce_subject": (True, "The record's key once more."),
    "ce_correlationid": (True, "Id that all events of one chain of cause and effect share."),
    "ce_causationid": (
        True,
        "ce_id of the event this one answers; its own ce_id where a person or the outside began it.",
    ),
    "traceparent": (True, "W3C trace context."),
    "content-type": (True, "application/protobuf"),
}


def asyncapi(catalogue: Catalogue) -> dict:
    """Build the AsyncAPI 3.0 document of all events.

    Raises
    ------
    KeyError
        A field has a scalar type that `SCALARS` does not know.
    """
    channels, operations, messages = {}, {}, {}
    for message in catalogue.events:
        topic = message.event.topic
        channels[topic] = _channel(catalogue, message)
        messages[message.name] = _asyncapi_message(message)
        reference = {
            "channel": {"$ref": f"#/channels/{topic}"},
            "messages": [{"$ref": f"#/channels/{topic}/messages/{message.name}"}],
        }
        operations[f"{message.producer}.says.{topic}"] = {
            "action": "send",
            "summary": f"{message.producer} says {topic}.",
            **reference,
        }
        for service in message.event.heard_by:
            operations[f"{service}.hears.{topic}"] = {
                "action": "receive",
                "summary": f"{service} hears {topic}.",
                **reference,
            }
    schemas = {message.name: _message_schema(message) for message in catalogue.messages.values()}
    schemas |= {enum.name: _enum_schema(enum) for enum in catalogue.enums.values()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": TITLE,
            "version": VERSION,
            "description": "Generated from proto/ by proto/generate.py. docs/subscribe.md explains how to listen.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/protobuf",
        "channels": channels,
        "operations": dict(sorted(operations.items())),
        "components": {
            "messages": messages,
            "messageTraits": {"cloudEvent": {"headers": {"$ref": "#/components/schemas/CloudEventHeaders"}}},
            "schemas": {"CloudEventHeaders": _headers_schema(), **dict(sorted(schemas.items()))},
        },
    }


def _channel(catalogue: Catalogue, message: MessageType) -> dict:
    event = message.event
    kept_at_site = catalogue.site_only(message)
    return {
        "address": event.topic,
        "title": event.topic,
        "description": message.comment,
        "messages": {message.name: {"$ref": f"#/components/messages/{message.name}"}},
        "bindings": {
            "kafka": {
                "topic": event.topic,
                "topicConfiguration": {"cleanup.policy": ["compact" if event.compacted else "delete"]},
                "bindingVersion": "0.5.0",
            }
        },
        "x-key-field": event.key,
        "x-leaves-the-site": not kept_at_site,
    }


def _asyncapi_message(message: MessageType) -> dict:
    return {
        "name": EVENT_TYPE.format(topic=message.event.topic),
        "title": message.name,
        "summary": message.comment,
        "contentType": "application/protobuf",
        "payload": {"$ref": f"#/components/schemas/{message.name}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"Value of {message.event.key}."},
                "bindingVersion": "0.5.0",
            }
        },
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "x-protobuf-message": message.full_name,
    }


def _headers_schema() -> dict:
    return {
        "type": "object",
        "description": "CloudEvents 1.0, Kafka binding, binary mode.",
        "required": [name for name, (required, _) in HEADERS.items() if required],
        "properties": {name: {"type": "string", "description": text} for name, (_, text) in HEADERS.items()},
    }


def _message_schema(message: MessageType) -> dict:
    schema: dict = {"type": "object", "description": message.comment}
    required = [part.name for part in message.fields if part.required]
    if required:
        schema["required"] = required
    schema["properties"] = {part.name: _field_schema(part) for part in message.fields}
    return schema


def _field_schema(part: Field) -> dict:
    if part.kind is Kind.SCALAR:
        json_type, json_format = SCALARS[part.type]
        value = {"type": json_type} | ({"format": json_format} if json_format else {})
    else:
        value = {"allOf": [{"$ref": f"#/components/schemas/{part.type.rsplit('.', 1)[-1]}"}]}
    if part.repeated:
        value = {"type": "array", "items": value} | ({"minItems": 1} if part.non_empty else {})
    value["description"] = part.comment
    if part.site_only:
        value["x-site-only"] = True
    return value


def _enum_schema(enum: EnumType) -> dict:
    lines = [enum.comment, *(f"{name}: {comment}" for name, comment in enum.values)]
    return {"type": "string", "enum": [name for name, _ in enum.values], "description": "\n".join(lines)}


def events_markdown(catalogue: Catalogue) -> str:
    """Write the event catalogue: every event with topic, key, producer, consumers and fields, then shared types."""
    lines = [
        "# Event catalogue",
        "",
        "Generated from the comments in `proto/` by `proto/generate.py`; edit those, not this page.",
        "[`docs/subscribe.md`](../subscribe.md) says how to listen. As AsyncAPI 3: [`asyncapi.yaml`](asyncapi.yaml).",
        "",
        "| topic | said by | heard by | key | may leave the site |",
        "|---|---|---|---|---|",
    ]
    for message in catalogue.events:
        event = message.event
        kept = catalogue.site_only(message)
        leaves = "no: " + ", ".join(f"`{name}`" for name in kept) if kept else "yes"
        heard_by = ", ".join(event.heard_by)
        lines.append(
            f"| [`{event.topic}`](#{event.topic}) | {message.producer} | {heard_by} | `{event.key}` | {leaves} |"
        )
    for message in catalogue.events:
        lines += _event_section(message)
    parts = [message for message in catalogue.messages.values() if message.event is None]
    lines += ["", "## Parts of events"]
    for message in sorted(parts, key=lambda part: part.name):
        lines += ["", f"### {message.name}", "", message.comment, "", *_field_table(message)]
    lines += ["", "## Closed vocabularies"]
    for enum in sorted(catalogue.enums.values(), key=lambda enum: enum.name):
        lines += ["", f"### {enum.name}", "", enum.comment, "", "| value | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {comment} |" for name, comment in enum.values]
    return "\n".join(lines) + "\n"


def _event_section(message: MessageType) -> list[str]:
    event = message.event
    cleanup = "compacted: the newest record of a key is kept" if event.compacted else "kept for the topic's retention"
    return [
        "",
        f"## {event.topic}",
        "",
        message.comment,
        "",
        f"- Type: `{EVENT_TYPE.format(topic=event.topic)}`, payload `{message.full_name}`",
        f"- Key: the value of `{event.key}`",
        f"- Said by: {message.producer}",
        f"- Heard by: {', '.join(event.heard_by)}",
        f"- Topic: {cleanup}",
        "",
        *_field_table(message),
    ]


def _field_table(message: MessageType) -> list[str]:
    rows = ["| field | type | meaning |", "|---|---|---|"]
    for part in message.fields:
        name = part.type.rsplit(".", 1)[-1]
        shown = f"`{name}`" if part.kind is Kind.SCALAR else f"[`{name}`](#{name.lower()})"
        shown = f"list of {shown}" if part.repeated else shown
        comment = part.comment.replace("|", "\\|") + (" **Stays at the site.**" if part.site_only else "")
        rows.append(f"| `{part.name}` | {shown} | {comment} |")
    return rows
