"""Every topic by name, and which of them may leave the site. The one module here that is written by hand.

It reads the options that the generated classes carry (`options.proto`), so it can never disagree with the contracts.
A service reads its own topics from its `Wire`; this table is for what looks at all of them: creating topics, the mirror.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.options.v1 import options_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.errors import PermanentError

PRODUCERS = {
    "control-plane": control_plane_pb2,
    "edge-miner": edge_miner_pb2,
    "inference": inference_pb2,
    "ingest": ingest_pb2,
    "labeling": labeling_pb2,
    "qa": qa_pb2,
    "trainer": trainer_pb2,
}


@dataclass(frozen=True)
class Topic:
    """What the contract says about one topic."""

    name: str
    event: type[Message]
    producer: str
    key: str
    heard_by: tuple[str, ...]
    compacted: bool
    # Fields that must not leave the site, as "Type.field"; those of nested messages included.
    site_only: tuple[str, ...]


def _site_only(descriptor: Descriptor, seen: frozenset[str] = frozenset()) -> tuple[str, ...]:
    found: list[str] = []
    for field in descriptor.fields:
        if field.GetOptions().Extensions[options_pb2.site_only]:
            found.append(f"{descriptor.name}.{field.name}")
        nested = field.message_type
        if nested is not None and nested.full_name not in seen:
            found.extend(_site_only(nested, seen | {descriptor.full_name}))
    return tuple(dict.fromkeys(found))


def _topics() -> dict[str, Topic]:
    found = {}
    for producer, module in PRODUCERS.items():
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            if not descriptor.GetOptions().HasExtension(options_pb2.event):
                continue
            option = descriptor.GetOptions().Extensions[options_pb2.event]
            found[option.topic] = Topic(
                name=option.topic,
                event=getattr(module, descriptor.name),
                producer=producer,
                key=option.key,
                heard_by=tuple(option.heard_by),
                compacted=option.compacted,
                site_only=_site_only(descriptor),
            )
    return dict(sorted(found.items()))


TOPICS: dict[str, Topic] = _topics()


def mirror_allow_list(wanted: Iterable[str] | None = None) -> tuple[str, ...]:
    """Say which topics a mirror may carry out of the site.

    Parameters
    ----------
    wanted : iterable of str, optional
        Topics somebody asks to mirror; all that may leave when None.

    Returns
    -------
    tuple of str
        Topic names, sorted, each once.

    Raises
    ------
    PermanentError
        ``unknown-topic`` or ``site-only``: a wanted topic does not exist, or has a field marked `site_only`. Nothing is
        dropped silently: a mirror that was asked for too much must not start.
    """
    if wanted is None:
        return tuple(name for name, topic in TOPICS.items() if not topic.site_only)
    names = sorted(set(wanted))
    for name in names:
        if name not in TOPICS:
            known = ", ".join(TOPICS)
            raise PermanentError("unknown-topic", expected=f"one of {known}", got=name, do="Correct the mirror's list.")
        kept = ", ".join(TOPICS[name].site_only)
        if kept:
            raise PermanentError(
                "site-only",
                expected="topics without a field marked site_only",
                got=f"{name} with {kept}",
                do="Take the topic off the mirror's list; what the field holds stays at the site.",
            )
    return tuple(names)
