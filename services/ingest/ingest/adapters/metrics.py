"""Metrics of `ingest`, on top of those every service has."""

from prometheus_client import Counter, Histogram

INSTANCES = Counter("radloop_ingest_instances_total", "Instances sent here, by what became of them", ["fate"])
TURNED_AWAY = Counter(
    "radloop_ingest_senders_turned_away_total", "Associations refused or ended here, by why", ["reason"]
)
CASES = Counter("radloop_ingest_cases_total", "Cases formed", ["project_id"])
FORMING_SECONDS = Histogram(
    "radloop_ingest_forming_seconds", "Seconds from picking a complete study to its cases' commit"
)
