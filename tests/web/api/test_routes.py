"""Every route does what it is for, and is written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from sqlmodel import select

import web.api
from flags.audit import verify_chain
from flags.database import Database
from tests.web.api.documented import Answers
from tests.web.api.experiment_walk import (
    a_holdout_from_first_to_last,
    a_layer_from_first_to_last,
    a_metric_and_its_events,
    a_policy_from_draft_to_archive,
    a_release_from_first_to_last,
    a_source_from_first_to_last,
    experiment_from_draft_to_shipping,
    requests_and_money,
)
from tests.web.api.flag_walk import (
    a_sample_of_contexts,
    changes_that_wait,
    flags_and_their_past,
    people_and_keys,
    promotions,
    what_is_foreseen,
)
from tests.web.api.webhook_walk import (
    a_kill_hook_from_first_to_last,
    a_webhook_from_first_to_last,
    notices_are_read,
)
from web.app import create_flask_app
from web.auth.guard import needed_role
from web.settings import Settings

P = "/projects/shop"
ENVIRONMENT = "/projects/<project_key>/environments/<environment_key>"


# What this walk through all routes never sends; each has a test of its own beside it.
ONLY_READ_WHERE_SENT: dict[str, set[str]] = {}


class Visits:
    """Remembers which routes answered with success."""

    def __init__(self, app: Flask) -> None:
        self.seen: set[tuple[str, str]] = set()
        app.after_request(self._note)

    def _note(self, response: Response) -> Response:
        if response.status_code < 400 and request.url_rule is not None:
            self.seen.add((request.method, request.url_rule.rule))
        return response


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1"):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield method, rule.rule


def documented_form(method: str, rule: str) -> str:
    path = re.sub(r"<(?:[^:<>]*:)?(\w+)>", r"{\1}", rule.removeprefix("/api/v1"))
    return f"{method} {path}"


@pytest.fixture
def bare_app(tmp_path: Path) -> Iterator[Flask]:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    yield create_flask_app(Settings(data_directory=tmp_path), database, console=False)
    database.dispose()


def test_every_route_is_listed_in_the_readme_with_its_role(bare_app: Flask) -> None:
    readme = (Path(web.api.__file__).parent / "README.md").read_text()
    listed = dict(re.findall(r"^\| `([A-Z]+ /[^`]*)` \| (\S+) \|", readme, re.MULTILINE))
    found = {}
    for rule in bare_app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1"):
            role = needed_role(bare_app.view_functions[rule.endpoint])
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                found[documented_form(method, rule.rule)] = "–" if role is None else str(role)
    assert listed == found


def test_every_post_that_writes_as_somebody_takes_an_idempotency_key(bare_app: Flask) -> None:
    without = {
        rule.rule.removeprefix("/api/v1")
        for rule in bare_app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1") and "POST" in (rule.methods or set())
        if not hasattr(bare_app.view_functions[rule.endpoint], "__wrapped__")
    }
    # Public ones have no caller to remember it for; evaluation writes nothing; a revocation is the
    # same when it is done twice; and no fast hash of a body with a password is to be stored.
    assert without == {
        "/setup",
        "/session",
        "/session/password",
        "/members",
        "/tokens/<int(max=2147483647):token_id>/revoke",
        "/projects/<project_key>/tokens/<int(max=2147483647):token_id>/revoke",
        "/projects/<project_key>/environments/<environment_key>/evaluate",
        "/projects/<project_key>/evaluate",
        "/projects/<project_key>/notifications/read",
        f"{ENVIRONMENT}/kill-hooks/<int(max=2147483647):hook_id>/revoke",
    }


def test_every_route_works(service: Any) -> None:
    visits, answers = Visits(service.app), Answers(service.app)
    people_and_keys(service)
    flags_and_their_past(service.caller("admin"))
    promotions(service.caller("editor"))
    a_source_from_first_to_last(service.caller("admin"))
    a_metric_and_its_events(service.caller("editor"))
    a_policy_from_draft_to_archive(service, service.caller("editor"))
    a_layer_from_first_to_last(service.caller("editor"))
    a_holdout_from_first_to_last(service.caller("admin"))
    a_sample_of_contexts(service)
    what_is_foreseen(service.caller("viewer"))
    experiment_from_draft_to_shipping(service)
    requests_and_money(service.caller("editor"))
    a_release_from_first_to_last(service)
    changes_that_wait(service)
    a_webhook_from_first_to_last(service.caller("admin"))
    a_kill_hook_from_first_to_last(service.caller("admin"))
    notices_are_read(service.caller("viewer"))
    the_documentation(service.caller("viewer"))
    assert visits.seen == set(routes(service.app))
    assert answers.faults == []
    assert answers.never_read(service.app) == ONLY_READ_WHERE_SENT
    with service.database.read() as session:
        from flags.models import AuditEntry

        assert verify_chain(session.exec(select(AuditEntry)).all()) is None


def the_documentation(caller: Any) -> None:
    assert caller.ok("GET", "/openapi.json")["openapi"] == "3.1.0"
    page = caller.get("/docs")
    assert page.mimetype == "text/html"
    assert "change_flags" in page.get_data(as_text=True)
