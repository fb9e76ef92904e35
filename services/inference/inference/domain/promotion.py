"""Which model serves: the decision, and which models stay loaded. Pure functions; the handlers apply them."""

from collections.abc import Iterable

from inference.domain.messages import Deployment, PromotionMode
from inference.domain.model import DeploymentCause, Model, PendingDeployment, Traffic


def outcome_of(candidate: PendingDeployment, traffic: Traffic, mode: PromotionMode, *, loaded: bool) -> Deployment:
    """Decide what becomes of a candidate.

    Parameters
    ----------
    candidate : PendingDeployment
    traffic : Traffic
        As it is now, which may be later than when the candidate was compared.
    mode : PromotionMode
        The project's, as it is now.
    loaded : bool
        Whether Triton loaded the bundle and it predicted on a trial image.

    Notes
    -----
    A trained model serves by itself only if it was compared with the very model that serves now, and nobody has wished
    for a model since it came: where a person has promoted another in the meantime, the comparison says nothing about that
    one; where a person wants what serves, the person is right.
    """
    if candidate.model_digest == traffic.serving_digest:
        return Deployment.SERVING
    if not loaded:
        return Deployment.LOAD_FAILED
    if candidate.cause is not DeploymentCause.TRAINED:
        return Deployment.SERVING
    serves_at_once = (
        mode is PromotionMode.AUTOMATIC
        and candidate.passes
        and candidate.compared_with == traffic.serving_digest
        and candidate.wish_sequence == traffic.wish_sequence
    )
    return Deployment.SERVING if serves_at_once else Deployment.KEPT


def digests_to_keep(traffic: Iterable[Traffic], asked_for: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the (project, digest) pairs that must stay in Triton.

    What serves, what was just replaced, and what a waiting prediction still needs; anything else only takes memory.
    """
    kept = set(asked_for)
    for of_project in traffic:
        for digest in (of_project.serving_digest, of_project.previous_digest):
            if digest:
                kept.add((of_project.project_id, digest))
    return kept


def names_to_unload(models: Iterable[Model], keep: set[tuple[str, str]], loaded: set[str]) -> set[str]:
    """Return the names in Triton that are ours and no longer needed; models somebody else loaded there are left alone."""
    models = list(models)
    ours = {model.triton_name for model in models}
    needed = {model.triton_name for model in models if (model.project_id, model.model_digest) in keep}
    return (ours - needed) & loaded
