"""The inbox: what may be said, linked and closed, and that two people cannot overwrite another."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlmodel import select

from experiments.people import requests
from flags import services as flag_services
from flags.actor import Actor
from flags.database import Database
from flags.errors import (
    InvalidInputError,
    NotFoundError,
    StateError,
    VersionConflictError,
)
from flags.models import AuditEntry

NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
ADA = Actor("user", "ada@example.org")


class Inbox:
    def __init__(self, database: Database) -> None:
        self.database = database
        with database.write() as session:
            flag_services.create_project(session, key="shop", actor=ADA, now=NOW)
            flag_services.create_flag(session, "shop", {"key": "checkout"}, actor=ADA, now=NOW)

    def do(self, what: Any, *given: Any, **more: Any) -> Any:
        with self.database.write() as session:
            return what(session, "shop", *given, actor=ADA, now=NOW, **more)

    def add(self, title: str = "Pay by invoice", demand: str = "value", **more: Any) -> Any:
        return self.do(requests.create_request, title=title, demand=demand, **more)

    def titles(self, **only: Any) -> list[str]:
        with self.database.read() as session:
            return [each.title for each in requests.list_requests(session, "shop", **only)]


@pytest.fixture
def inbox(database: Database) -> Inbox:
    return Inbox(database)


def test_a_request_is_linked_and_resolved_and_its_past_is_in_the_audit(inbox: Inbox) -> None:
    made = inbox.add()
    assert (made.state, made.asker, made.version) == ("open", "ada@example.org", 1)
    linked = inbox.do(requests.link_request, made.id, flag_key="checkout", relation="resolves")
    assert (linked.state, linked.flag_key, linked.linked_at) == ("linked", "checkout", NOW)
    ended = inbox.do(requests.resolve_request, made.id, note="it is live")
    assert (ended.state, ended.resolved_at, ended.version) == ("resolved", NOW, 3)
    with inbox.database.read() as session:
        said = session.exec(select(AuditEntry).where(AuditEntry.resource == "request:1")).all()
    assert [entry.action for entry in said] == [
        "request_create",
        "request_link",
        "request_resolve",
    ]
    assert said[1].after == {"state": "linked", "flag": "checkout", "relation": "resolves"}


def test_requests_are_found_by_state_class_and_flag(inbox: Inbox) -> None:
    first, second = inbox.add("a"), inbox.add("b", "failure")
    inbox.add("c", "failure")
    inbox.do(requests.link_request, second.id, flag_key="checkout", relation="causes")
    inbox.do(requests.resolve_request, first.id)
    assert inbox.titles() == ["c", "b", "a"]
    assert inbox.titles(state="open") == ["c"]
    assert inbox.titles(demand="failure") == ["c", "b"]
    assert inbox.titles(flag_key="checkout") == ["b"]
    assert inbox.titles(before_id=second.id) == ["a"]
    with inbox.database.read() as session:
        project = flag_services.get_project(session, "shop").id
        assert project is not None
        assert requests.failure_demand(session, project) == {"checkout": 1}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"title": "  "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"demand": "wish"}, "class"),
        ({"text": "x" * 10_001}, "text"),
        ({"asker": "x" * 321}, "asker"),
    ],
)
def test_a_bad_request_is_refused_by_its_field(
    inbox: Inbox, given: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        inbox.add(**given)
    assert caught.value.field == field
    assert inbox.titles() == []


@pytest.mark.parametrize(
    ("what", "given", "error"),
    [
        (requests.link_request, {"flag_key": "nope", "relation": "causes"}, NotFoundError),
        (requests.link_request, {"flag_key": "checkout", "relation": "is"}, InvalidInputError),
        (requests.resolve_request, {"state": "open"}, InvalidInputError),
        (requests.resolve_request, {"state": "declined", "note": ""}, InvalidInputError),
        (requests.edit_request, {"changes": {"title": ""}}, InvalidInputError),
        (requests.edit_request, {"changes": {}, "version": 7}, VersionConflictError),
        (requests.resolve_request, {"version": 2}, VersionConflictError),
    ],
)
def test_what_cannot_be_leaves_the_request_as_it_is(
    inbox: Inbox, what: Any, given: dict[str, Any], error: type[Exception]
) -> None:
    made = inbox.add()
    with pytest.raises(error):
        inbox.do(what, made.id, **given)
    with inbox.database.read() as session:
        found = requests.get_request(session, "shop", made.id)
    assert (found.state, found.title, found.version) == ("open", "Pay by invoice", 1)


def test_what_has_ended_stays_ended(inbox: Inbox) -> None:
    made = inbox.add()
    inbox.do(requests.resolve_request, made.id, state="declined", note="too rare")
    for again in (
        lambda: inbox.do(requests.resolve_request, made.id),
        lambda: inbox.do(requests.link_request, made.id, flag_key="checkout", relation="causes"),
    ):
        with pytest.raises(StateError):
            again()


def test_a_request_of_another_project_is_not_found(inbox: Inbox) -> None:
    made = inbox.add()
    with inbox.database.write() as session:
        flag_services.create_project(session, key="blog", actor=ADA, now=NOW)
        with pytest.raises(NotFoundError):
            requests.get_request(session, "blog", made.id)
