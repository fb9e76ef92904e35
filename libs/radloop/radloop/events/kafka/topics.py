"""Brings a cluster's topics to what is declared. Nothing is ever deleted, and no partition count changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from radloop.errors import PermanentError
from radloop.events.kafka.address import KafkaAddress
from radloop.events.kafka.clients import admin_client
from radloop.events.topics import TopicPlan


class Action(StrEnum):
    """What `KafkaTopics.apply` does about a difference."""

    CREATE = "create"
    ALTER = "alter"
    KEEP = "keep"


@dataclass(frozen=True)
class Difference:
    """One thing about a topic that is not as declared."""

    topic: str
    action: Action
    setting: str
    there: str
    declared: str


class KafkaTopics:
    """The topics of one cluster, beside what is declared.

    Parameters
    ----------
    address : KafkaAddress
        Its ``replication`` is used for topics that are made.
    plans : sequence of TopicPlan
    """

    def __init__(self, address: KafkaAddress, plans: Sequence[TopicPlan]) -> None:
        self._address, self._plans = address, {plan.name: plan for plan in plans}

    def differences(self) -> list[Difference]:
        """Compare, changing nothing.

        Raises
        ------
        Unavailable
            When the cluster cannot be asked.
        """
        with admin_client(self._address) as admin:
            there = {topic["name"]: topic for topic in admin.describe_topics() if topic["name"] in self._plans}
            configs = _configs(admin, sorted(there))
        found: list[Difference] = []
        for name, plan in self._plans.items():
            if name not in there:
                found.append(Difference(name, Action.CREATE, "partitions", "", str(plan.partitions)))
                continue
            partitions = len(there[name]["partitions"])
            if partitions != plan.partitions:
                found.append(Difference(name, Action.KEEP, "partitions", str(partitions), str(plan.partitions)))
            copies = min((len(each["replica_nodes"]) for each in there[name]["partitions"]), default=0)
            if self._address.replication not in (-1, copies):
                wanted = str(self._address.replication)
                found.append(Difference(name, Action.KEEP, "replication", str(copies), wanted))
            for setting, value in plan.configs(self._address.replication).items():
                if configs[name].get(setting) != value:
                    found.append(Difference(name, Action.ALTER, setting, configs[name].get(setting, ""), value))
        return found

    def apply(self, differences: Sequence[Difference]) -> None:
        """Make what is missing and set what differs; what says ``keep`` is left.

        Raises
        ------
        Unavailable
            When the cluster cannot be asked.
        PermanentError
            When it refuses a setting; what it said is in the error.
        """
        replication = self._address.replication
        made = {
            each.topic: {
                "num_partitions": self._plans[each.topic].partitions,
                "replication_factor": replication,
                "configs": self._plans[each.topic].configs(replication),
            }
            for each in differences
            if each.action is Action.CREATE
        }
        altered: dict[str, dict[str, str]] = {}
        for each in differences:
            if each.action is Action.ALTER:
                altered.setdefault(each.topic, {})[each.setting] = each.declared
        with admin_client(self._address) as admin:
            if made:
                answer = admin.create_topics(made, raise_errors=False)
                _raise_for({each["name"]: each["error_message"] for each in answer["topics"] if each["error_code"]})
                admin.wait_for_topics(list(made), timeout_ms=30_000)
            if altered:
                resources = [ConfigResource(ConfigResourceType.TOPIC, name, values) for name, values in altered.items()]
                said = admin.alter_configs(resources)["topic"]
                _raise_for({name: answer for name, answer in said.items() if answer != "OK"})


def _configs(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {setting: each["value"] for setting, each in found[name].items()} for name in names}


def _raise_for(refused: dict[str, Any]) -> None:
    if refused:
        raise PermanentError(
            "topics-refused",
            expected="the cluster to make or alter the topics",
            got="; ".join(f"{name}: {said or 'refused'}" for name, said in sorted(refused.items())),
            do="mend what it names; what was done stays done, and applying again goes on",
        )
