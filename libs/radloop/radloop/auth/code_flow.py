"""The authorization code flow with PKCE, as the client: what is asked of the provider, and what is made of its answers.

Cookies and pages are in `radloop.session`. References: RFC 6749 (sections 4.1 and 6), RFC 7636 (S256), RFC 9207 (``iss``),
OpenID Connect Core 1.0 (section 3.1), RP-Initiated Logout 1.0.
"""

import hashlib
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jwt

from radloop.auth.oidc import OidcAuthenticator
from radloop.errors import Conflict, Forbidden, TemporaryError, Unauthenticated

SIGN_IN_S = 600
"""How long somebody may take at the provider, in seconds."""


@dataclass(frozen=True, slots=True, repr=False)
class Begun:
    """A sign-in on its way.

    Attributes
    ----------
    location : str
        Where the browser goes.
    state : str
        What the provider brings back.
    proof : str
        State, nonce, PKCE verifier and where to go on, signed: kept by the browser until it is back.
    """

    location: str
    state: str
    proof: str


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What the provider gives for a code or a refresh token.

    Attributes
    ----------
    access : str
        Checked to be one that the services take.
    refresh : str
        Empty where the provider gives none.
    lifetime_s : int
        Of the access token.
    go_on : str
        Where the person wanted to go; empty after a refresh.
    """

    access: str
    refresh: str
    lifetime_s: int
    go_on: str = ""


class CodeFlow:
    """Signs people in at a provider.

    Parameters
    ----------
    authenticator : OidcAuthenticator
        Of the same provider.
    redirect_uri : str
        Where the provider sends browsers back to; registered there.
    signing_secret : str
        Of the proof; the same in all replicas.
    client_secret : str
        Empty for a public client.
    """

    def __init__(
        self, authenticator: OidcAuthenticator, *, redirect_uri: str, signing_secret: str, client_secret: str = ""
    ) -> None:
        self._authenticator, self._provider = authenticator, authenticator.provider
        self._redirect_uri, self._signing_secret = redirect_uri, signing_secret
        self._client_secret = client_secret

    def begin(self, go_on: str) -> Begun:
        """Start a sign-in.

        Raises
        ------
        TemporaryError
            The provider does not answer.
        """
        url = self._provider.url
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        asked = {
            "response_type": "code",
            "client_id": url.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": url.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        if "offline_access" in url.scope.split():
            asked["prompt"] = "consent"  # Core, section 11: without it the scope is ignored
        asked |= self._resource()
        endpoint = self._provider.endpoint("authorization_endpoint")
        joint = "&" if "?" in endpoint else "?"
        kept = {"state": state, "nonce": nonce, "verifier": verifier, "go_on": go_on, "exp": time.time() + SIGN_IN_S}
        proof = jwt.encode(kept, self._signing_secret, algorithm="HS256")
        return Begun(f"{endpoint}{joint}{urlencode(asked)}", state, proof)

    def finish(self, answer: Mapping[str, str], proof: str) -> Tokens:
        """Turn what the provider brought back into tokens.

        Parameters
        ----------
        answer : Mapping[str, str]
            Query of the callback: ``code`` and ``state``, or ``error``.
        proof : str
            Of the browser that began; empty where it has none.

        Raises
        ------
        Conflict
            Not what this browser began, or too late.
        Forbidden
            The provider or the person said no.
        Unauthenticated
            The provider does not take the code, or its tokens are not what they should be.
        TemporaryError
            The provider does not answer.
        """
        kept = self._kept(proof)
        if not answer.get("state") or not secrets.compare_digest(answer["state"].encode(), kept["state"].encode()):
            raise _other_sign_in("an answer to another sign-in")
        if answer.get("iss", self._provider.url.issuer) != self._provider.url.issuer:
            raise _other_sign_in("an answer of another provider")
        if not answer.get("code"):
            raise Forbidden(
                "sign-in-refused",
                expected="the identity provider's consent",
                got=_word(answer.get("error", "")),
                do="sign in again, or ask who runs the identity provider",
            )
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": self._redirect_uri,
            "code_verifier": kept["verifier"],
        }
        body = self._tokens(form | self._resource())
        tokens = self._checked(body, go_on=kept["go_on"])
        self._check_identity(body, kept["nonce"], tokens.access)
        return tokens

    def refresh(self, token: str) -> Tokens:
        """Get a new access token.

        Raises
        ------
        Unauthenticated
            The session is over.
        TemporaryError
            The provider does not answer.
        """
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return self._checked(self._tokens(form | self._resource()), former=token)

    def end(self, refresh_token: str, back_to: str) -> str:
        """Forget a session at the provider; return where a browser ends its session there, or ``back_to``.

        A provider that is away does not keep anybody from signing out here.
        """
        try:
            if refresh_token and self._provider.endpoint("revocation_endpoint"):
                form = {"token": refresh_token, "token_type_hint": "refresh_token"}
                self._provider.post("revocation_endpoint", form, self._client_secret)
            endpoint = self._provider.endpoint("end_session_endpoint")
        except TemporaryError:
            return back_to
        if not endpoint:
            return back_to
        asked = {"client_id": self._provider.url.client_id, "post_logout_redirect_uri": back_to}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    def _resource(self) -> dict[str, str]:
        return {"resource": self._provider.url.resource} if self._provider.url.resource else {}

    def _kept(self, proof: str) -> dict[str, Any]:
        if not proof:
            raise _other_sign_in("none that this browser began")
        try:
            kept: dict[str, Any] = jwt.decode(
                proof, self._signing_secret, algorithms=["HS256"], options={"require": ["exp"]}
            )
        except jwt.ExpiredSignatureError as error:
            raise _other_sign_in(f"one that began more than {SIGN_IN_S // 60} minutes ago") from error
        except jwt.InvalidTokenError as error:
            raise _other_sign_in("one that was not begun here") from error
        return kept

    def _tokens(self, form: Mapping[str, str]) -> dict[str, Any]:
        answer = self._provider.post("token_endpoint", form, self._client_secret)
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.status_code != 200 or not isinstance(body, dict):
            code = body.get("error") if isinstance(body, dict) else ""
            raise Unauthenticated(
                "session-over",
                expected="tokens of the identity provider",
                got=_word(code if isinstance(code, str) else "") or f"status {answer.status_code}",
                do="sign in again",
            )
        return body

    def _checked(self, body: Mapping[str, Any], *, go_on: str = "", former: str = "") -> Tokens:
        access = body.get("access_token")
        if not isinstance(access, str) or str(body.get("token_type", "")).lower() != "bearer":
            raise _bad_tokens("no bearer token")
        self._authenticator.authenticate(access)
        lifetime = body.get("expires_in")
        lifetime_s = int(lifetime) if isinstance(lifetime, (int, float)) else 300
        # A provider that gives no new refresh token lets the former one live.
        return Tokens(access, str(body.get("refresh_token") or former), max(1, lifetime_s), go_on)

    def _check_identity(self, body: Mapping[str, Any], nonce: str, access: str) -> None:
        """Check the ID token (Core, section 3.1.3.7): for this client, answering this sign-in, about the same person."""
        client_id = self._provider.url.client_id
        claims = self._authenticator.verify(str(body.get("id_token") or ""), client_id)
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _bad_tokens("an identity for another sign-in")
        if claims.get("azp", client_id) != client_id:
            raise _bad_tokens("an identity for another client")
        if claims["sub"] != self._authenticator.authenticate(access).subject:
            raise _bad_tokens("tokens of two people")


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _word(code: str) -> str:
    """Return an error code of the provider if it looks like one; it comes by way of the browser."""
    return code if code.replace("_", "").isalnum() and code.isascii() and len(code) <= 60 else ""


def _other_sign_in(got: str) -> Conflict:
    return Conflict("sign-in-unknown", expected="the sign-in this browser began", got=got, do="sign in again")


def _bad_tokens(got: str) -> Unauthenticated:
    return Unauthenticated(
        "tokens-refused",
        expected="an identity and an access token of this site's provider",
        got=got,
        do="sign in again; if it stays so, the operator checks the client at the provider",
    )
