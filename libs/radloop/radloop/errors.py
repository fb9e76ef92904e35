"""Two roots: errors worth another try, and errors that are not. Every message says expected, got, do.

HTTP statuses stand in `radloop.http`, so that nothing here knows a transport.
"""


class RadloopError(Exception):
    """An error with a code for machines and three answers for people.

    Parameters
    ----------
    code : str
        Short kebab-case name, stable over releases.
    expected, got, do : str
        What was expected, what came, and what to do now. Never an identifier, name or payload.
    """

    def __init__(self, code: str, *, expected: str = "", got: str = "", do: str = "") -> None:
        self.code, self.expected, self.got, self.do = code, expected, got, do
        parts = [f"expected {expected}" if expected else "", f"got {got}" if got else "", do]
        super().__init__(f"{code}: " + "; ".join(part for part in parts if part))

    def as_dict(self) -> dict[str, str]:
        """Return the body every transport answers with."""
        return {"error": self.code, "expected": self.expected, "got": self.got, "do": self.do}


class TemporaryError(RadloopError):
    """Worth another try after ``delay_s`` seconds."""

    def __init__(self, code: str, *, delay_s: float = 1.0, expected: str = "", got: str = "", do: str = "") -> None:
        super().__init__(code, expected=expected, got=got, do=do)
        self.delay_s = delay_s


class PermanentError(RadloopError):
    """Trying again will not help."""


class Invalid(PermanentError):
    """What came breaks a rule."""


class NotFound(PermanentError):
    """What was asked for is not there."""


class Conflict(PermanentError):
    """Somebody or something else was first."""


class IllegalTransition(Conflict):
    """The state table knows no such step."""


class Forbidden(PermanentError):
    """We know who asks, and it is not theirs to do."""


class Unauthenticated(PermanentError):
    """We do not know who asks."""


class Busy(TemporaryError):
    """Not now: try again after ``delay_s``."""


class Unavailable(TemporaryError):
    """A database, broker or store is away: nothing is wrong with the work, which is tried again for as long as it lasts."""


class NotYet(RadloopError):
    """An event refers to something its service has not heard of yet.

    The consumer parks the event under ``token`` and delivers it again once a handler has called ``uow.arrived(token)``.
    """

    def __init__(self, token: str) -> None:
        super().__init__("not-yet", expected=token, do="the event waits in the service's own table")
        self.token = token
