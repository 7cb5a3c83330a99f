"""Nobody reaches what is not theirs: across projects, across environments, above their role."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from flags import services
from tests.web.security.conftest import CANARY, OWNER, Operation, send
from web.auth import members
from web.auth.guard import needed_role
from web.auth.roles import Role

LADDER = ("viewer", "editor", "approver", "admin")


def of_projects(walls: Any) -> list[Operation]:
    return [each for each in walls.operations() if "{project_key}" in each.path]


def test_a_key_of_another_project_finds_nothing_of_the_shop(walls: Any) -> None:
    headers = walls.key("admin", "blog")
    client = walls.app.test_client(use_cookies=False)
    before = walls.written()
    for each in of_projects(walls):
        answer = send(client, each, each.at(walls.values), headers=headers)
        assert answer.status_code == 404, (each.name, answer.status_code)
        assert CANARY not in answer.get_data(as_text=True).replace(each.at(walls.values), ""), each
    assert walls.written() == before


def test_a_number_or_key_of_the_shop_means_nothing_in_another_project(walls: Any) -> None:
    headers = walls.key("admin", "blog")
    client = walls.app.test_client(use_cookies=False)
    elsewhere = {**walls.values, "project_key": "blog"}
    for each in of_projects(walls):
        if each.method == "PUT":
            continue  # it makes what is not there, of the other project's own
        # People are of the whole service: whoever administers a project finds them all.
        names = set(each.names()) - {"project_key", "environment_key", "number", "email"}
        answer = send(client, each, each.at(elsewhere), headers=headers)
        said = answer.get_data(as_text=True)
        if names:
            assert answer.status_code in {400, 404, 409}, (each.name, answer.status_code, said)
        if answer.status_code < 300 and each.method == "GET":
            assert CANARY not in said, each.name


def test_a_role_in_one_environment_opens_no_other(walls: Any) -> None:
    client = walls.browser("viewer")
    with walls.database.write() as session:
        for place, role in (("production", Role.NONE), ("staging", Role.ADMIN)):
            members.set_role(
                session,
                services.get_project(session, "shop"),
                services.get_environment(session, "shop", place),
                "viewer@example.org",
                role,
                by=OWNER,
                now=walls.clock(),
            )
    headers = walls.token_of(client)
    before = walls.written()
    for each in of_projects(walls):
        if "{environment_key}" not in each.path:
            continue
        path = each.at(walls.values)
        answer = send(client, each, path, headers=headers)
        assert answer.status_code in {403, 404}, (each.name, answer.status_code)
    assert walls.written() == before


def test_what_belongs_to_one_environment_is_not_found_in_another(walls: Any) -> None:
    headers = walls.key("admin")
    client = walls.app.test_client(use_cookies=False)
    elsewhere = {**walls.values, "environment_key": "staging"}
    for name in ("revoke_kill_hook",):
        (each,) = (each for each in walls.operations() if each.name == name)
        assert send(client, each, each.at(elsewhere), headers=headers).status_code == 404


@pytest.mark.parametrize("role", LADDER[:-1])
def test_no_key_does_what_its_role_does_not_say(walls: Any, role: str) -> None:
    headers = walls.key(role)
    client = walls.app.test_client(use_cookies=False)
    above = LADDER[LADDER.index(role) + 1 :]
    refused = [each for each in walls.operations() if each.role in above]
    assert refused
    before = walls.written()
    for each in refused:
        answer = send(client, each, each.at(walls.values), headers=headers)
        assert answer.status_code == 403, (each.name, answer.status_code)
    assert walls.written() == before


@pytest.mark.parametrize("role", LADDER[:-1])
def test_no_person_sends_a_form_that_their_role_does_not_say(walls: Any, role: str) -> None:
    client = walls.browser(role)
    token = walls.token_of(client)
    before = walls.written()
    asked = 0
    for rule in walls.app.url_map.iter_rules():
        view = walls.app.view_functions[rule.endpoint]
        if not rule.endpoint.startswith("console.") or "POST" not in (rule.methods or set()):
            continue
        needed = needed_role(view)
        if needed is None or Role(role).covers(needed):
            continue
        asked += 1
        answer = client.post(address(rule, walls.values), headers=token, data={})
        assert answer.status_code in {403, 404}, (rule.endpoint, answer.status_code)
    assert asked >= 3
    assert walls.written() == before


def address(rule: Any, values: dict[str, str]) -> str:
    """Give an address of a page's rule: the first of several words, a value for each name."""
    parts = []
    for is_dynamic, text in rule._trace:
        if not is_dynamic:
            parts.append(text.partition("|")[2] or text)
            continue
        converter = rule._converters[text]
        words = getattr(converter, "items", None)
        parts.append(sorted(words)[0] if words else values.get(text, "1"))
    return "/" + "".join(parts).lstrip("/|")


def test_nobody_raises_themselves(walls: Any) -> None:
    """An administrator of one project makes no key, role or person beyond it."""
    headers = walls.key("admin", "blog")
    client = walls.app.test_client(use_cookies=False)
    everywhere = {"name": "x", "role": "admin"}
    assert client.post("/api/v1/tokens", json=everywhere, headers=headers).status_code == 403
    person = {"email": "eve@example.org", "password": "a long enough one", "role": "admin"}
    assert client.post("/api/v1/members", json=person, headers=headers).status_code == 403
    assert client.post("/api/v1/projects", json={"key": "x"}, headers=headers).status_code == 403
    shop = "/api/v1/projects/shop/tokens"
    assert client.post(shop, json={**everywhere, "kind": "usr"}, headers=headers).status_code == 404


def test_every_operation_but_the_known_ones_wants_a_caller(walls: Any) -> None:
    client = walls.app.test_client(use_cookies=False)
    public = set()
    for each in walls.operations():
        answer = send(client, each, each.at(walls.values))
        if each.role is None:
            public.add(each.name)
        else:
            assert answer.status_code == 401, each.name
            assert CANARY not in answer.get_data(as_text=True).replace(each.at(walls.values), "")
    assert public == PUBLIC


PUBLIC = {"sign_in", "set_up", "get_openapi", "show_docs"}


def test_no_import_holds_everybody_up_with_more_flags_than_anybody_has(walls: Any) -> None:
    """It is refused before it takes a lock that a kill would wait for."""
    headers = walls.key("editor")
    client = walls.app.test_client(use_cookies=False)
    many: dict[str, Any] = {str(number): {} for number in range(10_001)}
    place = "/api/v1/projects/shop"
    for path, body in (
        (f"{place}/environments/production/import", {"flags": many}),
        (f"{place}/environments/production/import", {"flags": {}, "segments": many}),
        (f"{place}/files/import", {"flags": many, "segments": {}}),
        (f"{place}/files/import", {"flags": {}, "segments": many}),
    ):
        locks: list[str] = []
        with counting(walls.database, locks):
            answer = client.post(path, json=body, headers=headers)
        assert answer.status_code == 400, answer.get_data(as_text=True)[:300]
        assert answer.get_json()["field"] in {"flags", "segments"}
        assert not any("FROM flags" in each for each in locks), locks


@contextlib.contextmanager
def counting(database: Any, said: list[str]) -> Iterator[None]:
    """Note every statement."""

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    for engine in (database.engine, database._write_engine):
        sa.event.listen(engine, "before_cursor_execute", note)
    yield
    for engine in (database.engine, database._write_engine):
        sa.event.remove(engine, "before_cursor_execute", note)
