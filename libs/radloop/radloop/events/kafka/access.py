"""What one user may do with topics and groups, as Kafka itself tells it, so that a missing ACL is named before it hurts."""

from collections.abc import Sequence

from kafka import KafkaAdminClient
from kafka.errors import GroupAuthorizationFailedError

from radloop.errors import Unavailable
from radloop.events.kafka.clients import ask_coordinator

_UNKNOWN_TOPIC, _FORBIDDEN_TOPIC = 3, 29
"""Codes of Kafka's protocol."""


def lacking(
    admin: KafkaAdminClient, user: str, group: str, heard: Sequence[str], said: Sequence[str]
) -> Unavailable | None:
    """Return which topics or rights a user lacks, or None.

    Parameters
    ----------
    admin : KafkaAdminClient
        Signed in as the user.
    user : str
        Its name; empty where nobody signs in.
    group : str
        Group it reads as.
    heard, said : sequence of str
        Topics it reads and writes.
    """
    wanted = {topic: ["READ"] for topic in heard}
    for topic in said:
        wanted.setdefault(topic, []).append("WRITE")
    missing, forbidden = [], []
    for topic in admin.describe_topics(sorted(wanted)):
        if topic["error_code"] == _UNKNOWN_TOPIC:
            missing.append(topic["name"])
        elif topic["error_code"] == _FORBIDDEN_TOPIC:
            forbidden.append(f"Describe on topic {topic['name']}")
        else:
            refused = set(wanted[topic["name"]]) - set(topic["authorized_operations"])
            forbidden += [f"{operation.capitalize()} on topic {topic['name']}" for operation in sorted(refused)]
    if not _may_read_group(admin, group):
        forbidden.append(f"Read on group {group}")
    if forbidden:
        return Unavailable(
            "event-log-forbidden",
            delay_s=5.0,
            expected=f"ACLs that allow the user {user or 'ANONYMOUS'}: {', '.join(forbidden)}",
            got="none that do",
            do="radloop topics acls --apply, or grant them by hand",
        )
    if missing:
        return Unavailable(
            "topics-missing",
            delay_s=5.0,
            expected=f"the topics {', '.join(missing)}",
            got="a cluster without them",
            do="radloop topics apply",
        )
    return None


def _may_read_group(admin: KafkaAdminClient, group: str) -> bool:
    try:
        found = ask_coordinator(lambda: admin.describe_groups([group]))[group]
    except GroupAuthorizationFailedError:
        return False
    if "GroupAuthorizationFailed" in (found["error"] or ""):
        return False
    allowed = found.get("authorized_operations")
    return not allowed or "READ" in allowed  # of a group that has no member yet Kafka tells no operations
