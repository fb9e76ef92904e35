"""Access tokens of an identity provider: which are taken, which are not, and what happens while the provider is away."""

import base64
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from radloop.auth import Role, open_authenticator
from radloop.auth.oidc import OidcAuthenticator
from radloop.auth.provider import OidcUrl, Provider
from radloop.errors import PermanentError, TemporaryError, Unauthenticated

ISSUER = "https://id.example.org/realms/site"
URL = f"oidc+{ISSUER}?audience=api&client_id=webui"
KEYS = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("first", "second", "other")}


class World:
    """A provider on the other end of the wire, and a clock."""

    def __init__(self, url: str = URL) -> None:
        self.now = 1000.0
        self.published = ["first"]
        self.away = False
        self.issuer = ISSUER
        self.asked: list[str] = []
        self.extra_keys: list[dict[str, Any]] = []
        provider = Provider(OidcUrl.parse(url), clock=lambda: self.now, transport=httpx.MockTransport(self.answer))
        self.authenticator = OidcAuthenticator(provider)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.away:
            raise httpx.ConnectError("away")
        if request.url.path.endswith("/openid-configuration"):
            return httpx.Response(200, json={"issuer": self.issuer, "jwks_uri": f"{ISSUER}/keys"})
        keys = [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[name].public_key())) for name in self.published]
        named = [key | {"kid": name, "use": "sig"} for key, name in zip(keys, self.published, strict=True)]
        return httpx.Response(200, json={"keys": named + self.extra_keys})

    def subject(self, token: str) -> str:
        return self.authenticator.authenticate(token).subject


@pytest.fixture
def world() -> World:
    return World()


def signed(
    key: str = "first", *, kid: str | None = "", algorithm: str = "RS256", without: tuple[str, ...] = (), **claims: Any
) -> str:
    now = time.time()
    whole = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": now, "exp": now + 60} | claims
    headers = {} if kid is None else {"kid": kid or key}
    kept = {name: value for name, value in whole.items() if name not in without}
    return jwt.encode(kept, KEYS[key], algorithm=algorithm, headers=headers)


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_a_token_of_the_provider_is_taken(world: World) -> None:
    principal = world.authenticator.authenticate(signed(roles=["reader", "offline_access"], name="Ada Lovelace"))
    assert (principal.subject, principal.name) == ("ada", "Ada Lovelace")
    assert principal.roles == {"*": {Role.READER}}
    assert "Lovelace" not in repr(principal)
    assert world.subject(signed(algorithm="PS384", aud=["other", "api"])) == "ada"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (lambda: signed(iss="https://id.example.org/realms/other"), "another issuer"),
        (lambda: signed(aud="webui"), "for somebody else"),
        (lambda: signed(exp=time.time() - 60), "expired"),
        (lambda: signed(nbf=time.time() + 60), "not valid yet"),
        (lambda: signed(without=("exp",)), "lacks a claim"),
        (lambda: signed(without=("aud",)), "lacks a claim"),
        (lambda: signed(without=("sub",)), "lacks a claim"),
        (lambda: signed("other", kid="first"), "false signature"),
        (lambda: signed("other"), "unknown key"),
        (lambda: signed()[:-8] + "AAAAAAAA", "false signature"),
        (lambda: "nonsense", "something else"),
        (lambda: "", "something else"),
        (lambda: signed(roles="reader"), "neither a list"),
        (lambda: signed(roles={"p": "reader"}), "neither a list"),
    ],
)
def test_what_is_refused_and_why(world: World, token: Any, said: str) -> None:
    with pytest.raises(Unauthenticated, match=said) as refused:
        world.authenticator.authenticate(token())
    assert refused.value.do and refused.value.expected


def test_no_signature_and_a_signature_by_the_public_key_are_refused(world: World) -> None:
    claims = {"iss": ISSUER, "aud": "api", "sub": "ada", "exp": time.time() + 60}
    public = KEYS["first"].public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, form)
    import hashlib
    import hmac

    header = {"alg": "HS256", "kid": "first"}
    unsigned = forged(header, claims).rpartition(".")[0]
    confused = forged(header, claims, hmac.new(pem, unsigned.encode(), hashlib.sha256).digest())
    for token in (forged({"alg": "none", "kid": "first"}, claims), confused, forged({"kid": "first"}, claims)):
        with pytest.raises(Unauthenticated):
            world.authenticator.authenticate(token)
    assert world.subject(signed()) == "ada"


def test_a_key_of_another_kind_than_the_signature_is_refused(world: World) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(
        {"sub": "ada", "aud": "api", "iss": ISSUER, "exp": time.time() + 60}, curve, "ES256", {"kid": "first"}
    )
    with pytest.raises(Unauthenticated):
        world.authenticator.authenticate(token)


def test_a_secret_among_the_keys_signs_nothing(world: World) -> None:
    secret = b"s" * 32
    world.extra_keys = [
        {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(secret).decode().rstrip("=")},
        {"kty": "x"},
    ]
    token = jwt.encode(
        {"sub": "ada", "aud": "api", "iss": ISSUER, "exp": time.time() + 60}, secret, "HS256", {"kid": "oct"}
    )
    with pytest.raises(Unauthenticated, match="another kind of signature"):
        world.authenticator.authenticate(token)


def test_a_new_key_is_looked_for_at_once_and_a_former_one_ends(world: World) -> None:
    world.subject(signed("first"))
    world.published, world.now = ["second"], world.now + 20
    assert world.subject(signed("second")) == "ada"
    with pytest.raises(Unauthenticated, match="unknown key"):
        world.subject(signed("first"))


def test_keys_are_kept_and_made_up_ids_do_not_flood_the_provider(world: World) -> None:
    for _ in range(3):
        world.subject(signed())
    for number in range(20):
        with pytest.raises(Unauthenticated):
            world.subject(signed("other", kid=f"made-up-{number}"))
    assert world.asked.count("/realms/site/keys") == 1
    world.now += 301
    world.subject(signed())
    assert world.asked.count("/realms/site/keys") == 2


def test_without_an_id_the_only_key_counts(world: World) -> None:
    assert world.subject(signed(kid=None)) == "ada"
    world.published, world.now = ["first", "second"], world.now + 400
    with pytest.raises(Unauthenticated, match="unknown key"):
        world.subject(signed(kid=None))


def test_known_keys_serve_on_while_the_provider_is_away_but_not_for_ever(world: World) -> None:
    world.subject(signed())
    world.away, world.now = True, world.now + 1800
    assert world.subject(signed()) == "ada"
    with pytest.raises((TemporaryError, Unauthenticated)):
        world.subject(signed("second"))
    world.now += 3600
    with pytest.raises(TemporaryError, match="identity-provider-away"):
        world.subject(signed())
    world.away, world.now = False, world.now + 11
    assert world.subject(signed()) == "ada"


def test_a_provider_that_was_never_there_is_no_fault_of_the_token(world: World) -> None:
    world.away = True
    for _ in range(2):
        with pytest.raises(TemporaryError, match="identity-provider-away"):
            world.subject(signed())
    assert len(world.asked) == 1


def test_a_provider_must_be_the_one_that_was_set(world: World) -> None:
    world.issuer = "https://elsewhere.example.org"
    with pytest.raises(TemporaryError, match="another issuer"):
        world.subject(signed())


@pytest.mark.parametrize(
    ("query", "claims", "roles"),
    [
        ("", {}, {}),
        ("", {"roles": {"p": ["reviewer"], "*": ["auditor", "nurse"]}}, {"p": {"reviewer"}, "*": {"auditor"}}),
        ("&roles_claim=realm_access.roles", {"realm_access": {"roles": ["reader"]}}, {"*": {"reader"}}),
        ("&roles_claim=realm_access.roles", {"realm_access": 7}, {}),
        ("&roles_claim=https://x.org/roles", {"https://x.org/roles": ["site-admin"]}, {"*": {"site-admin"}}),
    ],
)
def test_roles_come_from_the_claim_that_was_named(query: str, claims: dict, roles: dict) -> None:
    assert World(URL + query).authenticator.authenticate(signed(**claims)).roles == roles


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ldap:x", "auth-url-unknown"),
        ("oidc+http://id.example.org?audience=api&client_id=w", "auth-url-insecure"),
        ("oidc+https://?audience=api&client_id=w", "auth-url-insecure"),
        ("oidc+https://id.example.org?client_id=w", "auth-url-incomplete"),
        ("oidc+https://id.example.org?audience=api&client_id=w&rolesclaim=r", "auth-url-incomplete"),
    ],
)
def test_an_address_that_cannot_be_meant_stops_the_start(url: str, code: str) -> None:
    with pytest.raises(PermanentError) as refused:
        open_authenticator(url)
    assert refused.value.code == code and refused.value.do


def test_the_issuer_is_taken_as_it_is_written() -> None:
    assert OidcUrl.parse("oidc+http://127.0.0.1:8181/?audience=a&client_id=w").issuer == "http://127.0.0.1:8181/"
    assert OidcUrl.parse("oidc+http://127.0.0.1:8181?audience=a&client_id=w").issuer == "http://127.0.0.1:8181"


@pytest.mark.parametrize(
    ("methods", "basic"),
    [(None, True), (["client_secret_basic", "none"], True), (["client_secret_post"], False)],
)
def test_a_client_with_a_secret_proves_itself_as_the_provider_wants(methods: list[str] | None, basic: bool) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            seen.append(request)
            return httpx.Response(200, json={})
        described = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"}
        return httpx.Response(
            200, json=described | ({"token_endpoint_auth_methods_supported": methods} if methods else {})
        )

    provider = Provider(OidcUrl.parse(URL), transport=httpx.MockTransport(answer))
    provider.post("token_endpoint", {"grant_type": "refresh_token"}, "s3cret")
    provider.post("token_endpoint", {"grant_type": "refresh_token"}, "")
    with_secret, public = seen
    assert ("authorization" in with_secret.headers) is basic
    assert (b"client_secret=s3cret" in with_secret.content) is not basic
    assert "authorization" not in public.headers and b"client_id=webui" in public.content
