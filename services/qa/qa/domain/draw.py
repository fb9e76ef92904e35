"""Which cases are read twice: a draw that nobody can foresee and everybody can repeat."""

import hashlib
import hmac


def drawn(case_id: str, share: float, key: bytes) -> bool:
    """Whether a case is among the given share of cases (0..1) for a second blind reading.

    The keyed hash of the case id decides, so that a replay draws the same cases, and a reader who knows the id but not the
    key cannot tell them.
    """
    digest = hmac.new(key, case_id.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
