"""Access tokens of an OpenID Connect provider: JSON Web Tokens, verified here with the provider's public keys."""

from collections.abc import Mapping
from typing import Any

import jwt

from radloop.auth.principal import EVERY_PROJECT, Principal, Role
from radloop.auth.provider import Provider
from radloop.errors import Unauthenticated

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key. ``none``, and HS256 (whose secret would be the public key), are not among them."""

_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""Key that a signature is made with, by how its name begins (RFC 7518, section 3.1; RFC 8037)."""

_LEEWAY_S = 10.0
"""Difference between two clocks, in seconds, that is no reason to refuse a token."""

_NAMES = {role.value for role in Role}

_REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "one that has expired",
    jwt.ImmatureSignatureError: "one that is not valid yet",
    jwt.InvalidAudienceError: "one for somebody else",
    jwt.InvalidIssuerError: "one of another issuer",
    jwt.InvalidAlgorithmError: "one with another kind of signature",
    jwt.InvalidSignatureError: "one with a false signature",
    jwt.MissingRequiredClaimError: "one that lacks a claim",
}


class OidcAuthenticator:
    """Tokens of a provider.

    Parameters
    ----------
    provider : Provider
    """

    sign_in = "oidc"
    how = (
        "sign in again: the reading room does so by itself; a program asks the identity provider for a new access token"
    )

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def authenticate(self, token: str) -> Principal:
        """Return who presents an access token.

        Raises
        ------
        Unauthenticated
            Not signed by the provider, for another audience, expired, or with roles that cannot be read.
        TemporaryError
            The provider's keys are not known and it does not answer.
        """
        claims = self.verify(token, self.provider.url.audience)
        name = claims.get("name") or claims.get("preferred_username") or ""
        return Principal(subject=claims["sub"], roles=self._roles(claims), name=name if isinstance(name, str) else "")

    def verify(self, token: str, audience: str) -> dict[str, Any]:
        """Return the claims of a token of the provider for an audience; raises as `authenticate` does."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError(header.get("alg"))
            key_id = header.get("kid")
            key = self.provider.key(key_id if isinstance(key_id, str) else None)
            if key is None:
                raise self._refused("one signed by an unknown key")
            if key.key_type != _KEY_TYPES[header["alg"][:2]]:
                raise jwt.InvalidAlgorithmError(header["alg"])
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=ALGORITHMS,
                audience=audience,
                issuer=self.provider.url.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "sub", "aud", "iss"]},
            )
        except jwt.PyJWTError as error:
            reason = next((_REASONS[cls] for cls in type(error).__mro__ if cls in _REASONS), "something else")
            raise self._refused(reason) from error
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise self._refused("one without a subject")
        return claims

    def _roles(self, claims: Mapping[str, Any]) -> dict[str, frozenset[Role]]:
        """Read the roles. What is missing is no role; names of other applications' roles are left out."""
        found = _claim(claims, self.provider.url.roles_claim)
        if found is None:
            return {}
        by_project = found if isinstance(found, dict) else {EVERY_PROJECT: found}
        if not all(isinstance(names, list) for names in by_project.values()):
            raise self._refused(
                f"one whose claim {self.provider.url.roles_claim} is neither a list nor lists by project"
            )
        return {
            project: frozenset(Role(name) for name in names if isinstance(name, str) and name in _NAMES)
            for project, names in by_project.items()
        }

    def _refused(self, got: str) -> Unauthenticated:
        return Unauthenticated(
            "unauthenticated", expected="a valid token of this site's identity provider", got=got, do=self.how
        )


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by a path with dots; None where there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
