"""Every page: who may see it, what it says when something is wrong, and how it is cached."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

HERE = "/projects/shop/environments/production"
PAGES = {
    "console.show_library": f"{HERE}/library",
    "console.show_today": f"{HERE}/today",
    "console.show_timeline": f"{HERE}/timeline/checkout",
    "console.list_flags": f"{HERE}/flags",
    "console.show_connection": f"{HERE}/connect",
    "console.new_flag": f"{HERE}/new-flag",
    "console.show_flag": f"{HERE}/flags/checkout",
    "console.show_revision": f"{HERE}/revisions/2",
    "console.show_instances": f"{HERE}/instances",
    "console.show_receipt": f"{HERE}/receipts/2",
    "console.list_experiments": f"{HERE}/experiments",
    "console.new_experiment": f"{HERE}/new-experiment",
    "console.new_release": f"{HERE}/new-release",
    "console.show_experiment": f"{HERE}/experiments/one-page",
    "console.list_metrics": f"{HERE}/metrics",
    "console.show_metric": f"{HERE}/metrics/buyers",
    "console.new_metric": f"{HERE}/new-metric",
    "console.edit_metric": f"{HERE}/metrics/buyers/edit",
    "console.list_sources": f"{HERE}/sources",
    "console.new_source": f"{HERE}/new-source",
    "console.edit_source": f"{HERE}/sources/lake/edit",
    "console.list_policies": f"{HERE}/policies",
    "console.new_policy": f"{HERE}/new-policy",
    "console.show_policy": f"{HERE}/policies/ours",
    "console.edit_policy": f"{HERE}/policies/ours/edit",
    "console.list_changes": f"{HERE}/changes",
    "console.show_comparison": f"{HERE}/compare?with=staging",
    "console.list_cleanup": f"{HERE}/cleanup",
    "console.show_environment": f"{HERE}/settings",
    "console.list_requests": f"{HERE}/requests",
    "console.show_ledger": f"{HERE}/ledger",
    "console.show_outcomes": f"{HERE}/outcomes",
    "console.list_layers": f"{HERE}/layers",
    "console.list_people": f"{HERE}/people",
    "console.list_keys": f"{HERE}/keys",
    "console.list_webhooks": f"{HERE}/webhooks",
    "console.list_kill_hooks": f"{HERE}/kill-hooks",
    "console.show_news": f"{HERE}/news",
    "console.show_webhook": f"{HERE}/webhooks/1",
    "console.show_audit": f"{HERE}/audit",
    "console.ask_what_somebody_gets": f"{HERE}/who?flag=checkout",
}
# Without a page of their own: they lead elsewhere, or give a file.
OTHERS = {
    "console.home": "/",
    "console.switch": "/switch?to=shop/production",
    "console.setup": "/setup",
    "console.login": "/login",
    "console.begin_single_sign_on": "/login/oidc",
    "console.finish_single_sign_on": "/login/oidc/callback",
    "console.static": "/static/console.css",
    "console.download_ledger": f"{HERE}/ledger.csv",
    "console.download_record": f"{HERE}/experiments/one-page/record.json",
    "console.download_results": f"{HERE}/experiments/one-page/results.csv",
    "console.show_plan": f"{HERE}/experiments/one-page/plan",
    "console.show_report": f"{HERE}/experiments/one-page/report",
    "console.download_report": f"{HERE}/experiments/one-page/report.html",
}
POSTS = {
    "console.set_role": f"{HERE}/people",
    "console.rotate_key": f"{HERE}/keys/1/rotate",
    "console.create_flag": f"{HERE}/new-flag",
    "console.start_flag": f"{HERE}/start-flag",
    "console.add_guardrail": f"{HERE}/metrics/guardrail",
    "console.create_metric": f"{HERE}/new-metric",
    "console.write_metric": f"{HERE}/metrics/buyers/edit",
    "console.archive_metric": f"{HERE}/metrics/buyers/archive",
    "console.create_source": f"{HERE}/new-source",
    "console.write_source": f"{HERE}/sources/lake/edit",
    "console.delete_source": f"{HERE}/sources/lake/delete",
    "console.check_plan": f"{HERE}/new-experiment/check",
    "console.edit_change": f"{HERE}/changes/1/edit",
    "console.judge_change": f"{HERE}/changes/1/approve",
    "console.move_change": f"{HERE}/changes/1/apply",
    "console.protect_environment": f"{HERE}/changes/protection",
    "console.change_flag": f"{HERE}/do/checkout/change",
    "console.create_experiment": f"{HERE}/new-experiment",
    "console.create_release": f"{HERE}/new-release",
    "console.advance_release": f"{HERE}/experiments/one-page/release/start",
    "console.advance": f"{HERE}/experiments/one-page/seal",
    "console.create_policy": f"{HERE}/new-policy",
    "console.write_policy": f"{HERE}/policies/ours/edit",
    "console.change_policy": f"{HERE}/policies/ours/publish",
    "console.classify_event": f"{HERE}/metrics",
    "console.promote_differences": f"{HERE}/compare",
    "console.set_environment": f"{HERE}/settings",
    "console.create_request": f"{HERE}/requests",
    "console.move_request": f"{HERE}/requests/1",
    "console.create_layer": f"{HERE}/layers",
    "console.change_holdout": f"{HERE}/holdout",
    "console.create_key": f"{HERE}/keys",
    "console.revoke_key": f"{HERE}/keys/1/revoke",
    "console.limit_key": f"{HERE}/keys/1/limits",
    "console.create_webhook": f"{HERE}/webhooks",
    "console.create_kill_hook": f"{HERE}/kill-hooks",
    "console.revoke_kill_hook": f"{HERE}/kill-hooks/1/revoke",
    "console.edit_webhook": f"{HERE}/webhooks/1/edit",
    "console.move_webhook": f"{HERE}/webhooks/1/disable",
    "console.rotate_webhook": f"{HERE}/webhooks/1/rotate",
    "console.delete_webhook": f"{HERE}/webhooks/1/delete",
    "console.replay_delivery": f"{HERE}/webhooks/1/deliveries/1/replay",
}
# Whoever reads may send these: they change nothing that is served, or that decides.
QUESTIONS = {
    "console.read_news": f"{HERE}/news",
    "console.ask_unscheduled_look": f"{HERE}/experiments/one-page/look",
    "console.show_what_somebody_gets": f"{HERE}/who",
}
PUBLIC_POSTS = {"console.complete_setup", "console.do_login", "console.logout"}


@pytest.fixture
def shop(small_console: Any, plan: Any) -> Any:
    return furnished(small_console, plan)


@pytest.fixture(scope="module")
def still_shop(still_console: Any, plan: Any) -> Any:
    """A shop that every test leaves as it was."""
    return furnished(still_console, plan)


def furnished(console: Any, plan: Any) -> Any:
    console.metric("buyers")
    console.source("lake")
    console.policy("ours")
    console.webhook()
    console.experiment(plan())
    return console


def test_no_page_and_no_form_is_left_out_of_these_tests(shop: Any) -> None:
    rules = [rule for rule in shop.app.url_map.iter_rules() if rule.endpoint.startswith("console.")]
    reading = {rule.endpoint for rule in rules if "GET" in rule.methods}
    writing = {rule.endpoint for rule in rules if "POST" in rule.methods}
    assert reading == set(PAGES) | set(OTHERS)
    assert writing == set(POSTS) | set(QUESTIONS) | PUBLIC_POSTS


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_an_administrator_sees_every_page(still_shop: Any, path: str) -> None:
    page = still_shop.person("admin").page(path)
    headings = [tag for tag, _given in page.tags if tag == "h1"]
    assert len(headings) == 1
    assert "Sign out" in page.words


@pytest.mark.parametrize(
    "path",
    [*PAGES.values(), *(path for path in OTHERS.values() if path.startswith(("/switch", HERE)))],
)
def test_somebody_unknown_is_asked_to_sign_in_and_comes_back(still_shop: Any, path: str) -> None:
    still_shop.person("admin")
    response = still_shop.visitor().get(path)
    assert response.status_code == 302
    assert response.location.startswith("/login?next=%2F") or response.location.startswith(
        "/login?next=/"
    )


def test_a_fragment_sends_the_whole_page_to_the_sign_in(shop: Any) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://localhost{HERE}/flags/checkout"}
    response = shop.visitor().get(f"{HERE}/flags", headers=headers)
    assert response.status_code == 401
    assert response.headers["HX-Redirect"] == f"/login?next={HERE}/flags/checkout"


def test_a_header_that_is_no_good_is_refused_and_not_sent_around_in_circles(shop: Any) -> None:
    shop.person("admin")
    headers = {"Authorization": "Basic Zm9vOmJhcg=="}
    for path in ("/", "/login", f"{HERE}/flags"):
        response = shop.visitor().get(path, headers=headers)
        assert response.status_code == 401
        assert "Authorization" in response.get_data(as_text=True)


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_viewer_reads_and_finds_no_form_that_changes_anything(still_shop: Any, path: str) -> None:
    viewer = still_shop.person("viewer")
    forms = ("new_flag", "new_experiment", "new_release", "new_policy", "edit_policy")
    forms += ("new_metric", "edit_metric", "new_source", "edit_source")
    managed = ("list_keys", "list_people", "list_webhooks", "show_webhook", "list_kill_hooks")
    shut = {PAGES[f"console.{name}"] for name in (*forms, *managed)}
    page = viewer.page(path, 403 if path in shut else 200)
    sent = {form.action for form in page.forms if form.method == "post"}
    assert sent - set(QUESTIONS.values()) == {"/logout"}
    assert "Flags" in page.words


@pytest.mark.parametrize("path", POSTS.values(), ids=POSTS)
def test_a_viewer_may_send_no_form(still_shop: Any, path: str) -> None:
    viewer = still_shop.person("viewer")
    token = viewer.page(f"{HERE}/flags").form("Sign out").fields["csrf_token"]
    before = still_shop.written()
    response = viewer.client.post(path, data={"csrf_token": token, "do": "turn_on"})
    assert response.status_code == 403
    assert still_shop.written() == before
    assert still_shop.document()["enabled"] is False


@pytest.mark.parametrize("token", [None, "", "forged", "other"])
@pytest.mark.parametrize(
    "path",
    [*POSTS.values(), *QUESTIONS.values(), "/logout"],
    ids=[*POSTS, *QUESTIONS, "console.logout"],
)
def test_a_form_without_our_token_changes_nothing(
    still_shop: Any, path: str, token: str | None
) -> None:
    admin = still_shop.person("admin")
    data = {"do": "turn_on", "key": "x", "name": "x", "kind": "srv"}
    if token == "other":
        other = still_shop.person("editor").page(f"{HERE}/flags").form("Sign out")
        token = other.fields["csrf_token"]
    if token is not None:
        data["csrf_token"] = token
    before = still_shop.written()
    response = admin.client.post(path, data=data, headers={"Accept": "text/html"})
    assert response.status_code == 403
    assert "load the page again" in response.get_data(as_text=True)
    assert still_shop.written() == before
    assert admin.get(f"{HERE}/flags").status_code == 200


def test_an_editor_sees_no_keys_and_is_told_why(shop: Any) -> None:
    page = shop.person("editor").page(f"{HERE}/keys", 403)
    assert "this needs the role admin" in page.words
    assert f"{HERE}/flags" in page.links


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{HERE}/flags/nope", "there is no flag 'nope'"),
        (f"{HERE}/experiments/nope", "there is no experiment 'nope'"),
        (f"{HERE}/revisions/99", "there is no revision 99"),
        (f"{HERE}/revisions/99999999999999999999999", "nothing at this address"),
        ("/projects/shop/environments/mars/flags", "there is no environment 'mars'"),
        ("/projects/nope/environments/production/flags", "there is no project 'nope'"),
        ("/switch?to=nope", "there is no project 'nope'"),
        ("/nowhere", "nothing at this address"),
        (f"{HERE}/experiments/nope/record.json", "there is no experiment 'nope'"),
    ],
)
def test_what_does_not_exist_is_a_page_with_a_way_back(
    still_shop: Any, path: str, words: str
) -> None:
    editor = still_shop.person("editor")
    response = editor.get(path, headers={"Referer": f"http://localhost{HERE}/audit"})
    assert response.status_code == 404
    html = response.get_data(as_text=True)
    assert words in html.replace("&#39;", "'")
    assert f'href="{HERE}/audit"' in html


@pytest.mark.parametrize(
    "referrer", ["http://evil.example/x", "http://localhost//evil.example", "http://[", "x"]
)
def test_the_way_back_leads_nowhere_else(still_shop: Any, referrer: str) -> None:
    response = still_shop.person("editor").get("/nowhere", headers={"Referer": referrer})
    assert 'class="btn btn-main" href="/"' in response.get_data(as_text=True)
    assert "evil" not in response.get_data(as_text=True)


def test_an_error_inside_a_project_keeps_its_navigation(shop: Any) -> None:
    page = shop.person("editor").page(f"{HERE}/flags/nope", 404)
    assert f"{HERE}/audit" in page.links
    page = shop.person("viewer").page(f"{HERE}/keys", 403)
    assert f"{HERE}/audit" in page.links


@pytest.mark.parametrize("before", ["0", "-5", "abc", "99999999999999999999999"])
def test_any_number_in_the_audits_address_gives_a_page(still_shop: Any, before: str) -> None:
    still_shop.person("viewer").page(f"{HERE}/audit?before={before}")


def test_the_audit_goes_back_page_by_page(shop: Any) -> None:
    for number in range(60):
        shop.change("checkout", {"do": ("turn_off", "turn_on")[number % 2]}, comment=f"no {number}")
    viewer = shop.person("viewer")
    first = viewer.page(f"{HERE}/audit")
    assert "no 59" in first.words
    (older,) = [link for link in first.links if link.startswith("?before=")]
    second = viewer.page(f"{HERE}/audit{older}")
    assert "no 1 " in second.words.replace("\n", " ") or "no 1" in second.words
    assert "no 59" not in second.words


def test_one_goes_from_place_to_place_and_stays_on_the_same_kind_of_page(shop: Any) -> None:
    shop.project("depot", "Depot")
    admin = shop.person("admin")
    goes = {
        "shop/staging&tab=audit": "/projects/shop/environments/staging/audit",
        "depot&tab=experiments": "/projects/depot/environments/production/experiments",
        "depot/nowhere&tab=nonsense": "/projects/depot/environments/production/flags",
    }
    for to, location in goes.items():
        response = admin.get(f"/switch?to={to}")
        assert (response.status_code, response.location) == (302, location)
    page = admin.page(f"{HERE}/flags")
    (form,) = [form for form in page.forms if form.action == "/switch"]
    assert form.fields == {"tab": "flags", "to": "shop/production"}
    assert "Depot" in page.words


def test_every_address_in_a_page_leads_to_a_page(shop: Any) -> None:
    admin = shop.person("admin")
    seen: set[str] = set()
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        response = admin.client.get(path, headers={"Accept": "text/html"})
        assert response.status_code in {200, 302}, path
        if response.status_code == 302:
            waiting.append(response.location)
        elif response.mimetype == "text/html":
            page = admin.page(path)
            waiting += [link for link in page.links if link.startswith("/")]
    assert {f"{HERE}/flags/checkout", f"{HERE}/experiments/one-page"} <= seen


# Static files


def test_a_file_with_its_version_is_kept_for_ever(shop: Any) -> None:
    page = shop.person("viewer").page(f"{HERE}/flags")
    (href,) = [
        given["href"]
        for tag, given in page.tags
        if tag == "link" and "console.css" in str(given.get("href"))
    ]
    visitor = shop.visitor()
    response = visitor.client.get(href)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.mimetype == "text/css"
    old = visitor.client.get("/static/console.css?v=old")
    assert old.headers["Cache-Control"] == "no-cache"


def test_a_file_that_the_browser_has_is_not_sent_again(shop: Any) -> None:
    client = shop.visitor().client
    first = client.get("/static/console.css")
    again = client.get("/static/console.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")


def test_files_travel_compressed_to_whoever_can_read_that(shop: Any) -> None:
    client = shop.visitor().client
    plain = client.get("/static/console.js")
    packed = client.get("/static/console.js", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.get_data()) == plain.get_data()
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert "Accept-Encoding" in packed.headers["Vary"]
    refused = client.get("/static/console.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in refused.headers


@pytest.mark.parametrize(
    "name",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "vendor/../../app.py",
        "/etc/passwd",
        "//etc/passwd",
        "vendor",
        "..\\app.py",
        "a" * 5000,
        "nul%00l.css",
    ],
)
def test_no_other_file_can_be_had(still_shop: Any, name: str) -> None:
    response = still_shop.visitor().client.get(f"/static/{name}")
    assert response.status_code in {400, 404}
    assert b"create_flask_app" not in response.get_data()


def test_pages_are_kept_by_nobody_and_allow_no_foreign_script(shop: Any) -> None:
    response = shop.person("viewer").get(f"{HERE}/flags")
    assert response.headers["Cache-Control"] == "no-store"
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert " style=" not in response.get_data(as_text=True)
    assert "<script>" not in response.get_data(as_text=True)
