"""Generated from proto/topics.yaml by proto/generate.py; never edited."""

from typing import Any

DEAD_LETTERS: dict[str, Any] = {"partitions": 1, "retention": "forever", "cleanup": "delete"}

TOPIC_SETTINGS: dict[str, dict[str, Any]] = {
    "edge-case-flagged": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "edge-case-reported": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "label-approved": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "label-returned": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "label-submitted": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "model-deployed": {"partitions": 1, "retention": "forever", "cleanup": "delete"},
    "model-promoted": {"partitions": 1, "retention": "forever", "cleanup": "compact"},
    "model-trained": {"partitions": 1, "retention": "forever", "cleanup": "delete"},
    "prediction-failed": {"partitions": 6, "retention": 365, "cleanup": "delete"},
    "prediction-made": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "prediction-requested": {"partitions": 6, "retention": 365, "cleanup": "delete"},
    "project-configured": {"partitions": 1, "retention": "forever", "cleanup": "compact"},
    "reading-requested": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "study-ingested": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "study-rejected": {"partitions": 6, "retention": 365, "cleanup": "delete"},
    "study-withdrawn": {"partitions": 6, "retention": "forever", "cleanup": "delete"},
    "training-failed": {"partitions": 1, "retention": "forever", "cleanup": "delete"},
    "training-requested": {"partitions": 1, "retention": "forever", "cleanup": "delete"},
    "training-started": {"partitions": 1, "retention": "forever", "cleanup": "delete"},
    "training-waiting": {"partitions": 1, "retention": 365, "cleanup": "delete"},
}
