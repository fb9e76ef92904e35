"""Signing in at a real identity provider: code and PKCE there and back, what is refused, refresh and sign-out."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from radloop.auth import pseudonym
from radloop.auth.code_flow import CodeFlow
from radloop.auth.oidc import OidcAuthenticator
from radloop.auth.provider import OidcUrl, Provider
from radloop.errors import Unauthenticated

pytestmark = pytest.mark.integration


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def set_cookies(answer: httpx.Response) -> dict[str, str]:
    return {each.partition("=")[0]: each for each in answer.headers.get_list("set-cookie")}


def test_a_reader_signs_in_and_is_known(visitor) -> None:
    assert visitor.http.get("v1/me").status_code == 401
    location = visitor.begin(next="#/tasks/t-1?view=axial")
    asked = query(location)
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert asked["redirect_uri"] == f"{visitor.place.home}session/callback"
    page = visitor.http.get(visitor.at_provider(location))
    assert page.status_code == 200
    # By itself, without a script, and only then: a Strict cookie is not sent on a redirect from elsewhere.
    wanted = f"{visitor.place.home}#/tasks/t-1?view=axial"
    assert f'<meta http-equiv="refresh" content="0; url={wanted}">' in page.text and "<script" not in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    cookies = set_cookies(page)
    for name, path in (("radloop_token", "/"), ("radloop_refresh", "/labeling/session")):
        said = cookies[name].lower()
        assert "httponly" in said and "samesite=strict" in said and f"path={path};" in said + ";"
    me = visitor.http.get("v1/me").json()
    assert me == {
        "subject": "ada",
        "name": "Ada Lovelace",
        "pseudonym": pseudonym("ada"),
        "roles": {"*": [], "p": ["reader"]},
        "sign_in": "oidc",
        "projects": [{"project_id": "p", "project_version": 3, "roles": ["reader"]}],
    }


def test_roles_for_the_whole_site_and_by_membership(visitor, another) -> None:
    visitor.sign_in("vera")
    assert visitor.http.get("v1/me").json()["roles"] == {"*": ["auditor", "reviewer"]}
    assert visitor.http.get("v1/me").json()["projects"][0]["roles"] == ["auditor", "reviewer"]
    another.sign_in("norole")
    assert another.http.get("v1/me").json()["roles"] == {"*": [], "p": ["auditor"]}


def test_the_proof_of_a_sign_in_is_short_lived_and_bound_to_the_session(visitor) -> None:
    answer = visitor.http.get("session/sign-in")
    ((name, said),) = set_cookies(answer).items()
    assert name == f"radloop_sign_in_{query(answer.headers['location'])['state'][:8]}"
    for part in ("httponly", "samesite=lax", "path=/labeling/session", "max-age=600"):
        assert part in said.lower()
    back = visitor.at_provider(answer.headers["location"])
    assert visitor.http.get(back).status_code == 200
    assert not visitor.cookie(name)
    # The same address again: the code is spent, and the proof is gone.
    assert visitor.http.get(back).status_code == 400


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "#//evil", '/"><script>', "javascript:x", "/" * 600]
)
def test_nobody_is_sent_elsewhere_after_signing_in(visitor, wanted) -> None:
    page = visitor.sign_in(next=wanted).text
    address = page.partition("0; url=")[2].partition('"')[0]
    assert address == visitor.place.home or address.startswith(f"{visitor.place.home}#/")
    assert "<script" not in page


def test_a_wrong_state_is_refused(visitor) -> None:
    back = visitor.at_provider(visitor.begin())
    state = query(back)["state"]
    for wrong in ("", state[:-1] + ("A" if state[-1] != "A" else "B"), "x" * 43):
        page = visitor.http.get(back.replace(state, wrong))
        assert (page.status_code, "Not signed in" in page.text) == (400, True)
    assert not visitor.cookie("radloop_token")


def test_somebody_elses_code_is_refused(visitor, another) -> None:
    """An address with an attacker's code, opened in a victim's browser, signs nobody in (login CSRF)."""
    theirs = another.at_provider(another.begin(), "vera")
    assert visitor.http.get(theirs).status_code == 400
    visitor.begin()
    assert visitor.http.get(theirs).status_code == 400
    mine = visitor.at_provider(visitor.begin(), "ada")
    mixed = mine.replace(query(mine)["code"], query(theirs)["code"])
    assert visitor.http.get(mixed).status_code == 400  # the verifier is not that of the code
    assert not visitor.cookie("radloop_token")


def test_an_answer_of_another_provider_is_refused(visitor) -> None:
    back = visitor.at_provider(visitor.begin())
    assert "iss=" in back
    wrong = back.partition("&iss=")[0] + "&iss=https%3A%2F%2Fevil.example"
    assert visitor.http.get(wrong).status_code == 400


def changed_proof(place, visitor, **claims) -> httpx.Response:
    """Come back with a proof that says something else, signed with the right secret or a wrong one."""
    flow = flow_of(place)
    begun = flow.begin("")
    back = visitor.at_provider(begun.location)
    kept = jwt.decode(begun.proof, "p" * 32, algorithms=["HS256"])
    proof = jwt.encode(kept | claims, "p" * 32, algorithm="HS256")
    return flow.finish(query(back), proof)


def flow_of(place, **changes) -> CodeFlow:
    url = f"oidc+{place.issuer}?audience=api&client_id=webui&scope=openid%20profile%20offline_access"
    authenticator = OidcAuthenticator(Provider(OidcUrl.parse(url)))
    arguments = {"redirect_uri": f"{place.home}session/callback", "signing_secret": "p" * 32}
    return CodeFlow(authenticator, **(arguments | changes))


def test_a_wrong_verifier_is_refused_by_the_provider_and_a_wrong_nonce_by_us(place, visitor) -> None:
    assert changed_proof(place, visitor).access
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        changed_proof(place, visitor, verifier="v" * 43)
    with pytest.raises(Unauthenticated, match="an identity for another sign-in"):
        changed_proof(place, visitor, nonce="n" * 43)


def test_a_proof_that_was_not_signed_here_or_is_too_old_is_refused(visitor) -> None:
    back = visitor.at_provider(visitor.begin())
    name = f"radloop_sign_in_{query(back)['state'][:8]}"
    mine = visitor.cookie(name)
    claims = json.loads(base64.urlsafe_b64decode(mine.split(".")[1] + "=="))
    for proof in (jwt.encode(claims, "x" * 32, algorithm="HS256"), "nonsense"):
        visitor.http.cookies.clear()
        visitor.http.cookies.set(name, proof, domain="127.0.0.1", path="/labeling/session")
        page = visitor.http.get(back)
        assert page.status_code == 400 and "not begun here" in page.text


def test_a_wrong_password_and_a_refusal_sign_nobody_in(visitor) -> None:
    with pytest.raises(AssertionError, match="wrong password"):
        visitor.at_provider(visitor.begin(), "ada", "guess")
    state = query(visitor.begin())["state"]
    page = visitor.http.get("session/callback", params={"error": "access_denied", "state": state})
    assert page.status_code == 400 and "access_denied" in page.text
    page = visitor.http.get("session/callback", params={"error": "<script>", "state": query(visitor.begin())["state"]})
    assert page.status_code == 400 and "script" not in page.text


def test_an_identity_token_is_no_access_token(place, visitor) -> None:
    flow = flow_of(place)
    begun = flow.begin("")
    answer = query(visitor.at_provider(begun.location))
    body = flow._tokens(
        {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": f"{place.home}session/callback",
            "code_verifier": jwt.decode(begun.proof, "p" * 32, algorithms=["HS256"])["verifier"],
        }
    )
    ask = {"headers": {"authorization": f"Bearer {body['id_token']}"}}
    assert httpx.get(f"{place.home}v1/me", trust_env=False, **ask).status_code == 401
    ask = {"headers": {"authorization": f"Bearer {body['access_token']}"}}
    assert httpx.get(f"{place.home}v1/me", trust_env=False, **ask).json()["subject"] == "ada"


def test_a_session_is_renewed_until_it_is_over(visitor) -> None:
    visitor.sign_in()
    first, spent = visitor.cookie("radloop_token"), visitor.cookie("radloop_refresh")
    visitor.http.cookies.delete("radloop_token", domain="127.0.0.1", path="/")  # as after its time
    assert visitor.http.get("v1/me").status_code == 401
    assert visitor.post("session/refresh").status_code == 204
    assert visitor.cookie("radloop_token") not in ("", first)
    assert visitor.cookie("radloop_refresh") not in ("", spent)
    assert visitor.http.get("v1/me").json()["subject"] == "ada"
    visitor.http.cookies.clear()
    answer = visitor.post("session/refresh")
    assert (answer.status_code, answer.json()["error"]) == (401, "session-over")


def test_two_tabs_that_renew_at_once_both_go_on(visitor) -> None:
    """The provider takes the second use of a refresh token for theft and ends the session."""
    visitor.sign_in()
    cookies = {"radloop_refresh": visitor.cookie("radloop_refresh")}

    def renew(_: int) -> httpx.Response:
        url = f"{visitor.place.home}session/refresh"
        return httpx.post(url, cookies=cookies, headers={"x-radloop": "1"}, trust_env=False, timeout=20)

    with ThreadPoolExecutor(4) as tabs:
        answers = list(tabs.map(renew, range(4)))
    assert {answer.status_code for answer in answers} == {204}
    newest = {answer.cookies["radloop_refresh"] for answer in answers}
    assert len(newest) == 1
    cookies["radloop_refresh"] = newest.pop()
    assert renew(0).status_code == 204


def test_signing_out_ends_the_session_here_and_there(visitor) -> None:
    visitor.sign_in()
    refresh = visitor.cookie("radloop_refresh")
    answer = visitor.post("session/sign-out")
    location = answer.json()["location"]
    assert location.startswith(f"{visitor.place.issuer}/session/end?")
    assert query(location)["post_logout_redirect_uri"] == visitor.place.home
    assert not visitor.cookie("radloop_token") and not visitor.cookie("radloop_refresh")
    assert visitor.http.get(location).status_code == 200  # the provider asks whether there, too
    visitor.http.cookies.set("radloop_refresh", refresh, domain="127.0.0.1", path="/labeling/session")
    assert visitor.post("session/refresh").status_code == 401  # revoked
    assert not visitor.cookie("radloop_refresh")


def test_another_page_can_neither_renew_nor_end_a_session(visitor) -> None:
    visitor.sign_in()
    for path in ("session/refresh", "session/sign-out", "v1/tasks/next"):
        for told in ({}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
            answer = visitor.http.post(path, headers=told)
            assert (answer.status_code, answer.json()["error"]) == (403, "foreign-origin")
    assert visitor.http.post("session/refresh", headers={"sec-fetch-site": "same-origin"}).status_code == 204


def test_a_bearer_token_of_another_kind_is_refused_in_words(visitor) -> None:
    answer = visitor.http.get("v1/me", headers={"authorization": "Bearer nonsense"})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["do"].startswith("sign in again")
