"""Looks at what a platform left behind, and at nothing else: topics, tables and objects, read with the plain clients.

It shares no line with the services, the outbox or the event log: only the contracts, which say what the bytes mean. Each check
returns the faults it found, in words; an empty list is a platform that kept its promises.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
import psycopg
from kafka import KafkaConsumer, TopicPartition

from radloop.contracts.topics import TOPICS

# Fields that grow by one for each key of their topic, or for each case in it.
SEQUENCES = {
    "model-deployed": (("project_id",), "sequence"),
    "project-configured": (("project_id",), "project_version"),
    "study-ingested": (("study_key", "project_id"), "revision"),
    "label-approved": (("case_id",), "sequence"),
    "training-started": (("project_id",), "run_number"),
    "training-waiting": (("run_id",), "sequence"),
}


@dataclass(frozen=True)
class Said:
    """One record: where it stands, who said it, and its payload."""

    topic: str
    partition: int
    offset: int
    key: str
    source: str
    event_id: str
    payload: Any


@dataclass
class Plane:
    """What one plane left behind.

    Attributes
    ----------
    topics
        Every record of every topic, in the order of each partition; repeats included.
    rows
        Every row of every table as text, by (schema, table).
    objects
        Keys of the object store.
    """

    topics: dict[str, list[Said]]
    rows: dict[tuple[str, str], list[tuple[Any, ...]]] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)

    def distinct(self, topic: str) -> list[Said]:
        """Return the records of a topic, each event once, where it stands first."""
        first: dict[tuple[str, str], Said] = {}
        for said in self.topics.get(topic, []):
            first.setdefault((said.source, said.event_id), said)
        return list(first.values())

    def payloads(self, topic: str) -> list[Any]:
        """Return the payloads of a topic, each event once."""
        return [said.payload for said in self.distinct(topic)]


def read_topics(bootstrap: str) -> dict[str, list[Said]]:
    """Read every topic of a cluster but Kafka's own and MirrorMaker's, from its first record to its last."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        bootstrap_timeout_ms=20_000,
    )
    found: dict[str, list[Said]] = {}
    try:
        for topic in sorted(consumer.topics()):
            original = topic.split(".", 1)[0]
            if original not in TOPICS:
                continue
            places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            ends = consumer.end_offsets(places)
            consumer.assign(places)
            consumer.seek_to_beginning(*places)
            found[topic] = []
            while any(consumer.position(place) < ends[place] for place in places):
                for records in consumer.poll(timeout_ms=500).values():
                    found[topic] += [_said(original, record) for record in records]
    finally:
        consumer.close()
    return found


def _said(original: str, record: Any) -> Said:
    headers = {name: value.decode() for name, value in record.headers}
    return Said(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=(record.key or b"").decode(),
        source=headers.get("ce_source", ""),
        event_id=headers.get("ce_id", ""),
        payload=TOPICS[original].event.FromString(record.value),
    )


def read_rows(url: str) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """Read every table of a database that is not PostgreSQL's own."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        return {
            (schema, table): connection.execute(f'SELECT * FROM "{schema}"."{table}"').fetchall()
            for schema, table in tables
        }


def read_keys(endpoint: str, bucket: str, access_key: str, secret_key: str) -> set[str]:
    """List the keys of a bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {each["Key"] for page in pages for each in page.get("Contents", [])}


def _repeated(values: Iterable[Any], what: str) -> list[str]:
    return [f"{what}: {value} said {count} times" for value, count in Counter(values).items() if count > 1]


def studies_announced_once(site: Plane, accepted: int) -> list[str]:
    """Each accepted study is announced, once per project and revision, and each of its cases once."""
    studies = site.payloads("study-ingested")
    faults = _repeated(((s.study_key, s.project_id, s.revision) for s in studies), "study-ingested")
    faults += _repeated((case.case_id for study in studies for case in study.cases), "case in study-ingested")
    announced = len({study.study_key for study in studies})
    if announced != accepted:
        faults.append(f"{accepted} studies were accepted, {announced} announced")
    return faults


def one_prediction_each(site: Plane) -> list[str]:
    """One prediction per (case, model, settings); it is said once to each round that asked."""
    predictions = site.payloads("prediction-made")
    faults = _repeated(((p.prediction_id, p.round_id) for p in predictions), "prediction-made")
    identity = defaultdict(set)
    for each in predictions:
        identity[(each.case_id, each.model_digest, each.settings_digest)].add(each.prediction_id)
    return faults + [f"{len(ids)} predictions for {key}" for key, ids in identity.items() if len(ids) > 1]


def no_label_lost(site: Plane, acknowledged: Iterable[str]) -> list[str]:
    """Every label version somebody was told is stored was said once, and judged once: approved or returned."""
    submitted = [label.label_version_id for label in site.payloads("label-submitted")]
    approved = [label.label_version_id for label in site.payloads("label-approved")]
    returned = [label.label_version_id for label in site.payloads("label-returned")]
    faults = _repeated(submitted, "label-submitted") + _repeated(approved, "label-approved")
    faults += _repeated(returned, "label-returned")
    faults += [f"acknowledged, never said: {label}" for label in set(acknowledged) - set(submitted)]
    faults += [f"judged twice: {label}" for label in set(approved) & set(returned)]
    faults += [f"judged, never submitted: {label}" for label in (set(approved) | set(returned)) - set(submitted)]
    return faults


def approved_labels_train(site: Plane) -> list[str]:
    """Every approved label is in the newest dataset version, or a newer approved label of its case is."""
    newest: dict[str, Any] = {}
    for label in site.payloads("label-approved"):
        if label.case_id not in newest or newest[label.case_id].sequence < label.sequence:
            newest[label.case_id] = label
    runs = site.payloads("training-started")
    if not runs:
        return ["no training was started"]
    items = {item.label_version_id for item in max(runs, key=lambda run: run.run_number).items}
    return [
        f"approved, in no dataset version: {each.label_version_id}"
        for each in newest.values()
        if each.label_version_id not in items
    ]


def order_kept(plane: Plane) -> list[str]:
    """In each topic, the numbers of a key never fall, and every key keeps to one partition."""
    faults = []
    for topic, records in plane.topics.items():
        partitions = defaultdict(set)
        for said in records:
            partitions[said.key].add(said.partition)
        faults += [
            f"{topic}: key {key} in partitions {sorted(found)}" for key, found in partitions.items() if len(found) > 1
        ]
    for topic, (names, number) in SEQUENCES.items():
        numbers = defaultdict(list)
        for said in plane.distinct(topic):
            numbers[tuple(getattr(said.payload, name) for name in names)].append(getattr(said.payload, number))
        faults += [f"{topic}: {key} came as {found}" for key, found in numbers.items() if found != sorted(set(found))]
    return faults


def nothing_waits(plane: Plane) -> list[str]:
    """No dead letter, no row in an outbox, no parked event."""
    faults = [
        f"dead letters in {topic}: {len(records)}"
        for topic, records in plane.topics.items()
        if topic.endswith(".dlq") and records
    ]
    for (schema, table), rows in plane.rows.items():
        if table in ("outbox", "parked") and rows:
            faults.append(f"{schema}.{table} holds {len(rows)} rows")
    return faults


def no_orphan_object(site: Plane) -> list[str]:
    """After a sweep, every object's key stands in some row."""
    text = "\n".join(
        str(value) for rows in site.rows.values() for row in rows for value in row if isinstance(value, str)
    )
    return [f"nothing refers to {key}" for key in sorted(site.objects) if key not in text]


def models_have_lineage(site: Plane) -> list[str]:
    """Every model comes from a run, every run's dataset from approved labels, every candidate is answered once."""
    runs = {run.run_id: run for run in site.payloads("training-started")}
    approved = {label.label_version_id for label in site.payloads("label-approved")}
    faults = _repeated((model.run_id for model in site.payloads("model-trained")), "model-trained")
    for model in site.payloads("model-trained"):
        run = runs.get(model.run_id)
        if run is None or (run.dataset_version, run.plan_digest) != (model.dataset_version, model.plan_digest):
            faults.append(f"model {model.model_digest} has no run of its own")
    for run in runs.values():
        faults += [
            f"run {run.run_id} trains on a label nobody approved"
            for item in run.items
            if item.label_version_id not in approved
        ]
    return faults


def mirrored(sites: Sequence[Plane], cloud: Plane, outgoing: Iterable[str], incoming: Iterable[str]) -> list[str]:
    """What a site may say has arrived in the cloud, what the cloud says at every site, nothing else in the cloud."""
    faults = []
    for topic in outgoing:
        here = {(said.source, said.event_id) for site in sites for said in site.topics.get(topic, [])}
        there = {(said.source, said.event_id) for said in cloud.topics.get(topic, [])}
        if here != there:
            faults.append(
                f"{topic}: {len(here - there)} did not arrive in the cloud, {len(there - here)} came from nowhere"
            )
    for topic in incoming:
        here = {(said.source, said.event_id) for said in cloud.topics.get(topic, [])}
        for site in sites:
            there = {(said.source, said.event_id) for said in site.topics.get(topic, [])}
            if here != there:
                faults.append(f"{topic}: the cloud said {len(here)}, a site heard {len(there)}")
    kept_back = [topic for topic, records in cloud.topics.items() if records and topic not in {*outgoing, *incoming}]
    return faults + [f"{topic} must not reach the cloud" for topic in kept_back if not topic.endswith(".dlq")]


def site_faults(site: Plane, *, accepted: int, acknowledged: Iterable[str]) -> Mapping[str, list[str]]:
    """Run every check of one site; return the faults of those that found any."""
    found = {
        "studies announced once": studies_announced_once(site, accepted),
        "one prediction each": one_prediction_each(site),
        "no label lost": no_label_lost(site, acknowledged),
        "approved labels train": approved_labels_train(site),
        "order kept": order_kept(site),
        "nothing waits": nothing_waits(site),
        "models have lineage": models_have_lineage(site),
    }
    return {name: faults for name, faults in found.items() if faults}


def all_faults(
    site: Plane,
    cloud: Plane,
    *,
    accepted: int,
    acknowledged: Iterable[str],
    outgoing: Sequence[str],
    incoming: Sequence[str],
) -> Mapping[str, list[str]]:
    """Run every check of a site that was swept and of its cloud; return the faults of those that found any."""
    found = {
        "no orphan object": no_orphan_object(site),
        "order kept in the cloud": order_kept(cloud),
        "nothing waits in the cloud": nothing_waits(cloud),
        "mirrored": mirrored([site], cloud, outgoing, incoming),
    }
    faults = {name: faults for name, faults in found.items() if faults}
    return {**site_faults(site, accepted=accepted, acknowledged=acknowledged), **faults}
