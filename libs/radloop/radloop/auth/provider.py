"""An OpenID Connect provider as seen from here: its own description, and the keys it signs with.

Both are fetched when first needed and kept. A provider that is away is asked again at most every few seconds, and the keys
that are known serve on for an hour.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt

from radloop.errors import PermanentError, TemporaryError
from radloop.telemetry import logger

log = logger(__name__)

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_FRESH_S = 300.0
"""Age in seconds after which keys are fetched anew: a key the provider has taken back must end."""
_STALE_S = 3600.0
"""Longest time in seconds that known keys serve while the provider is away."""
_PAUSE_S = 10.0
"""Shortest time in seconds between two requests for keys, whatever tokens come: made-up key ids are no way to flood it."""
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class OidcUrl:
    """What ``RADLOOP_AUTH_URL=oidc+https://<issuer>?...`` says.

    Attributes
    ----------
    issuer : str
        As the provider writes it in its tokens, character by character.
    audience : str
        Whom access tokens must be for.
    client_id : str
        The client that browsers sign in with.
    roles_claim : str
        Claim with the roles: a list of role names, which hold for every project, or a mapping of project id to list. Dots
        lead into nested claims (``realm_access.roles``).
    scope : str
        Asked for at sign-in.
    resource : str
        Asked for at sign-in (RFC 8707), where the provider wants to hear it; empty for not.
    """

    issuer: str
    audience: str
    client_id: str
    roles_claim: str = "roles"
    scope: str = "openid profile"
    resource: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read the setting.

        Raises
        ------
        PermanentError
            Not ``oidc+https`` (``oidc+http`` on this machine), something missing, something unknown.
        """
        issuer, _, query = url.removeprefix("oidc+").partition("?")
        parts = urlsplit(issuer)
        if not parts.hostname or not (parts.scheme == "https" or is_loopback(issuer)):
            raise PermanentError(
                "auth-url-insecure",
                expected="oidc+https://<issuer>; oidc+http:// only on this machine",
                got=f"oidc+{parts.scheme}:…",
                do="set RADLOOP_AUTH_URL",
            )
        given = dict(parse_qsl(query, keep_blank_values=True))
        known = {name for name in cls.__dataclass_fields__ if name != "issuer"}
        if wrong := sorted(set(given) - known) or sorted(n for n in ("audience", "client_id") if not given.get(n)):
            raise PermanentError(
                "auth-url-incomplete",
                expected=f"?audience=...&client_id=... and nothing but {', '.join(sorted(known))}",
                got=f"unknown or missing: {', '.join(wrong)}",
                do="set RADLOOP_AUTH_URL",
            )
        return cls(issuer=issuer, **given)


def is_loopback(url: str) -> bool:
    """Whether an ``http`` address stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


class Provider:
    """A provider, asked over HTTP.

    Parameters
    ----------
    url : OidcUrl
    clock : callable
        Seconds that only grow.
    transport : httpx.BaseTransport, optional
        For tests.
    """

    def __init__(
        self,
        url: OidcUrl,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url, self._clock, self._transport = url, clock, transport
        self._lock = threading.Lock()
        self._described: dict[str, Any] = {}
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")

    def endpoint(self, name: str) -> str:
        """Return an endpoint of the provider's description, e.g. ``token_endpoint``; empty where it has none.

        Raises
        ------
        TemporaryError
            The provider does not answer, or not as one.
        """
        return str(self.description().get(name) or "")

    def description(self) -> dict[str, Any]:
        """Return the provider's description (OpenID Connect Discovery 1.0, section 4).

        Raises
        ------
        TemporaryError
            The provider does not answer, or describes another issuer.
        """
        if not self._described:
            found = self._get(f"{self.url.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.url.issuer:
                # Section 4.3: must be the same, character by character.
                raise self._away("a description of the issuer in RADLOOP_AUTH_URL", "one of another issuer", delay_s=30)
            endpoints = {name: str(value) for name, value in found.items() if name.endswith(("_endpoint", "jwks_uri"))}
            for value in endpoints.values():
                if not (value.startswith("https://") or (is_loopback(self.url.issuer) and is_loopback(value))):
                    raise self._away("endpoints at https", "one without", delay_s=30)
            self._described = found
        return self._described

    def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """Return the key with an id, or None; without an id the only key there is.

        Raises
        ------
        TemporaryError
            It is not known, and the provider does not answer.
        """
        known = self._find(key_id) if self._age() < _STALE_S else None
        if known is not None and self._age() < _FRESH_S:
            return known
        # One asks, the others wait for its answer; who has a key already does not wait.
        if self._lock.acquire(blocking=known is None):
            try:
                self._read_keys(known is not None)
            finally:
                self._lock.release()
        return self._find(key_id)

    def post(self, endpoint: str, form: Mapping[str, str], secret: str) -> httpx.Response:
        """Post a form as the client ``client_id``, with its secret where it has one (OpenID Connect Core 1.0, section 9).

        Raises
        ------
        TemporaryError
            The provider has no such endpoint, does not answer, or is in trouble.
        """
        url = self.endpoint(endpoint)
        if not url:
            raise self._away(f"a provider with a {endpoint}", "none", delay_s=30)
        fields = dict(form) | {"client_id": self.url.client_id}
        basic: httpx.Auth | None = None
        methods = self.description().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret and "client_secret_basic" in methods:
            basic = httpx.BasicAuth(self.url.client_id, secret)
        elif secret:
            fields["client_secret"] = secret
        try:
            with self._connected(basic) as http:
                answer = http.post(url, data=fields, headers={"accept": "application/json"})
        except httpx.HTTPError as error:
            raise self._away("an answer from the identity provider", type(error).__name__) from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise self._away("an answer from the identity provider", f"status {answer.status_code}")
        return answer

    def _connected(self, auth: httpx.Auth | None = None) -> httpx.Client:
        """Open a connection for one request: there are few, minutes apart."""
        # A proxy of the environment is for the way out, not for this machine.
        away = not is_loopback(self.url.issuer)
        return httpx.Client(timeout=_TIMEOUT_S, trust_env=away, transport=self._transport, auth=auth)

    def _age(self) -> float:
        return self._clock() - self._read_at

    def _find(self, key_id: str | None) -> jwt.PyJWK | None:
        keys = self._keys
        if key_id is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(key_id)

    def _read_keys(self, have_one: bool) -> None:
        if self._clock() - self._tried_at < _PAUSE_S:
            if self._age() >= _STALE_S:
                raise self._away("the identity provider's keys", "none yet")
            return
        self._tried_at = self._clock()
        try:
            found = self._get(self.endpoint("jwks_uri"))
        except TemporaryError as error:
            self._described = {}  # perhaps the keys have moved
            if have_one:
                log.warning("identity provider away, known keys serve on", reason=error.code, got=error.got)
                return
            raise
        self._keys = _signing_keys(found)
        self._read_at = self._clock()

    def _get(self, url: str) -> dict[str, Any]:
        try:
            with self._connected() as http:
                answer = http.get(url)
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            got = str(error.response.status_code) if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
            raise self._away("an answer from the identity provider", got) from error
        if not isinstance(found, dict):
            raise self._away("a JSON object from the identity provider", type(found).__name__)
        return found

    def _away(self, expected: str, got: str, *, delay_s: float = 5.0) -> TemporaryError:
        return TemporaryError(
            "identity-provider-away",
            delay_s=delay_s,
            expected=expected,
            got=got,
            do="try again in a moment; if it stays so, the operator checks RADLOOP_AUTH_URL and the provider",
        )


def _signing_keys(found: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Read the keys for signing by their id; kinds that are not known here are left out (RFC 7517, section 5)."""
    keys = {}
    for number, each in enumerate(found.get("keys") or []):
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(each)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        keys[key.key_id or f"#{number}"] = key
    return keys
