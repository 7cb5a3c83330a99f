"""Set-up, sign-in and sign-out."""

from __future__ import annotations

from typing import Any

import pytest

from flags import services
from web.auth import service as auth

HERE = "/projects/shop/environments/production"
PASSWORD = "a long enough password"


@pytest.fixture
def ada(small_console: Any) -> Any:
    with small_console.database.write() as session:
        auth.create_user(
            session,
            email="ada@example.org",
            password=PASSWORD,
            role=auth.Role.ADMIN,
            now=small_console.clock(),
        )
    return small_console


def test_the_first_visitor_sets_up_and_is_signed_in(bare_console: Any) -> None:
    with bare_console.database.write() as session:
        code = auth.ensure_setup_code(session)
    visitor = bare_console.visitor()
    assert visitor.get("/").location == "/setup"
    assert visitor.get("/login").location == "/setup"
    form = visitor.page(f"/setup?code={code}").form("Create account")
    assert form.fields["code"] == code
    given = {
        "project": "Größe & Läden",
        "email": "Ada@Example.org",
        "password": PASSWORD,
        "password_again": PASSWORD,
    }
    wrong = visitor.send("/setup", form, {**given, "password_again": "another one"})
    page = wrong.get_data(as_text=True)
    assert wrong.status_code == 400
    assert "the two passwords differ" in page
    assert "Größe &amp; Läden" in page
    assert PASSWORD not in page
    guessed = visitor.send("/setup", form, {**given, "code": "0-0-0-0"})
    assert guessed.status_code == 403
    assert "this is not the set-up code" in guessed.get_data(as_text=True)
    weak = visitor.send("/setup", form, {**given, "password": "short", "password_again": "short"})
    assert weak.status_code == 400
    assert bare_console.written() == (0, 0, 0, 0, 0)

    done = visitor.send("/setup", form, given)
    assert done.status_code == 303
    page = visitor.client.get("/", follow_redirects=True).get_data(as_text=True)
    assert "No flag yet" in page
    with bare_console.database.read() as session:
        (project,) = services.list_projects(session)
    assert (project.key, project.name) == ("gro-e-laden", "Größe & Läden")

    # Nobody does it twice.
    second = bare_console.visitor()
    assert second.get("/setup").location == "/login"
    login = second.page("/login").form("Sign in")
    again = second.send("/setup", login, {**given, "code": str(code), "email": "eve@example.org"})
    again = second.client.post("/setup", data={**form.fields, **given, "email": "eve@example.org"})
    assert again.status_code == 409
    assert "set up already" in again.get_data(as_text=True)
    assert bare_console.written()[-1] == 1


def test_a_set_up_that_another_site_sends_is_refused(bare_console: Any) -> None:
    visitor = bare_console.visitor()
    form = visitor.page("/setup").form("Create account")
    foreign = visitor.send("/setup", form, {}, **{"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert visitor.client.post("/setup", data={"code": "x"}).status_code == 403


def test_signing_in_leads_to_where_one_wanted_to_go(ada: Any) -> None:
    visitor = ada.visitor()
    wanted = f"{HERE}/flags?filter=check&after=a"
    login = visitor.get(wanted).location
    response = visitor.press(login, "Sign in", {"email": "ada@example.org", "password": PASSWORD})
    assert (response.status_code, response.location) == (303, wanted)
    assert visitor.get("/login").location == "/"
    out = visitor.press(f"{HERE}/flags", "Sign out")
    assert (out.status_code, out.location) == (303, "/login")
    assert visitor.get(f"{HERE}/flags").status_code == 302


def test_a_wrong_password_is_told_without_repeating_it(ada: Any) -> None:
    visitor = ada.visitor()
    given = {"email": "ada@example.org", "password": "not this one"}
    response = visitor.press(f"/login?next={HERE}/audit", "Sign in", given)
    page = response.get_data(as_text=True)
    assert response.status_code == 401
    assert 'role="alert"' in page
    assert "ada@example.org" in page
    assert f'value="{HERE}/audit"' in page
    assert "not this one" not in page
    assert not response.headers.getlist("Set-Cookie")


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://evil.example/",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\tevil",
        "/\n/evil.example",
        " //evil.example",
        "evil",
        "",
    ],
)
def test_signing_in_leads_nowhere_else(ada: Any, elsewhere: str) -> None:
    visitor = ada.visitor()
    given = {"email": "ada@example.org", "password": PASSWORD, "next": elsewhere}
    response = visitor.press("/login", "Sign in", given)
    assert (response.status_code, response.location) == (303, "/")
    form = ada.visitor().client.get("/login", query_string={"next": elsewhere})
    assert "evil" not in form.get_data(as_text=True)


def test_a_sign_in_that_another_site_sends_is_refused(ada: Any) -> None:
    visitor = ada.visitor()
    form = visitor.page("/login").form("Sign in")
    given = {"email": "ada@example.org", "password": PASSWORD}
    foreign = visitor.send("/login", form, given, Origin="http://evil.example")
    assert foreign.status_code == 403
    form.fields.pop("csrf_token")
    assert visitor.send("/login", form, given).status_code == 403
    assert visitor.get(f"{HERE}/flags").status_code == 302


def test_without_a_project_the_front_page_says_how_to_make_one(bare_console: Any) -> None:
    assert "No project yet" in bare_console.person("admin").page("/").words
