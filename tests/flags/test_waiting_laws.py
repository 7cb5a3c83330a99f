"""Any order of asking, editing, approving, applying and waiting: nothing slips through."""

from __future__ import annotations

import copy
import datetime as dt
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlmodel import select

from flags import approvals, change_requests, schedules
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.errors import FlagstoneError
from flags.models import AuditEntry, ChangeRequest
from flags.request_rows import Writing, get
from flags.services import create_flag, create_project

START = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
PEOPLE = [Actor("user", f"{name}@example.org") for name in ("ada", "bob", "cid")]
# A key that Ada made: what it writes is hers, and what it approves too.
KEY = Writing(Actor("token", "ci#1"), behind=str(PEOPLE[0]))
WRITERS = st.sampled_from([*map(Writing, PEOPLE), KEY])
SHARES = st.sampled_from([0.1, 0.2, 0.5])
MINUTES = st.sampled_from([5, 30, 90])


def to(share: float) -> list[dict[str, Any]]:
    return [{"do": "set_coverage", "flag": "checkout", "rule": "r", "value": share}]


class Requests(RuleBasedStateMachine):
    """A model that knows who wrote which content, and who approved exactly that."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.database = Database(f"sqlite:///{Path(self.folder.name) / 'one.db'}")
        self.database.create_all()
        self.project, self.now = f"p{uuid.uuid4().hex[:8]}", START
        serve = {"split": {"weights": {"on": 1}, "coverage": 0.0}}
        setup = {"do": "add_rule", "flag": "checkout", "rule": {"id": "r", "serve": serve}}
        with self.database.write() as session:
            create_project(session, key=self.project, actor=PEOPLE[0], now=START)
            create_flag(session, self.project, {"key": "checkout"}, actor=PEOPLE[0], now=START)
        self._by_hand([setup])
        self.needed = 0
        # By number: who wrote the present content, who approved it, whether it must be.
        self.writers: dict[int, set[str]] = {}
        self.approved: dict[int, set[str]] = {}
        self.asked: dict[int, bool] = {}
        self.content: dict[int, Any] = {}
        self.applied: dict[int, int] = {}

    def teardown(self) -> None:
        self.database.dispose()
        self.folder.cleanup()

    def _by_hand(self, instructions: list[dict[str, Any]]) -> None:
        change = parse_change({"instructions": instructions})
        with self.database.write() as session:
            apply_change(
                session,
                self.project,
                "production",
                change,
                actor=PEOPLE[0],
                now=self.now,
                exempt=True,
            )

    def _numbers(self) -> list[int]:
        return sorted(self.writers)

    def _pick(self, data: Any) -> int:
        number: int = data.draw(st.sampled_from(self._numbers()))
        return number

    @rule(by=WRITERS, share=SHARES, minutes=st.none() | MINUTES, asks=st.booleans())
    def submit(self, by: Writing, share: float, minutes: int | None, *, asks: bool) -> None:
        document: dict[str, Any] = {"instructions": to(share), "mode": "request"}
        if minutes is not None:
            document["at"] = (self.now + dt.timedelta(minutes=minutes)).isoformat()
            document["mode"] = "request" if asks else "schedule"
        try:
            with self.database.write() as session:
                made = change_requests.submit(
                    session,
                    self.project,
                    "production",
                    parse_change(document),
                    by=by,
                    now=self.now,
                )
        except FlagstoneError:
            return
        assert made.id is not None
        self.writers[made.id] = by.names()
        self.approved[made.id] = set()
        self.asked[made.id] = document["mode"] == "request"
        self.content[made.id] = to(share)

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), by=WRITERS, share=st.none() | SHARES)
    def edit(self, data: Any, by: Writing, share: float | None) -> None:
        number = self._pick(data)
        edits = {} if share is None else {"instructions": to(share)}
        try:
            with self.database.write() as session:
                change_requests.edit(session, self.project, number, edits, by=by, now=self.now)
        except FlagstoneError:
            return
        self.writers[number] |= by.names()
        self.approved[number] = set()
        if share is not None:
            self.content[number] = to(share)

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), by=WRITERS, other=st.booleans())
    def approve(self, data: Any, by: Writing, *, other: bool) -> None:
        number = self._pick(data)
        with self.database.read() as session:
            content = get(session, self.project, self._pick(data) if other else number).content_hash
        try:
            with self.database.write() as session:
                change_requests.approve(session, self.project, number, content, by=by, now=self.now)
                assert content == get(session, self.project, number).content_hash
        except FlagstoneError:
            return
        assert not by.names() & self.writers[number]
        self.approved[number].add(by.person() or "")

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def apply(self, data: Any) -> None:
        number = self._pick(data)
        try:
            with self.database.write() as session:
                change_requests.apply(session, self.project, number, actor=PEOPLE[1], now=self.now)
        except FlagstoneError:
            return
        self._note_applied()

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), by=WRITERS, how=st.sampled_from(["decline", "withdraw"]))
    def end(self, data: Any, by: Writing, how: str) -> None:
        number = self._pick(data)
        who: dict[str, Any] = {"by": by} if how == "withdraw" else {"actor": by.actor}
        try:
            with self.database.write() as session:
                getattr(change_requests, how)(
                    session, self.project, number, now=self.now, comment="no", **who
                )
        except FlagstoneError:
            return

    @rule(needed=st.sampled_from([0, 1, 2]))
    def protect(self, needed: int) -> None:
        with self.database.write() as session:
            approvals.protect(
                session,
                self.project,
                "production",
                needed=needed,
                actor=PEOPLE[0],
                now=self.now,
            )
        self.needed = needed

    @rule(share=SHARES)
    def somebody_moves_the_flag(self, share: float) -> None:
        self._by_hand(to(share))

    @rule(minutes=MINUTES)
    def time_passes(self, minutes: int) -> None:
        self.now += dt.timedelta(minutes=minutes)

    @rule(again=st.booleans())
    def the_worker_works(self, *, again: bool) -> None:
        with self.database.read() as session:
            waiting = schedules.due(session, self.now)
        for each in waiting * (2 if again else 1):
            try:
                with self.database.write() as session:
                    schedules.perform(session, each, now=self.now)
            except FlagstoneError as error:
                with self.database.write() as session:
                    schedules.give_up(session, each, error, now=self.now)
        self._note_applied()

    def _note_applied(self) -> None:
        """Whatever is applied now and was not before had every approval that it needs."""
        for row in self._rows():
            assert row.id is not None
            if row.state != "applied" or row.id in self.applied:
                continue
            needs = max(self.needed, int(self.asked[row.id]))
            assert len(self.approved[row.id] - self.writers[row.id]) >= needs
            assert row.instructions == self.content[row.id]
            assert row.at is None or row.at <= self.now
            self.applied[row.id] = 1

    def _rows(self) -> list[ChangeRequest]:
        with self.database.read() as session:
            return [copy.copy(row) for row in session.exec(select(ChangeRequest))]

    @invariant()
    def nothing_is_applied_twice_or_unseen(self) -> None:
        with self.database.read() as session:
            told = [
                entry.resource
                for entry in session.exec(
                    select(AuditEntry).where(AuditEntry.action == "apply_change")
                )
            ]
        assert sorted(told) == sorted(f"change:{number}" for number in self.applied)


TestRequests = Requests.TestCase
TestRequests.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
