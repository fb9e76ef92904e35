"""What follows from the order of deployments, and from which weights a model started."""

from collections.abc import Iterable, Mapping, Sequence

from radloop.errors import Conflict


def served_before(history: Mapping[str, Sequence[str]]) -> str:
    """Find the model that served before the one that serves now.

    Parameters
    ----------
    history : mapping of str to sequence of str
        By site: the digest that served after each deployment, oldest first; empty where none served.

    Returns
    -------
    str
        Digest of the last model that served and is not the serving one; repeats of one model count once.

    Raises
    ------
    Conflict
        ``no-earlier-model`` when nothing else ever served; ``sites-differ`` when sites would go back to different models.
    """
    found = set()
    for served in history.values():
        if served:
            earlier = [digest for digest in served if digest and digest != served[-1]]
            found.add(earlier[-1] if earlier else "")
    if len(found) > 1:
        raise Conflict(
            "sites-differ",
            expected="one model that served before at every site",
            got=f"{len(found)} different ones",
            do="promote the one you want by its digest",
        )
    digest = found.pop() if found else ""
    if not digest:
        raise Conflict(
            "no-earlier-model",
            expected="a model that served before",
            got="none",
            do="promote a model by its digest, or let none serve (serve-none)",
        )
    return digest


def fulfilled(
    history: Mapping[str, Sequence[str]], answered: Mapping[str, int], sequence: int, digest: str
) -> dict[str, list[str]]:
    """Return the history as it will be once every site has done what the newest wish asks.

    Going back then means the same whether or not a site had the time to load the model: a roll-back right after a promotion
    undoes the promotion.

    Parameters
    ----------
    history : mapping of str to sequence of str
        As `served_before` takes it.
    answered : mapping of str to int
        By site: sequence of the newest wish it has answered.
    sequence, digest : int, str
        The newest wish; an empty digest asks for no model.
    """
    return {
        site: [*served, digest] if answered.get(site, 0) < sequence else list(served)
        for site, served in history.items()
    }


def descendants(started_from: Mapping[str, str], roots: Iterable[str]) -> set[str]:
    """Find the models whose weights go back to one of the roots, at any distance; the roots themselves not included.

    Parameters
    ----------
    started_from : mapping of str to str
        Model digest -> digest of the model whose weights its training began with; empty for random weights.
    roots : iterable of str
        Model digests.
    """
    known = set(roots)
    found: set[str] = set()
    while True:
        more = {digest for digest, start in started_from.items() if start in known | found} - found - known
        if not more:
            return found
        found |= more
