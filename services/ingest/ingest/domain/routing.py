"""Which project takes a series, and in which split its patient is."""

from dataclasses import dataclass

from ingest.domain.messages import RoutingRule, SplitPolicy
from radloop.references import Split


@dataclass(frozen=True, slots=True)
class RoutingAttributes:
    """What routing looks at. Kept encrypted: a description can name somebody.

    Attributes
    ----------
    called_ae_title : str
        AE title the series was sent to; empty for an upload.
    modality, body_part, description : str
        Modality (0008,0060), Body Part Examined (0018,0015), Series Description (0008,103E).
    """

    called_ae_title: str
    modality: str
    body_part: str
    description: str


def takes(rules: tuple[RoutingRule, ...], series: RoutingAttributes) -> bool:
    """Whether any rule matches: all its non-empty fields do. A rule without any field takes everything; no rule, nothing."""
    return any(_matches(rule, series) for rule in rules)


def _matches(rule: RoutingRule, series: RoutingAttributes) -> bool:
    return (
        rule.called_ae_title in ("", series.called_ae_title)
        and rule.modality in ("", series.modality)
        and (not rule.body_part or rule.body_part.casefold() == series.body_part.casefold())
        and rule.description_contains.casefold() in series.description.casefold()
    )


def hashed_split(policy: SplitPolicy, fraction: float) -> Split:
    """Return the split of a patient nobody has decided on.

    Parameters
    ----------
    policy : SplitPolicy
        Shares for validation and test.
    fraction : float
        Uniform in [0, 1), keyed by project and patient.
    """
    if fraction < policy.test_fraction:
        return Split.TEST
    if fraction < policy.test_fraction + policy.validation_fraction:
        return Split.VALIDATION
    return Split.TRAIN
