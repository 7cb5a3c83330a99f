"""What belongs to one environment stays out of sight of whoever may not know of it: everywhere."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from experiments.moves import layers
from experiments.people import services as experiments
from flags import change_requests, changes, heartbeats, services
from flags.context_samples import hash_of, record
from flags.request_rows import Writing
from tests.forecasting import stated
from tests.web.console.conftest import plan
from tests.web.security.conftest import KEYS, OWNER, Walls, send
from tests.web.security.test_headers import readable
from web.api.openapi import openapi_document
from web.auth import members
from web.auth import service as auth
from web.auth.models import Token
from web.auth.roles import Role
from web.webhooks import kill_hooks

HIDDEN = "quagga"
"""Stands in what production alone has."""
PLACE = f"{HIDDEN}-place"
FLAG = KEYS["flag_key"]


def furnish_hidden(walls: Walls) -> dict[str, str]:
    """Put one of everything that an environment has into a new one; give the numbers."""
    by: dict[str, Any] = {"actor": OWNER, "now": walls.clock()}
    place = ("shop", PLACE)
    with walls.database.write() as session:
        services.create_environment(session, "shop", key=PLACE, name=HIDDEN, production=True, **by)
        hidden = services.get_environment(session, *place)
        assert hidden.id is not None
        targets = {"do": "add_targets", "flag": FLAG, "variant": "on", "keys": [HIDDEN]}
        segment = {"do": "add_segment", "segment": f"{HIDDEN}-segment", "condition": True}
        body = {"comment": HIDDEN, "instructions": [targets, segment]}
        changes.apply_change(session, *place, changes.parse_change(body), **by)
        later = (walls.clock() + dt.timedelta(days=1)).isoformat()
        wait = {"comment": HIDDEN, "instructions": [{"do": "kill", "flag": FLAG}]}
        numbers = []
        for mode in ({"mode": "request"}, {"mode": "schedule", "at": later}):
            change = changes.parse_change(wait | mode)
            made = change_requests.submit(
                session, *place, change, by=Writing(OWNER), now=walls.clock()
            )
            numbers.append(made.id)
        layers.put_layer(session, *place, f"{HIDDEN}-layer", description=HIDDEN, **by)
        draft = plan(key=f"{HIDDEN}-test", flag=FLAG, hypothesis=HIDDEN)
        experiments.create_experiment(session, "shop", stated(draft | {"environment": PLACE}), **by)
        scope = {"scope": "flags", "names": [FLAG]}
        _, hook = kill_hooks.create_hook(session, *place, name=HIDDEN, **scope, **by)
        _, token = auth.create_token(
            session,
            auth.TokenKind.SERVER,
            name=HIDDEN,
            project_id=hidden.project_id,
            environment_id=hidden.id,
            created_by=OWNER,
            now=walls.clock(),
        )
        seen = {"targetingKey": HIDDEN, "country": HIDDEN}
        record(session, hidden.id, [(hash_of(seen), f'{{"a": "{HIDDEN}"}}', walls.clock())])
        heartbeats.record(
            session,
            [
                heartbeats.Heartbeat(
                    environment_id=hidden.id,
                    id=str(uuid.UUID(int=1)),
                    sdk="flagstone-python 0.1.0",
                    runtime="python 3.13",
                    host=f"{HIDDEN}.example",
                    revision=1,
                    etag=None,
                    source="network",
                    started_at=walls.clock(),
                    seen_at=walls.clock(),
                    events={},
                    unknown_flags=[HIDDEN],
                    defaults="{}",
                    defaults_complete=True,
                )
            ],
        )
        newest = hidden.revision
    return {
        "environment_key": PLACE,
        "change_id": str(numbers[0]),
        "hook_id": str(hook.id),
        "token_id": str(token.id),
        "experiment_key": f"{HIDDEN}-test",
        "release_key": f"{HIDDEN}-test",
        "segment_key": f"{HIDDEN}-segment",
        "layer_key": f"{HIDDEN}-layer",
        "number": str(newest),
    }


@pytest.fixture
def split(walls: Walls) -> Walls:
    walls.values = {**walls.values, **furnish_hidden(walls)}
    return walls


def of_staging(walls: Walls) -> FlaskClient:
    """Give the browser of somebody who administers staging, and knows of nothing else."""
    client = walls.browser("viewer")
    with walls.database.write() as session:
        for place, role in ((PLACE, Role.NONE), ("staging", Role.ADMIN)):
            members.set_role(
                session,
                services.get_project(session, "shop"),
                services.get_environment(session, "shop", place),
                "viewer@example.org",
                role,
                by=OWNER,
                now=walls.clock(),
            )
    return client


def key_of_staging(walls: Walls) -> dict[str, str]:
    with walls.database.write() as session:
        staging = services.get_environment(session, "shop", "staging")
        assert staging.id is not None
        plain, _ = auth.create_token(
            session,
            auth.TokenKind.USER,
            name="staging",
            role=Role.APPROVER,
            project_id=staging.project_id,
            environment_ids=[staging.id],
            created_by="test",
            now=walls.clock(),
        )
    return {"Authorization": f"Bearer {plain}"}


def reads(walls: Walls) -> Iterator[tuple[str, str]]:
    """Give every address that can be read, as it is and about each environment."""
    said = openapi_document(walls.app)["paths"]
    for each in walls.operations():
        if each.method != "GET" or "{project_key}" not in each.path:
            continue
        queries = {
            one["name"] for one in said[each.path]["get"]["parameters"] if one["in"] == "query"
        }
        for environment in (PLACE, "staging"):
            path = each.at({**walls.values, "environment_key": environment})
            yield each.name, path
            for name in queries & {"environment", "to"}:
                yield each.name, f"{path}?{name}={PLACE}"
    for endpoint, path in readable(walls):
        if endpoint.startswith("console."):
            yield endpoint, path
            yield endpoint, path.replace(f"/{PLACE}/", "/staging/")


def finds(client: FlaskClient, walls: Walls, headers: dict[str, str]) -> set[str]:
    """Give the names of the routes that say something of what production alone has."""
    found = set()
    for name, path in dict.fromkeys(reads(walls)):
        answer = client.get(path, headers={**headers, "Accept": "text/html"})
        assert answer.status_code < 500, path
        # An address that one asked for oneself may come back.
        said = answer.get_data(as_text=True)
        for each in walls.values.values() if HIDDEN in path else ():
            said = said.replace(each, "") if HIDDEN in each else said
        if HIDDEN in said:
            found.add(f"{name}: {path}")
    return found


def test_no_answer_says_anything_of_an_environment_that_one_may_not_know(split: Walls) -> None:
    everything = finds(split.app.test_client(use_cookies=False), split, split.key("admin"))
    assert len({each.partition(":")[0] for each in everything}) > 12, everything
    assert finds(of_staging(split), split, {}) == set()
    stranger = split.app.test_client(use_cookies=False)
    assert finds(stranger, split, key_of_staging(split)) == set()


def bodies(walls: Walls) -> list[tuple[str, str, dict[str, Any]]]:
    """Give what names it where the address does not."""
    shop = "/api/v1/projects/shop"
    step = {"do": "kill", "flag": FLAG}
    state = {"enabled": True, "default": "on", "off": "off"}
    file = {
        "key": FLAG,
        "type": "boolean",
        "variants": {"on": {"value": True}, "off": {"value": False}},
        "environments": {PLACE: state},
    }
    draft = plan(key="mine", flag=FLAG) | {"environment": PLACE}
    release = {"flag": FLAG, "variant": "on", "guards": ["x"], "customer": "a@example.org",
               "steps": [50, 100], "environment": PLACE}  # fmt: skip
    change = {"environment": PLACE, "instructions": [step]}
    number = walls.values["change_id"]
    return [
        *(
            ("POST", f"{shop}/changes", change | more)
            for more in (
                {},
                {"mode": "preview"},
                {"mode": "request"},
                {"mode": "schedule", "at": "2027-01-01T00:00:00Z"},
            )
        ),
        *(
            ("POST", f"{shop}/changes/{number}/{verb}", {})
            for verb in ("approve", "apply", "decline", "withdraw")
        ),
        ("PATCH", f"{shop}/changes/{number}", {"comment": "mine"}),
        ("POST", f"{shop}/tokens", {"kind": "srv", "name": "x", "environment": PLACE}),
        ("POST", f"{shop}/experiments", stated(draft)),
        ("POST", f"{shop}/releases", release),
        *(
            ("POST", f"{shop}/experiments/{walls.values['experiment_key']}/{verb}", {})
            for verb in ("seal", "start", "stop", "confirm", "close")
        ),
        ("POST", f"{shop}/environments/staging/promote", {"to": PLACE}),
        ("POST", f"{shop}/flags/{FLAG}/environments/staging/promote", {"to": PLACE}),
        ("POST", f"{shop}/files/import", {"flags": {FLAG: file}, "segments": {}}),
        ("POST", f"{shop}/changes", {"environment": "staging", "instructions": [
            {"do": "promote", "flag": FLAG, "source": PLACE}]}),
        ("POST", f"{shop}/changes", {"environment": "staging", "instructions": [
            {"do": "undo", "entry": int(walls.values["entry_id"])}]}),
    ]  # fmt: skip


@pytest.mark.parametrize("as_key", [False, True])
def test_no_body_reaches_into_an_environment_that_one_may_not_know(
    split: Walls, *, as_key: bool
) -> None:
    client = split.app.test_client(use_cookies=False) if as_key else of_staging(split)
    headers = key_of_staging(split) if as_key else split.token_of(client)
    before = split.written()
    for method, path, body in bodies(split):
        answer = client.open(path, method=method, json=body, headers=headers)
        said = answer.get_data(as_text=True)
        assert answer.status_code in {400, 403, 404}, (path, body, said)
        assert answer.status_code != 400 or PLACE not in body.values(), (path, body, said)
        # What one wrote oneself may come back.
        said = said.replace(PLACE, "")
        assert HIDDEN in path or HIDDEN not in said, (path, said)
    assert split.written() == before


def test_what_belongs_to_one_environment_is_not_found_in_another(split: Walls) -> None:
    headers = split.key("admin")
    client = split.app.test_client(use_cookies=False)
    elsewhere = {**split.values, "environment_key": "staging"}
    own = {"hook_id", "segment_key", "layer_key"}
    asked = 0
    for each in split.operations():
        if "{environment_key}" not in each.path or not own & set(each.names()):
            continue
        if each.method == "PUT":
            continue  # it makes what is not there
        asked += 1
        answer = send(client, each, each.at(elsewhere), headers=headers)
        assert answer.status_code == 404, (each.name, answer.get_data(as_text=True))
    assert asked >= 4


def test_no_key_but_a_live_one_of_its_kind_opens_any_operation(split: Walls) -> None:
    """Of the data plane, of a hook, revoked, over, rotated away, or a cookie's value."""
    with split.database.write() as session:
        production = services.get_environment(session, "shop", PLACE)
        where = {"project_id": production.project_id}
        made = {"name": "x", "created_by": OWNER, "now": split.clock()}
        kinds: dict[str, str] = {}
        for kind in (auth.TokenKind.SERVER, auth.TokenKind.CLIENT):
            kinds[kind.value], _ = auth.create_token(
                session, kind, environment_id=production.id, **where, **made
            )
        admin = {**made, "role": Role.ADMIN}
        kinds["revoked"], token = auth.create_token(session, auth.TokenKind.USER, **admin)
        auth.revoke_token(session, token, revoked_by=OWNER, now=split.clock())
        over = split.clock() + dt.timedelta(seconds=1)
        kinds["over"], _ = auth.create_token(session, auth.TokenKind.USER, expires_at=over, **admin)
        kinds["rotated"], token = auth.create_token(session, auth.TokenKind.USER, **admin)
        auth.rotate_token(
            session, token, overlap=dt.timedelta(seconds=1), by=OWNER, now=split.clock()
        )
        kinds["hook"], _ = kill_hooks.create_hook(
            session, "shop", PLACE, name="x", scope="flags", names=[FLAG], actor=OWNER,
            now=split.clock(),
        )  # fmt: skip
        kinds["stored"] = session.get_one(Token, token.id).secret_hash
    cookie = split.browser("admin").get_cookie("fs_session")
    assert cookie is not None
    kinds["cookie"] = cookie.value
    split.clock.advance(seconds=2)
    client = split.app.test_client(use_cookies=False)
    before = split.written()
    for kind, plain in kinds.items():
        for each in split.operations():
            if each.role is None:
                continue
            headers = {"Authorization": f"Bearer {plain}"}
            answer = send(client, each, each.at(split.values), headers=headers)
            expected = 403 if kind in {"srv", "cli"} else 401
            assert answer.status_code == expected, (kind, each.name, answer.status_code)
    assert split.written() == before
