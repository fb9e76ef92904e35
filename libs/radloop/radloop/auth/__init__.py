"""Who is asking, and what they may do.

`RADLOOP_AUTH_URL=token:<file>`: bearer tokens signed with the secret in that file (embedded, loopback only).
`RADLOOP_AUTH_URL=oidc+https://<issuer>?audience=...&client_id=...`: access tokens of an OpenID Connect provider.
How a browser gets one is in `radloop.session`.
"""

from pathlib import Path

from radloop.auth.principal import EVERY_PROJECT, Authenticator, Member, Principal, Role, pseudonym
from radloop.auth.token import TokenAuthenticator, secret_of
from radloop.errors import PermanentError

__all__ = [
    "EVERY_PROJECT",
    "Authenticator",
    "Member",
    "Principal",
    "Role",
    "TokenAuthenticator",
    "open_authenticator",
    "pseudonym",
    "secret_of",
]


def open_authenticator(url: str) -> Authenticator:
    """Open the authenticator at ``token:<file>`` (the file is made, mode 0600, when missing) or ``oidc+https://...``.

    Nothing is asked of a provider before the first token comes.

    Raises
    ------
    PermanentError
        When the URL names no known way to authenticate, or lacks a part.
    """
    if url.startswith("token:"):
        return TokenAuthenticator(secret_of(Path(url.removeprefix("token:"))))
    if url.startswith("oidc+"):
        # httpx is not needed, and not loaded, where tokens are our own.
        from radloop.auth.oidc import OidcAuthenticator
        from radloop.auth.provider import OidcUrl, Provider

        return OidcAuthenticator(Provider(OidcUrl.parse(url)))
    raise PermanentError(
        "auth-url-unknown",
        expected="token:<file> or oidc+https://<issuer>?audience=...&client_id=...",
        got=url.split(":", 1)[0] + ":…",
        do="set RADLOOP_AUTH_URL",
    )
