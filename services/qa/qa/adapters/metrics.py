"""Metrics of `qa`."""

from prometheus_client import Counter, Histogram

CHECK_SECONDS = Histogram("radloop_qa_check_seconds", "Seconds for all automatic checks of one label, reading included")
FINDINGS = Counter("radloop_qa_findings_total", "Findings of automatic checks", ["reason", "severity"])
