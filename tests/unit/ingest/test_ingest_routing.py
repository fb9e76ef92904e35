"""Which project takes a series, and how patients are split."""

import pytest

from ingest.domain.messages import RoutingRule, SplitPolicy
from ingest.domain.routing import RoutingAttributes, hashed_split, takes
from radloop.references import Split

SERIES = RoutingAttributes("PROSTATE", "MR", "Prostate", "T2 tse Axial")


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        ([("", "MR", "", "")], True),
        ([("", "CT", "", "")], False),
        ([("", "CT", "", ""), ("", "MR", "", "")], True),
        ([("PROSTATE", "MR", "", "")], True),
        ([("BRAIN", "MR", "", "")], False),
        ([("", "", "PROSTATE", "")], True),
        ([("", "", "LIVER", "")], False),
        ([("", "MR", "", "t2 TSE")], True),
        ([("", "MR", "", "dwi")], False),
        ([("", "", "", "")], True),
        ([], False),
    ],
)
def test_takes(rules, taken):
    assert takes(tuple(RoutingRule(*rule) for rule in rules), SERIES) is taken


@pytest.mark.parametrize(
    ("fraction", "split"),
    [
        (0.0, Split.TEST),
        (0.0999, Split.TEST),
        (0.1, Split.VALIDATION),
        (0.2999, Split.VALIDATION),
        (0.301, Split.TRAIN),
        (0.99, Split.TRAIN),
    ],
)
def test_hashed_split(fraction, split):
    assert hashed_split(SplitPolicy(validation_fraction=0.2, test_fraction=0.1), fraction) is split
