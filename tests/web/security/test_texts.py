"""Every text of every request body comes back as text: on each page, in files, and in a browser.

The walk through all routes sends its bodies twice over here: once as they are but with an attack at
the end of every text that is taken, and once more, at the end, with nothing but attacks. Which
fields are texts nobody has to say: all are tried, and those that are refused by name are let go.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.test import TestResponse

from experiments.models import Look
from flags.database import Database
from tests.web.api import experiment_walk, flag_walk, webhook_walk
from tests.web.api.conftest import Service
from tests.web.console.conftest import Page
from tests.web.managed import Clock, make_app
from tests.web.pages.conftest import served
from tests.web.security.conftest import Walls
from tests.web.security.test_scripts import LOOK
from tests.web.security.test_walls import address
from web.api import limits
from web.api.openapi import openapi_document
from web.auth.guard import SESSION_COOKIE

ATTACK = "\"'><img src=x onerror=alert(1) class=xss-x><script>alert(2)</script>{{7*7}}"
ADDRESS = "javascript:alert(3)"
FORMULA = "=1+cmd|'/c calc'!A1"
LINES = "a\r\nX-Evil: 1\r\n\r\n<script>"
# What is looked for under its own name afterwards, and what proves who somebody is.
NAMES = {"key", "flag", "id", "variant", "segment", "rule", "metric", "email", "event", "code",
         "environment", "project", "default", "off", "control", "policy", "layer", "context",
         "condition", "exposures", "outcomes", "weights", "treatments", "flags", "names",
         "customer"}  # fmt: skip
# Chains of hashes are held against what was said: there the answers stay as they are.
AS_IT_IS = ("/record", "/audit/export", "/audit", "/ledger", "/files")
Place = tuple[str | int, ...]


def texts(value: Any, path: Place = ()) -> Iterator[Place]:
    """Give the places of all texts in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        if isinstance(child, dict | list):
            yield from texts(child, (*path, key))
        elif isinstance(child, str):
            yield (*path, key)


def named(place: Place) -> str:
    """Write a place as errors name it."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place)[1:]


def put(document: Any, places: set[Place], change: Callable[[str], str]) -> Any:
    changed = copy.deepcopy(document)
    for *way, last in places:
        holder = changed
        for key in way:
            holder = holder[key]
        known = holder.get(last, "") if isinstance(holder, dict) else holder[last]
        holder[last] = change(known if isinstance(known, str) else "")
    return changed


def unsaid(said: Any, schema: Any, body: Any, path: Place = ()) -> Iterator[Place]:
    """Give the places of texts that a body might have besides, by its schema."""
    if "$ref" in schema:
        schema = said["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for each in schema.get("anyOf", ()):
        yield from unsaid(said, each, body, path)
    for name, inner in schema.get("properties", {}).items():
        forms = inner.get("anyOf", [inner])
        is_text = any(each.get("type") == "string" and "enum" not in each for each in forms)
        if name not in body and is_text:
            yield (*path, name)
        elif isinstance(body.get(name), dict):
            yield from unsaid(said, inner, body[name], (*path, name))


class Attacker(FlaskClient):
    """Sends what it is told to with an attack in every text that is taken."""

    sent: list[tuple[str, str, Any, dict[str, Any]]]
    taken: set[tuple[str, str]]
    secrets: set[str]

    def open(self, *args: Any, **options: Any) -> TestResponse:
        if args and args[0].endswith("/withdraw"):
            options["json"] = {"comment": "not now"}
        body = options.get("json")
        if not isinstance(body, dict) or not body or not args:
            return self._plainly(args, options)
        others = {name: value for name, value in options.items() if name != "json"}
        type(self).sent.append((options["method"], args[0], body, others))
        places = {each for each in texts(body) if not NAMES & set(each)}
        if args[0].endswith("/import"):
            places = set()
        return self.attack(args, options, places, lambda text: text + ATTACK)

    def attack(
        self, args: Any, options: Any, places: set[Place], change: Callable[[str], str]
    ) -> TestResponse:
        """Send attacks in as many of the places as will be taken, and keep those in ``places``."""
        where = re.sub(r"\d+", "1", args[0])
        while True:
            body = put(options["json"], places, change)
            answer = self._plainly(args, {**options, "json": body})
            if answer.status_code < 400:
                type(self).taken |= {(where, re.sub(r"\[\d+\]", "[]", named(p))) for p in places}
                return answer
            if not places:
                return answer
            field = str((answer.get_json(silent=True) or {}).get("field") or "")
            blamed = {
                each
                for each in places
                if field and (named(each).startswith(field) or field.startswith(named(each)))
            }
            if not blamed and answer.status_code in {403, 404, 409, 412}:
                # It is not for what a text says.
                blamed = set(places)
            places -= blamed or {min(places, key=str)}

    def _plainly(self, args: Any, options: Any) -> TestResponse:
        answer = super().open(*args, **options)
        said = answer.get_data(as_text=True)
        type(self).secrets |= set(re.findall(r'"(?:token|secret|csrf_token)":"([^"]+)"', said))
        for cookie in answer.headers.getlist("Set-Cookie"):
            type(self).secrets |= {cookie.partition("=")[2].partition(";")[0]} - {""}
        path = urlsplit(str(args[0])).path if args else ""
        if "/api/" in path and not path.endswith(AS_IT_IS) and answer.data:
            for each in (json.dumps(ATTACK)[1:-1], ATTACK):
                said = said.replace(each, "")
            answer.set_data(said)
        return answer


def walk(service: Service) -> None:
    """Use every route."""
    flag_walk.people_and_keys(service)
    flag_walk.flags_and_their_past(service.caller("admin"))
    flag_walk.promotions(service.caller("editor"))
    experiment_walk.a_source_from_first_to_last(service.caller("admin"))
    experiment_walk.a_metric_and_its_events(service.caller("editor"))
    experiment_walk.a_policy_from_draft_to_archive(service, service.caller("editor"))
    experiment_walk.a_layer_from_first_to_last(service.caller("editor"))
    experiment_walk.a_holdout_from_first_to_last(service.caller("admin"))
    flag_walk.a_sample_of_contexts(service)
    experiment_walk.experiment_from_draft_to_shipping(service)
    experiment_walk.requests_and_money(service.caller("editor"))
    experiment_walk.a_release_from_first_to_last(service)
    flag_walk.changes_that_wait(service)
    webhook_walk.a_webhook_from_first_to_last(service.caller("admin"))
    webhook_walk.a_kill_hook_from_first_to_last(service.caller("admin"))


class Heard(logging.Handler):
    """Keeps whatever any logger says."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(record.args))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walls]:
    folder = tmp_path_factory.mktemp("attacked")
    database = Database(f"sqlite:///{folder / 'evil.db'}")
    database.create_all()
    clock = Clock()
    app = make_app(database, folder, clock, console=True)
    limits.register(app, 1_000_000)
    Attacker.sent, Attacker.taken, Attacker.secrets = [], set(), set()
    heard = Heard()
    logging.getLogger().addHandler(heard)
    before = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    app.test_client_class = Attacker
    walk(Service(app, database, clock))
    walls = Walls(app, database, clock)
    with database.write() as session:
        # The walk wrote a look by hand, that no page could show.
        session.execute(sa.delete(Look))
    attack_all(walls)
    app.test_client_class = None
    logging.getLogger().setLevel(before)
    logging.getLogger().removeHandler(heard)
    app.extensions["heard"] = heard.lines
    yield walls
    database.dispose()


def attack_all(walls: Walls) -> None:
    """Send each kind of body once more, with each attack alone in every text it may have."""
    client = walls.app.test_client(use_cookies=False)
    key = walls.key("admin")
    said = openapi_document(walls.app)
    adapter = walls.app.url_map.bind("localhost")
    bodies = {}
    for method, path, body, options in Attacker.sent:
        rule, _ = adapter.match(quote(path.partition("?")[0]), method=method, return_rule=True)
        if not set(path.split("/")) & {"session", "setup", "revoke", "rotate"}:
            bodies[method, str(rule), frozenset(body)] = (path, body, options)
    for (method, rule, _), (path, body, options) in bodies.items():
        headers = {**options.get("headers", {}), **key}
        headers.pop("If-Match", None)
        shape = said["paths"].get(re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule), {})
        schema = shape.get(method.lower(), {}).get("requestBody", {}).get("content", {})
        schema = schema.get("application/json", {}).get("schema", {})
        places = {*texts(body), *unsaid(said, schema, body)} - {("mode",), ("at",)}
        for text in (FORMULA + ATTACK, ADDRESS, LINES):
            client.attack(
                (path,),
                {"method": method, "json": body, "headers": headers},
                places,
                lambda _, text=text: text,
            )


VALUES = {
    "project_key": "shop",
    "environment_key": "production",
    "other_key": "staging",
    "flag_key": "team/check.out v2",
    "experiment_key": "checkout",
    "release_key": "paint-new",
    "metric_key": "purchase",
    "policy_name": "ours-14d",
    "number": "2",
}


def crawl(app: Flask, client: FlaskClient, most: int = 2) -> list[tuple[str, str, TestResponse]]:
    """Ask every address, and follow the links of pages, some of each kind."""
    adapter = app.url_map.bind("localhost")
    rules = [each for each in app.url_map.iter_rules() if "GET" in (each.methods or set())]
    ahead = ["/", *(address(each, VALUES) for each in rules)]
    seen: dict[str, int] = {}
    found, met = [], set()
    while ahead:
        path = ahead.pop(0)
        if path in met:
            continue
        met.add(path)
        plain, _, query = path.partition("?")
        try:
            endpoint = str(adapter.match(plain, method="GET")[0])
        except (HTTPException, RequestRedirect):
            continue  # not an address of ours, or one that leads on
        # What the attacks made comes in addition to what the walk made.
        kind = (endpoint, bool(query), "xss" in path)
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] > most or endpoint.endswith(("static", "get_openapi", "switch")):
            continue
        answer = client.get(path, headers={"Accept": "text/html"}, follow_redirects=True)
        found.append((path, endpoint, answer))
        if answer.mimetype == "text/html":
            links = Page(answer.get_data(as_text=True)).links
            ahead += [each.partition("#")[0] for each in links if each.startswith("/")]
    return found


@pytest.fixture(scope="module")
def answers(attacked: Walls) -> list[tuple[str, str, TestResponse]]:
    return crawl(attacked.app, attacked.browser())


def cells(text: str) -> Iterator[str]:
    for row in csv.reader(io.StringIO(text)):
        yield from row


def test_every_body_of_the_document_was_attacked(attacked: Walls) -> None:
    """A route that takes a body and is not in the walk has to be put there."""
    adapter = attacked.app.url_map.bind("localhost")
    sent = set()
    for method, path, _, _ in Attacker.sent:
        rule, values = adapter.match(quote(path.partition("?")[0]), method=method, return_rule=True)
        verb = "".join(f"_{values[name]}" for name in values if name == "verb")
        sent.add(str(rule.endpoint).removeprefix("api.") + verb)
    said = openapi_document(attacked.app)["paths"].values()
    with_body = {
        each["operationId"] for path in said for each in path.values() if "requestBody" in each
    }
    assert with_body - sent == WITHOUT_WORDS
    assert len(Attacker.taken) > 60


def test_no_secret_that_any_route_gave_is_in_a_log(attacked: Walls) -> None:
    lines = "\n".join(attacked.app.extensions["heard"])
    assert len(lines) > 200
    assert len(Attacker.secrets) > 8
    assert [each for each in Attacker.secrets | {"correct horse"} if each in lines] == []


# Numbers only, or the same view as one that was attacked.
WITHOUT_WORDS = {
    "read_notifications",
    "rotate_global_token",
    "switch_flag_kill",
    "switch_flag_off",
    "switch_flag_unkill",
}


def test_no_text_of_any_body_becomes_markup_or_a_formula(
    answers: list[tuple[str, str, TestResponse]], browser: Any
) -> None:
    pages = []
    for path, _, answer in answers:
        assert answer.status_code < 500, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert "X-Evil" not in answer.headers, path
        said = answer.get_data(as_text=True)
        if answer.mimetype == "text/html":
            pages.append((path, said))
        elif answer.mimetype == "text/csv":
            for cell in cells(said):
                is_number = re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell)
                assert is_number or cell[:1] not in set("=+-@\t\r|%"), (path, cell)
    assert sum("&lt;img src=x" in html for _, html in pages) > 80
    context = browser.new_context()
    sheet = context.new_page()
    faults = sheet.evaluate(LOOK, pages)
    context.close()
    assert faults == []


def test_no_browser_runs_what_somebody_wrote(
    attacked: Walls, answers: list[tuple[str, str, TestResponse]], browser: Any
) -> None:
    """With the real policy, the real scripts, and every dialog and complaint heard."""
    complaints: list[str] = []
    client = attacked.browser()
    cookie = client.get_cookie(SESSION_COOKIE)
    assert cookie is not None
    # Of each kind of page the one that has most of it; the other test looks at all of them.
    ahead: dict[str, tuple[int, str]] = {}
    for path, endpoint, answer in answers:
        if answer.mimetype == "text/html" and "Content-Disposition" not in answer.headers:
            much = answer.get_data(as_text=True).count("&lt;img src=x")
            ahead[endpoint] = max(ahead.get(endpoint, (0, path)), (much, path))
    assert len(ahead) > 40
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with served(attacked.app) as url:
        context = browser.new_context()
        context.add_cookies([{"name": SESSION_COOKIE, "value": cookie.value, "url": url}])
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', each =>"
            " console.error('refused', each.violatedDirective, each.blockedURI))"
        )
        page = context.new_page()
        page.on("dialog", lambda each: complaints.append(f"a dialog: {each.message}"))
        page.on("pageerror", lambda each: complaints.append(f"a fault: {each}"))
        page.on(
            "console",
            lambda each: (
                complaints.append(f"{page.url}: {each.text}")
                if each.type == "error" and "Failed to load resource" not in each.text
                else None
            ),
        )
        for _, path in ahead.values():
            page.goto(url + path, wait_until="load")
        context.close()
    assert complaints == []
