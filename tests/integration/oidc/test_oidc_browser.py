"""Signing in by a real browser: which cookies it sends where, and what it does with the page that goes on by itself."""

import pytest
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def chromium(chromium_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    context = chromium.new_context()
    yield context.new_page()
    context.close()


ME = "fetch('v1/me').then(answer => answer.status === 200 ? answer.json() : answer.status)"
REFRESH = "headers => fetch('session/refresh', {method: 'POST', headers}).then(answer => answer.status)"


def test_a_browser_signs_in_goes_on_by_itself_and_stays_signed_in(place, page) -> None:
    wanted = f"{place.home}#/tasks/t-1"
    page.goto(f"{place.home}session/sign-in?next=%23/tasks/t-1")
    assert page.url.startswith(place.issuer)
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("ada-pw")
    page.get_by_role("button").click()
    page.wait_for_url(wanted)
    assert page.evaluate(ME)["name"] == "Ada Lovelace"
    assert page.evaluate("document.cookie") == ""
    every = page.context.cookies(
        [place.home, f"{place.home}session/refresh"]
    )  # the provider's too: a port is no border
    kept = {each["name"]: each for each in every if each["name"].startswith("radloop")}
    assert set(kept) == {"radloop_token", "radloop_refresh"}
    assert all(each["httpOnly"] and each["sameSite"] == "Strict" for each in kept.values())
    assert kept["radloop_refresh"]["path"] == "/labeling/session"
    page.context.clear_cookies(name="radloop_token")
    assert page.evaluate(ME) == 401
    assert page.evaluate(REFRESH, {}) == 204  # the browser itself says that it is our page
    assert page.evaluate(ME)["subject"] == "ada"


def test_a_page_of_another_port_has_our_cookies_sent_and_gets_nothing_done(place, page) -> None:
    """The provider's address plays the foreign page: another port is the same site, so SameSite does not hold it back."""
    page.goto(f"{place.home}session/sign-in")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("ada-pw")
    page.get_by_role("button").click()
    page.wait_for_url(place.home)
    former = page.context.cookies(f"{place.home}session/refresh")
    page.goto(f"{place.issuer}/alive")
    with page.expect_response(f"{place.home}session/sign-out") as answered:
        page.evaluate(
            "action => { const form = document.createElement('form'); form.method = 'post'; form.action = action;"
            " document.body.append(form); form.submit(); }",
            f"{place.home}session/sign-out",
        )
    answer = answered.value
    assert "radloop_token" in answer.request.all_headers()["cookie"]
    assert (answer.status, answer.json()["error"]) == (403, "foreign-origin")
    assert page.context.cookies(f"{place.home}session/refresh") == former


def test_a_script_in_a_page_of_ours_does_not_run(place, page) -> None:
    script = "<title>before</title><script>document.title = 'after'</script>"
    page.set_content(script)
    assert page.title() == "after"  # as it would, were it not forbidden
    page.goto(f"{place.home}session/callback?state=x")
    page.set_content(script)
    assert page.title() == "before"
