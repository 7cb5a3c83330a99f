"""Changes that wait: the table of their states, and what an approval is of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from flags import approvals, change_requests, request_rows
from flags.actor import Actor
from flags.audit import entries, verify_chain
from flags.changes import parse_change
from flags.errors import (
    FlagstoneError,
    InvalidInputError,
    NeedsApprovalError,
    NotAllowedError,
    StateError,
    VersionConflictError,
)
from flags.models import ChangeRequest
from flags.request_rows import STATES, Writing
from tests.flags.conftest import ADA, CHECKOUT, NOW, Shop

BOB = Actor("user", "bob@example.org")
CID = Actor("user", "cid@example.org")
CI = Actor("token", "ci#7")
ON = {"do": "turn_on", "flag": "checkout"}
KILL = {"do": "kill", "flag": "checkout"}
SPLIT = {"split": {"weights": {"new": 1}, "coverage": 0.1}}
RULE = {"do": "add_rule", "flag": "checkout", "rule": {"id": "eu", "serve": SPLIT}}
HOUR = dt.timedelta(hours=1)


class Desk:
    """A short way to do things to changes of a shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def ask(
        self,
        *instructions: dict[str, Any],
        by: Writing | None = None,
        at: dt.datetime | None = None,
        environment: str = "production",
        **options: Any,
    ) -> ChangeRequest:
        document: dict[str, Any] = {"instructions": list(instructions or (ON,)), **options}
        document["mode"] = document.get("mode", "request")
        if at is not None:
            document["at"] = at.isoformat()
        with self.shop.database.write() as session:
            return change_requests.submit(
                session,
                self.shop.project,
                environment,
                parse_change(document),
                by=by or Writing(ADA),
                now=self.shop.now,
            )

    def do(
        self, verb: str, request: ChangeRequest, actor: Actor, behind: str = "", **options: Any
    ) -> ChangeRequest:
        writes = verb in {"edit", "withdraw", "approve"}
        if verb == "approve":
            options.setdefault("content_hash", request.content_hash)
        if verb == "decline":
            options.setdefault("comment", "no")
        if verb == "edit":
            options.setdefault("edits", {})
        who: dict[str, Any] = {"by": Writing(actor, behind)} if writes else {"actor": actor}
        call: Callable[..., ChangeRequest] = getattr(change_requests, verb)
        with self.shop.database.write() as session:
            return call(session, self.shop.project, request.id, now=self.shop.now, **who, **options)

    def protect(self, needed: int, environment: str = "production") -> None:
        with self.shop.database.write() as session:
            approvals.protect(
                session, self.shop.project, environment, needed=needed, actor=ADA, now=NOW
            )

    def enabled(self, environment: str = "production") -> bool:
        return bool(self.shop.document(environment=environment)["enabled"])

    def audited(self) -> list[str]:
        with self.shop.database.read() as session:
            found = entries(session, self.shop.project_id, limit=None)
            assert verify_chain(found) is None
            return [each.action for each in reversed(found) if each.resource.startswith("change:")]


@pytest.fixture
def desk(shop: Shop) -> Desk:
    return Desk(shop)


# From a state, what each verb leads to; None: refused. ("edit" by Ada, the others by Bob.)
TABLE = {
    "open": {"approve": "approved", "decline": "declined", "withdraw": "withdrawn",
             "apply": None, "edit": "open"},
    "approved": {"approve": "approved", "decline": "declined", "withdraw": "withdrawn",
                 "apply": "applied", "edit": "open"},
    "stale": {"approve": None, "decline": None, "withdraw": "withdrawn",
              "apply": None, "edit": "open"},
    "failed": {"approve": None, "decline": None, "withdraw": "withdrawn",
               "apply": None, "edit": "open"},
    "missed": {"approve": None, "decline": None, "withdraw": "withdrawn",
               "apply": None, "edit": "open"},
    "applied": dict.fromkeys(("approve", "decline", "withdraw", "apply", "edit")),
    "declined": dict.fromkeys(("approve", "decline", "withdraw", "apply", "edit")),
    "withdrawn": dict.fromkeys(("approve", "decline", "withdraw", "apply", "edit")),
}  # fmt: skip


def test_every_state_allows_what_its_table_says_and_nothing_else(desk: Desk) -> None:
    assert set(TABLE) == set(STATES)
    for state, verbs in TABLE.items():
        for verb, then in verbs.items():
            desk.shop.change({"do": "turn_off"}, comment="start")
            request = desk.ask()
            if state != "open":
                desk.do("approve", request, BOB)
            with desk.shop.database.write() as session:
                row = session.get_one(ChangeRequest, request.id)
                row.state = state
                session.add(row)
            actor = BOB if verb in {"approve", "decline", "apply"} else ADA
            if then is None:
                with pytest.raises((StateError, NeedsApprovalError)):
                    desk.do(verb, request, actor)
                assert not desk.enabled()
            else:
                assert desk.do(verb, request, actor).state == then, (state, verb)
                assert desk.enabled() == (then == "applied")


def test_every_step_is_in_the_audit(desk: Desk) -> None:
    request = desk.ask(comment="launch")
    request = desk.do("edit", request, ADA, edits={"comment": "launch, then watch"})
    request = desk.do("approve", request, BOB)
    request = desk.do("apply", request, ADA)
    assert request.outcome is not None
    assert request.outcome["revision"] == desk.shop.number()
    other = desk.ask({"do": "turn_off", "flag": "checkout"})
    desk.do("decline", other, BOB, comment="not now")
    desk.do("withdraw", desk.ask({"do": "turn_off", "flag": "checkout"}), ADA)
    assert desk.audited() == [
        "request_change",
        "edit_change",
        "approve_change",
        "apply_change",
        "request_change",
        "decline_change",
        "request_change",
        "withdraw_change",
    ]


def test_nobody_approves_what_they_or_their_keys_wrote(desk: Desk) -> None:
    mine = desk.ask()
    with pytest.raises(NotAllowedError, match="wrote some of this"):
        desk.do("approve", mine, ADA)
    by_key = desk.ask(by=Writing(CI, behind=str(BOB)))
    with pytest.raises(NotAllowedError, match="wrote some of this"):
        desk.do("approve", by_key, BOB)
    with pytest.raises(NotAllowedError, match="nobody is known"):
        desk.do("approve", mine, CI)
    with pytest.raises(NotAllowedError, match="wrote some of this"):
        desk.do("approve", mine, CI, behind=str(ADA))
    edited = desk.do("edit", desk.ask(), BOB, edits={"comment": "better"})
    with pytest.raises(NotAllowedError, match="wrote some of this"):
        desk.do("approve", edited, BOB)
    assert desk.do("approve", edited, CID).state == "approved"


def test_an_edit_of_whatever_voids_every_approval(desk: Desk) -> None:
    for edits in ({}, {"comment": "x"}, {"instructions": [RULE]}, {"at": "2027-01-01T00:00:00Z"}):
        request = desk.do("approve", desk.ask(), BOB)
        edited = desk.do("edit", request, ADA, edits=edits)
        assert (edited.state, edited.approvals) == ("open", []), edits
        with pytest.raises(FlagstoneError):
            desk.do("apply", edited, ADA)
        if "comment" not in edits and edits:
            assert edited.content_hash != request.content_hash
            with pytest.raises(StateError, match="edited"):
                desk.do("approve", edited, BOB, content_hash=request.content_hash)


def test_one_person_is_one_approval(desk: Desk) -> None:
    desk.protect(2)
    request = desk.do("approve", desk.ask(), BOB)
    assert desk.do("approve", request, BOB).state == "open"
    with pytest.raises(NeedsApprovalError, match="1 of 2"):
        desk.do("apply", request, ADA)
    assert desk.do("approve", request, CID).state == "approved"
    assert desk.do("apply", request, ADA).state == "applied"


def test_a_key_approves_for_the_person_who_made_it(desk: Desk) -> None:
    desk.protect(2)
    request = desk.do("approve", desk.ask(), CI, behind=str(BOB))
    assert [each["by"] for each in request.approvals] == [str(BOB)]
    assert len(desk.do("approve", request, BOB).approvals) == 1


def test_what_the_environment_wants_counts_when_it_is_applied(desk: Desk) -> None:
    request = desk.do("approve", desk.ask(), BOB)
    desk.protect(2)
    with pytest.raises(NeedsApprovalError, match="1 of 2"):
        desk.do("apply", request, ADA)
    assert desk.do("approve", request, CID).state == "approved"
    assert desk.do("apply", request, ADA).state == "applied"


def test_an_approval_holds_while_the_effect_is_the_same(desk: Desk) -> None:
    desk.shop.create({**CHECKOUT, "key": "other"})
    request = desk.do("approve", desk.ask(RULE), BOB)
    desk.shop.change({"do": "turn_on"}, flag="other")
    assert desk.do("apply", request, ADA).state == "applied"


def is_one_of(attribute: str, *values: str) -> dict[str, Any]:
    return {"attr": attribute, "op": "in", "values": list(values)}


@pytest.mark.parametrize(
    "between",
    [
        {"do": "set_default", "flag": "checkout", "variant": "new"},
        {"do": "update_segment", "segment": "eu", "condition": is_one_of("c", "de")},
        {"do": "update_segment", "segment": "inner", "condition": True},
        {"do": "update_variant", "flag": "checkout", "variant": "new", "value": "newer"},
    ],
    ids=["the flag", "a segment that it names", "a segment of that segment", "everywhere"],
)
def test_another_effect_is_not_applied_and_says_what_differs(
    desk: Desk, between: dict[str, Any]
) -> None:
    desk.shop.change(
        {"do": "add_segment", "segment": "inner", "condition": is_one_of("a", "b")},
        {"do": "add_segment", "segment": "eu", "condition": {"segment": "inner"}},
    )
    when = {**RULE, "rule": {**RULE["rule"], "when": {"segment": "eu"}}}
    request = desk.do("approve", desk.ask(when), BOB)
    desk.shop.change(between)
    before = desk.shop.number()
    stale = desk.do("apply", request, ADA)
    assert stale.state == "stale"
    assert stale.outcome is not None
    assert stale.outcome["approved"] != stale.outcome["present"]
    assert desk.shop.number() == before
    renewed = desk.do("edit", stale, ADA)
    with pytest.raises(NeedsApprovalError):
        desk.do("apply", renewed, ADA)
    desk.do("approve", renewed, BOB)
    assert desk.do("apply", renewed, ADA).state == "applied"


def test_nobody_approves_what_would_do_something_else_than_its_preview_says(desk: Desk) -> None:
    request = desk.ask(RULE)
    desk.shop.change({"do": "set_default", "variant": "new"})
    with pytest.raises(StateError, match="moved"):
        desk.do("approve", request, BOB)


def test_an_environment_that_wants_approvals_takes_nothing_else(desk: Desk) -> None:
    desk.protect(1)
    for instruction in (ON, RULE, {"do": "set_default", "flag": "checkout", "variant": "new"}):
        with pytest.raises(NeedsApprovalError):
            desk.shop.change(instruction)
    assert desk.shop.change(ON, environment="staging").changed
    # What a flag is everywhere changes production too, wherever the change is sent.
    everywhere = {"do": "update_variant", "flag": "checkout", "variant": "new", "value": "x"}
    with pytest.raises(NeedsApprovalError):
        desk.shop.change(everywhere, environment="staging")
    desk.protect(0)
    assert desk.shop.change(ON).changed


def test_to_kill_never_waits_but_says_why(desk: Desk) -> None:
    desk.shop.change(ON)
    desk.protect(5)
    with pytest.raises(InvalidInputError, match="reason"):
        desk.shop.change(KILL)
    assert desk.shop.change(KILL, comment="checkout is down").changed
    with pytest.raises(NeedsApprovalError):
        desk.shop.change({"do": "unkill"}, comment="fine again")
    with pytest.raises(NeedsApprovalError):
        desk.shop.change(KILL, {"do": "set_default", "variant": "new"}, comment="trick")
    assert desk.shop.change({"do": "turn_off"}, comment="for good").changed


def test_what_cannot_be_done_or_does_nothing_is_not_asked_for(desk: Desk) -> None:
    with pytest.raises(FlagstoneError):
        desk.ask({"do": "turn_on", "flag": "nowhere"})
    with pytest.raises(InvalidInputError, match="changes nothing"):
        desk.ask({"do": "turn_off", "flag": "checkout"})
    with pytest.raises(InvalidInputError, match="time of this change is over"):
        desk.ask(at=NOW)
    with pytest.raises(InvalidInputError, match="needs a time"):
        desk.ask(mode="schedule")
    assert desk.audited() == []


def test_a_change_with_a_time_is_not_applied_before_it(desk: Desk) -> None:
    request = desk.do("approve", desk.ask(at=NOW + HOUR), BOB)
    with pytest.raises(StateError, match="not yet"):
        desk.do("apply", request, ADA)


def test_only_its_writers_take_a_change_back(desk: Desk) -> None:
    request = desk.ask(by=Writing(CI, behind=str(ADA)))
    with pytest.raises(NotAllowedError):
        desk.do("withdraw", request, BOB)
    assert desk.do("withdraw", request, ADA).state == "withdrawn"


def test_a_change_that_moved_is_not_written_over(desk: Desk) -> None:
    request = desk.ask()
    edited = desk.do("edit", request, ADA, edits={"comment": "x"})
    with pytest.raises(VersionConflictError):
        desk.do("approve", edited, BOB, expected_version=request.version)


def test_a_project_finds_its_own_changes_only(desk: Desk) -> None:
    request = desk.ask()
    with desk.shop.database.read() as session:
        assert [each.id for each in request_rows.find(session, desk.shop.project)] == [request.id]
        for flag, found in (("checkout", 1), ("other", 0)):
            here = request_rows.find(session, desk.shop.project, flag_key=flag)
            assert len(here) == found
