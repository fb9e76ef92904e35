"""The rights each service needs on Kafka, generated from the contracts: to read what it hears, to write what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from radloop.contracts.topics import PRODUCERS, TOPICS
from radloop.errors import PermanentError
from radloop.events.kafka.address import KafkaAddress
from radloop.events.kafka.clients import admin_client
from radloop.events.port import dead_letter_topic


@dataclass(frozen=True)
class Right:
    """One user's right to do one thing with one topic or group; ``Read`` and ``Write`` hold ``Describe``."""

    user: str
    operation: str
    resource: str
    name: str


def needed_rights(prefix: str = "") -> list[Right]:
    """Return the rights of all services; the user of a service is ``<prefix><service>``."""
    rights = []
    for service in PRODUCERS:
        user = f"{prefix}{service}"
        heard = [topic.name for topic in TOPICS.values() if service in topic.heard_by]
        said = [topic.name for topic in TOPICS.values() if topic.producer == service]
        rights += [Right(user, "Read", "topic", name) for name in heard]
        rights += [Right(user, "Write", "topic", name) for name in said]
        rights += [Right(user, "Write", "topic", dead_letter_topic(name, service)) for name in heard]
        rights.append(Right(user, "Read", "group", service))
    return rights


def grant(address: KafkaAddress, rights: Sequence[Right]) -> None:
    """Make an ACL for each right; those that are there stay as they are.

    Raises
    ------
    Unavailable
        When the cluster cannot be asked.
    PermanentError
        When it makes no ACLs, or not for this user.
    """
    wanted = [
        ACL(
            principal=f"User:{right.user}",
            host="*",
            operation=ACLOperation[right.operation.upper()],
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(
                ResourceType[right.resource.upper()], right.name, ACLResourcePatternType.LITERAL
            ),
        )
        for right in rights
    ]
    with admin_client(address) as admin:
        failed = admin.create_acls(wanted)["failed"]
    if failed:
        reasons = sorted({type(error).__name__ for _, error in failed})
        raise PermanentError(
            "acls-refused",
            expected="the cluster to make the ACLs",
            got=f"{', '.join(reasons)} for {len(failed)} of {len(wanted)}",
            do="sign in as a user with Alter on the cluster; the cluster needs an authorizer",
        )
