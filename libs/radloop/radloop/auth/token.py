"""Tokens that this machine signs itself (embedded, loopback only)."""

import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import jwt

from radloop.auth.principal import Principal, Role
from radloop.errors import Unauthenticated

_AUDIENCE = "radloop"


class TokenAuthenticator:
    """Tokens signed by this site itself (HS256), for one machine.

    Parameters
    ----------
    secret : str
        At least 32 characters.
    """

    sign_in = "token"
    how = "make one with `radloop token`"

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def authenticate(self, token: str) -> Principal:
        """Return who presents the token, or raise `Unauthenticated`."""
        try:
            claims = jwt.decode(
                token, self._secret, algorithms=["HS256"], audience=_AUDIENCE, options={"require": ["exp", "sub"]}
            )
            roles = {project: frozenset(Role(name) for name in names) for project, names in claims["roles"].items()}
        except (jwt.InvalidTokenError, KeyError, ValueError, AttributeError) as error:
            raise Unauthenticated(
                "unauthenticated", expected="a valid token", got=type(error).__name__, do=self.how
            ) from error
        return Principal(subject=claims["sub"], roles=roles, name=str(claims.get("name", "")))

    def issue(self, subject: str, roles: Mapping[str, Iterable[Role]], *, lifetime_s: float, name: str = "") -> str:
        """Sign a token for a subject with these roles by project; ``name`` is what their screen shows."""
        claims = {
            "sub": subject,
            "roles": {project: sorted(names) for project, names in roles.items()},
            "aud": _AUDIENCE,
            "exp": int(time.time() + lifetime_s),
        }
        return jwt.encode(claims | ({"name": name} if name else {}), self._secret, algorithm="HS256")


def secret_of(file: Path) -> str:
    """Return the secret in a file, making both (mode 0600) when missing; safe when several processes start at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    if not file.exists():
        unfinished.touch(mode=0o600)
        unfinished.write_text(secrets.token_hex(32))
        try:
            file.hardlink_to(unfinished)
        except FileExistsError:
            pass  # another process was first: its secret stands
        finally:
            unfinished.unlink()
    return file.read_text().strip()
