"""Budgets: no sequence of calls moves more than was granted, at one time or split into many."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from flags import change_requests, schedules
from flags.actor import Actor
from flags.audit import entries
from flags.budgets import Spending, used_today
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.errors import FlagstoneError, OverBudgetError
from flags.files import read_tree
from flags.granted import Budget, principal_of, set_budget
from flags.imports import import_flag_set
from flags.instructions import PROTECTIVE
from flags.request_rows import Writing
from flags.revisions import load_flag_set
from flags.services import create_flag, create_project, get_environment
from flags.shares import EVERYBODY, Side, share_moved
from flags.trees import Wish, apply_tree, export_tree
from flagstone import evaluate
from flagstone.engine import bucket, compile_flag_set, parse_flag_set

START = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
CI = Actor("token", "ci#7")
ADA = Actor("user", "ada@example.org")
BOB = Actor("user", "bob@example.org")
PER_CHANGE, PER_DAY = Fraction("0.1"), Fraction("0.25")
BUDGET = Budget(share_per_change=0.1, share_per_day=0.25)
STRINGS = {"control": {"value": "old"}, "new": {"value": "new"}}


def rule_of(
    name: str, coverage: float, when: Any = True, salt: str | None = None
) -> dict[str, Any]:
    split = {"weights": {"new": 1}, "coverage": coverage, "salt": salt}
    return {"id": name, "when": when, "serve": {"split": split}}


def one_unit_per_bucket(salt: str, cells: int = 100) -> list[str]:
    """Give a unit in each hundredth of the buckets of a rule: shares are counted exactly."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < cells:
        unit = f"u{number}"
        found.setdefault(bucket("flagstone", salt, unit, 10_000) * cells // 10_000, unit)
        number += 1
    return [found[cell] for cell in range(cells)]


UNITS = {"a": one_unit_per_bucket("a:r"), "b": one_unit_per_bucket("b:r")}
# Flag c asks flag a: the same units tell them apart.
UNITS["c"] = UNITS["a"]


def truly_moved(before: Any, after: Any) -> Fraction:
    """Give the largest share of units, among all that look alike, that a flag really moved."""
    old, new = (compile_flag_set(parse_flag_set(each)) for each in (before, after))
    worst = 0
    for key, units in UNITS.items():
        for country in ("eu", "us"):
            contexts = [{"targetingKey": unit, "country": country} for unit in units]
            worst = max(
                worst,
                sum(
                    evaluate(old, key, each).value != evaluate(new, key, each).value
                    for each in contexts
                ),
            )
    return Fraction(worst, 100)


COVERAGES = st.sampled_from([0.0, 0.03, 0.08, 0.1, 0.2, 0.5, 1.0])
FLAGS = st.sampled_from(["a", "b"])
EU = {"attr": "country", "op": "in", "values": ["eu"]}
INSTRUCTIONS = st.one_of(
    st.builds(
        lambda f, v: {"do": "set_coverage", "flag": f, "rule": "r", "value": v}, FLAGS, COVERAGES
    ),
    st.builds(lambda f: {"do": "set_default", "flag": f, "variant": "new"}, FLAGS),
    st.builds(lambda f: {"do": "set_off_variant", "flag": f, "variant": "new"}, FLAGS),
    st.builds(lambda f: {"do": "set_weights", "flag": f, "rule": "r", "weights": {"control": 1}},
              FLAGS),
    st.builds(lambda f, d: {"do": d, "flag": f}, FLAGS,
              st.sampled_from(["kill", "unkill", "turn_on", "turn_off"])),
    st.builds(lambda f, v: {"do": "add_rule", "flag": f, "rule": rule_of("s", v, salt=f"{f}:r"),
                      "position": 0},
              FLAGS, COVERAGES),
    st.builds(lambda f: {"do": "remove_rule", "flag": f, "rule": "s"}, FLAGS),
    st.builds(lambda f: {"do": "add_targets", "flag": f, "variant": "new",
                         "keys": UNITS["a"][:3]}, FLAGS),
    st.builds(lambda v: {"do": "update_variant", "flag": "a", "variant": "new", "value": v},
              st.sampled_from(["new", "newer"])),
    st.builds(lambda c: {"do": "update_segment", "segment": "home", "condition": c},
              st.sampled_from([EU, {"not": EU}])),
    st.builds(lambda f: {"do": "archive", "flag": f}, st.just("b")),
    st.builds(lambda r: {"do": "reorder_rules", "flag": "a", "rules": r},
              st.sampled_from([["r", "s"], ["s", "r"]])),
)  # fmt: skip
CHANGES = st.lists(INSTRUCTIONS, min_size=1, max_size=2)


class Budgets(RuleBasedStateMachine):
    """A key with a budget does what it likes; beside it people move the same flags freely."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.database = Database(f"sqlite:///{Path(self.folder.name) / 'one.db'}")
        self.database.create_all()
        self.project, self.now = f"p{uuid.uuid4().hex[:8]}", START
        self.moved: list[tuple[dt.datetime, Fraction]] = []
        self.requests: list[tuple[int, bool]] = []
        self.schedules: dict[int, bool] = {}
        with self.database.write() as session:
            create_project(session, key=self.project, actor=ADA, now=START)
            for key in ("a", "b", "c"):
                draft = {"key": key, "type": "string", "variants": STRINGS}
                create_flag(session, self.project, draft, actor=ADA, now=START)
            set_budget(session, principal_of(str(CI)), BUDGET)
        asks_a = {"flag": "a", "variants": ["new"]}
        setup = [
            {"do": "add_segment", "segment": "home", "condition": EU},
            {"do": "add_rule", "flag": "a", "rule": rule_of("r", 0.0)},
            {"do": "add_rule", "flag": "b", "rule": rule_of("r", 0.05, {"segment": "home"})},
            {"do": "add_rule", "flag": "c", "rule": {"id": "q", "when": asks_a, "serve": "new"}},
            *({"do": "turn_on", "flag": key} for key in ("a", "b", "c")),
        ]
        self._do(setup, ADA)

    def teardown(self) -> None:
        self.database.dispose()
        self.folder.cleanup()

    def _environment_id(self, session: Any) -> int:
        return int(get_environment(session, self.project, "production").id or 0)

    def _flag_set(self) -> Any:
        with self.database.read() as session:
            return load_flag_set(session, self._environment_id(session))

    def _do(self, instructions: list[dict[str, Any]], actor: Actor) -> None:
        change = parse_change({"instructions": instructions})
        free = all(isinstance(each, PROTECTIVE) for each in change.instructions)

        def call() -> None:
            with self.database.write() as session:
                apply_change(session, self.project, "production", change, actor=actor, now=self.now)

        self._watch(call, counts=actor == CI and not free)

    def _watch(self, call: Callable[[], Any], *, counts: bool) -> None:
        """Do something, and hold what it truly moved against the budget."""
        before = self._flag_set()
        try:
            call()
        except FlagstoneError:
            assert self._flag_set() == before
            return
        if not counts:
            return
        moved = truly_moved(before, self._flag_set())
        assert moved <= PER_CHANGE
        self.moved.append((self.now, moved))
        day = [share for at, share in self.moved if at > self.now - dt.timedelta(days=1)]
        assert sum(day) <= PER_DAY

    @rule(instructions=CHANGES)
    def the_key_changes_something(self, instructions: list[dict[str, Any]]) -> None:
        self._do(instructions, CI)

    @rule(flag=FLAGS, step=st.sampled_from([0.01, 0.02, 0.05]), times=st.integers(2, 8))
    def the_key_widens_in_small_steps(self, flag: str, step: float, times: int) -> None:
        for number in range(1, times + 1):
            value = round(step * number, 2)
            self._do([{"do": "set_coverage", "flag": flag, "rule": "r", "value": value}], CI)

    @rule(instructions=CHANGES)
    def somebody_else_changes_something(self, instructions: list[dict[str, Any]]) -> None:
        self._do(instructions, ADA)

    @rule(data=st.data())
    def the_key_takes_something_back(self, data: Any) -> None:
        with self.database.read() as session:
            here = get_environment(session, self.project, "production")
            found = entries(session, here.project_id, environment_id=here.id, limit=6)
            numbers = [each.id for each in found]
        entry = data.draw(st.sampled_from(numbers))
        self._do([{"do": "undo", "entry": entry}], CI)

    @rule(back=st.integers(1, 6))
    def the_key_goes_back_to_a_revision(self, back: int) -> None:
        with self.database.read() as session:
            newest = get_environment(session, self.project, "production").revision
        self._do([{"do": "revert_to", "revision": max(1, newest - back)}], CI)

    @rule(instructions=CHANGES, by_key=st.booleans())
    def somebody_asks_or_schedules(self, instructions: Any, *, by_key: bool) -> None:
        self._ask_and_schedule(instructions, by_key=by_key)

    def _ask_and_schedule(self, instructions: Any, *, by_key: bool) -> None:
        by = Writing(CI) if by_key else Writing(ADA)
        document = {
            "instructions": instructions,
            "mode": "schedule",
            "at": (self.now + dt.timedelta(minutes=5)).isoformat(),
        }
        for asks in (False, True):
            if asks:
                document |= {"mode": "request"}
                document.pop("at")
            try:
                with self.database.write() as session:
                    made = change_requests.submit(
                        session, self.project, "production", parse_change(document),
                        by=by, now=self.now,
                    )  # fmt: skip
                    assert made.id is not None
                    if asks:
                        change_requests.approve(session, self.project, made.id, made.content_hash,
                                                by=Writing(BOB), now=self.now)  # fmt: skip
                        self.requests.append((made.id, by_key))
                    else:
                        self.schedules[made.id] = by_key
            except FlagstoneError:
                continue

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), applied_by_key=st.booleans())
    def somebody_applies_what_was_approved(self, data: Any, *, applied_by_key: bool) -> None:
        number, by_key = data.draw(st.sampled_from(self.requests))
        actor = CI if applied_by_key else BOB

        def call() -> None:
            with self.database.write() as session:
                change_requests.apply(session, self.project, number, actor=actor, now=self.now)

        with self.database.read() as session:
            row = session.get_one(change_requests.ChangeRequest, number)
            kinds = {each["do"] for each in row.instructions}
        free = kinds <= {"kill", "turn_off"}
        self._watch(call, counts=(by_key or applied_by_key) and not free)

    @rule()
    def the_worker_carries_out_what_is_due(self) -> None:
        self.now += dt.timedelta(minutes=5)
        with self.database.read() as session:
            waiting = schedules.due(session, self.now)
        for each in waiting:
            with self.database.read() as session:
                row = session.get_one(change_requests.ChangeRequest, each.request_id)
                kinds = {one["do"] for one in row.instructions}

            def call(each: Any = each) -> None:
                with self.database.write() as session:
                    schedules.perform(session, each, now=self.now)

            counts = self.schedules[each.request_id] and not kinds <= {"kill", "turn_off"}
            self._watch(call, counts=counts)

    @rule(share=st.sampled_from([300, 5000, 10_000]))
    def the_key_imports(self, share: int) -> None:
        document = self._flag_set()
        for flag in document["flags"].values():
            for each in flag["rules"]:
                if isinstance(each["serve"], dict):
                    each["serve"]["split"]["to"] = [{"variant": "new", "ranges": [[0, share]]}]

        def call() -> None:
            with self.database.write() as session:
                import_flag_set(session, self.project, "production", document, actor=CI,
                                now=self.now, preview=False)  # fmt: skip

        self._watch(call, counts=True)

    @rule(instructions=CHANGES)
    def somebody_else_changes_staging(self, instructions: list[dict[str, Any]]) -> None:
        change = parse_change({"instructions": instructions})
        before = self._flag_set()
        try:
            with self.database.write() as session:
                apply_change(session, self.project, "staging", change, actor=ADA, now=self.now)
        except FlagstoneError:
            assert self._flag_set() == before

    @rule(
        what=st.sampled_from([{"flag": "a"}, {"flag": "b"}, {"segment": "home"}, {}]),
        named=st.booleans(),
        differing=st.booleans(),
        later=st.booleans(),
    )
    def the_key_promotes(
        self, what: dict[str, str], *, named: bool, differing: bool, later: bool
    ) -> None:
        """One flag, one segment, or the whole environment; at once or at a time."""
        more = {"targets": named, "segments": differing}
        step = {"do": "promote", "source": "staging", **more, **what}
        if later:
            self._ask_and_schedule([step], by_key=True)
        else:
            self._do([step], CI)

    @rule(
        share=st.sampled_from([0.02, 0.08, 0.5]),
        flag=FLAGS,
        fresh=st.booleans(),
        prune=st.booleans(),
    )
    def the_key_applies_files(self, share: float, flag: str, *, fresh: bool, prune: bool) -> None:
        """Files that were exported, edited and sent back; perhaps a flag more, perhaps one less."""
        with self.database.read() as session:
            tree = export_tree(session, self.project)
        document = tree["flags"].get(flag)
        for each in document["environments"]["production"].get("rules", []) if document else ():
            if isinstance(each["serve"], dict) and "coverage" in each["serve"]["split"]:
                each["serve"]["split"]["coverage"] = share
        if fresh and document:
            key = f"d{len(tree['flags'])}"
            tree["flags"][key] = {**document, "key": key}
        if prune:
            tree["flags"].pop(flag, None)

        def call() -> None:
            with self.database.write() as session:
                apply_tree(
                    session,
                    self.project,
                    read_tree(tree["flags"], tree["segments"]),
                    Wish(prune=prune, only=["production"]),
                    actor=CI,
                    now=self.now,
                    preview=False,
                    allowed=lambda _environment, _change: False,
                )

        self._watch(call, counts=True)

    @rule(hours=st.sampled_from([1, 11, 23, 24]))
    def time_passes(self, hours: int) -> None:
        self.now += dt.timedelta(hours=hours)


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(
    max_examples=10,
    stateful_step_count=15,
    deadline=None,
    # Shrinking a machine that writes files takes minutes; what it did is printed anyhow.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


# -- at one time -------------------------------------------------------------------------------


def number_of(shop: Any) -> int:
    """Give a key's number of its own: the database is shared, and so are budgets by number."""
    return 500_000_000 + int(shop.id())


@pytest.fixture
def many(shop: Any) -> Any:
    """Give a shop with eight flags that are on, each with a rule for nobody yet."""
    for number in range(8):
        key = f"f{number}"
        shop.create({"key": key, "type": "string", "variants": STRINGS})
        add = {"do": "add_rule", "flag": key, "rule": rule_of("r", 0.0)}
        shop.change({"do": "turn_on", "flag": key}, add, flag=None)
    with shop.database.write() as session:
        set_budget(
            session, f"token:{number_of(shop)}", Budget(share_per_change=0.05, share_per_day=0.12)
        )
    return shop


def test_no_two_calls_at_one_time_exceed_a_day(many: Any) -> None:
    ci = Actor("token", f"ci#{number_of(many)}")
    done: list[str] = []
    refused: list[str] = []
    gate = threading.Barrier(8)

    def widen(key: str) -> None:
        change = parse_change(
            {"instructions": [{"do": "set_coverage", "flag": key, "rule": "r", "value": 0.05}]}
        )
        gate.wait()
        try:
            with many.database.write() as session:
                apply_change(session, many.project, "production", change, actor=ci, now=many.now)
            done.append(key)
        except OverBudgetError as error:
            refused.append(error.message)

    threads = [threading.Thread(target=widen, args=(f"f{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), len(refused)) == (2, 6)
    assert all("2 % is left" in message for message in refused)
    with many.database.read() as session:
        environment = get_environment(session, many.project, "production")
        assert used_today(session, principal_of(str(ci)), environment, many.now) == 100_000


# -- the bound ---------------------------------------------------------------------------------

ROLLOUT = {
    "key": "a",
    "client": False,
    "enabled": True,
    "killed": False,
    "off": "control",
    "default": "control",
    "variants": STRINGS,
    "prerequisites": [],
    "targets": [],
    "rules": [
        {
            "id": "r",
            "when": True,
            "serve": {
                "split": {"by": "targetingKey", "hash": "flagstone", "salt": "a:r", "of": 10_000,
                          "missing": "skip", "to": [{"variant": "new", "ranges": [[0, 1000]]}]}
            },
        }
    ],
}  # fmt: skip


def with_ranges(*ranges: list[int], **more: Any) -> dict[str, Any]:
    split = {**ROLLOUT["rules"][0]["serve"]["split"], **more}  # type: ignore[index]
    split["to"] = [{"variant": "new", "ranges": list(ranges)}]
    return {**ROLLOUT, "rules": [{**ROLLOUT["rules"][0], "serve": {"split": split}}]}  # type: ignore[index]


BOUNDS: dict[str, tuple[Any, Any, str]] = {
    "the same": (ROLLOUT, dict(ROLLOUT), "0"),
    "wider": (ROLLOUT, with_ranges([0, 2500]), "0.15"),
    "narrower": (ROLLOUT, with_ranges([0, 400]), "0.06"),
    "shifted counts who leaves and who comes": (ROLLOUT, with_ranges([1000, 2000]), "0.2"),
    "another salt moves both": (ROLLOUT, with_ranges([0, 1000], salt="x"), "0.2"),
    "another default": (ROLLOUT, {**ROLLOUT, "default": "new"}, "1"),
    "what a kill serves": (ROLLOUT, {**ROLLOUT, "off": "new"}, "1"),
    "what a kill serves, while killed": (
        {**ROLLOUT, "killed": True}, {**ROLLOUT, "killed": True, "off": "new"}, "1"),
    "rules of a killed flag": (
        {**ROLLOUT, "killed": True}, {**with_ranges([0, 9000]), "killed": True}, "0"),
    "and then its end": ({**with_ranges([0, 900]), "killed": True}, with_ranges([0, 900]), "0.09"),
    "turned on with another default": (
        {**ROLLOUT, "enabled": False, "default": "new"}, {**ROLLOUT, "default": "new"}, "1"),
    "named units": (
        ROLLOUT, {**ROLLOUT, "targets": [{"variant": "new", "by": "k", "keys": ["a"]}]}, "1"),
    "another condition": (
        ROLLOUT, {**ROLLOUT, "rules": [{**ROLLOUT["rules"][0], "when": EU}]}, "0.2"),  # type: ignore[index]
    "a rule is taken away": (ROLLOUT, {**ROLLOUT, "rules": []}, "0.1"),
    "a rule for whom it matches": (
        ROLLOUT,
        {**ROLLOUT, "rules": [*ROLLOUT["rules"], {"id": "s", "when": EU, "serve": "new"}]},  # type: ignore[misc]
        "1"),
    "a rule within buckets": (
        ROLLOUT,
        {**ROLLOUT, "rules": [*ROLLOUT["rules"], {"id": "s", "serve": "new", "when": {"all": [  # type: ignore[misc]
            EU, {"bucket": {"by": "k", "hash": "flagstone", "salt": "l", "of": 1000,
                            "ranges": [[0, 30]]}}]}}]},
        "0.03"),
    "another value": (
        ROLLOUT, {**ROLLOUT, "variants": {**STRINGS, "new": {"value": "newer"}}}, "0.1"),
    "who has no unit": (with_ranges([0, 10]), with_ranges([0, 10], missing="new"), "1"),
    "apps see it from now on": (ROLLOUT, {**ROLLOUT, "client": True}, "1"),
    "made": (None, {**ROLLOUT, "enabled": False}, "1"),
    "made, and answers nothing": (None, {**ROLLOUT, "enabled": False, "off": None}, "0"),
    "archived": (ROLLOUT, None, "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDS)
def test_the_share_is_bounded_by_the_buckets(name: str) -> None:
    before, after, expected = BOUNDS[name]
    assert share_moved(Side({"a": before}, {}), Side({"a": after}, {})) == Fraction(expected)


def test_who_asks_a_flag_or_segment_that_changes_moves_too() -> None:
    asks = {**ROLLOUT, "key": "b", "rules": [{"id": "q", "when": {"flag": "a", "variants": ["new"]},
                                             "serve": "new"}]}  # fmt: skip
    before = Side({"a": ROLLOUT, "b": asks}, {})
    after = Side({"a": with_ranges([0, 1200]), "b": asks}, {})
    assert share_moved(before, after) == Fraction("0.04")
    named = {**ROLLOUT, "rules": [{**ROLLOUT["rules"][0], "when": {"segment": "outer"}}]}  # type: ignore[index]
    segments = {"outer": {"not": {"segment": "home"}}, "home": EU}
    moved = share_moved(
        Side({"a": named}, segments), Side({"a": named}, {**segments, "home": {"not": EU}})
    )
    assert moved == Fraction("0.2")
    circle = {**ROLLOUT, "prerequisites": [{"flag": "a", "variants": ["new"]}]}
    changed = {**circle, "rules": with_ranges([0, 1])["rules"]}
    assert share_moved(Side({"a": circle}, {}), Side({"a": changed}, {})) == EVERYBODY


# -- the other limits --------------------------------------------------------------------------


def limited(shop: Any, **budget: Any) -> Actor:
    number = number_of(shop)
    with shop.database.write() as session:
        set_budget(session, f"token:{number}", Budget(**budget))
    return Actor("token", f"ci#{number}")


def refused(shop: Any, *instructions: dict[str, Any], **options: Any) -> OverBudgetError:
    with pytest.raises(OverBudgetError) as caught:
        shop.change(*instructions, **options)
    assert caught.value.code == "over_budget"
    return caught.value


def test_a_key_that_may_only_kill_does_nothing_else(shop: Any) -> None:
    shop.change({"do": "turn_on"})
    shop.actor = limited(shop, kill_only=True)
    assert "kill" in refused(shop, {"do": "set_default", "variant": "new"}).message
    refused(shop, {"do": "kill"}, {"do": "set_off_variant", "variant": "new"})
    shop.change({"do": "kill"})
    refused(shop, {"do": "unkill"})
    shop.change({"do": "turn_off"})


def test_a_key_that_may_only_widen_neither_narrows_nor_moves_others(shop: Any) -> None:
    shop.change({"do": "turn_on"}, {"do": "add_rule", "rule": rule_of("r", 0.2)})
    shop.actor = limited(shop, widen_only=True)
    shop.change({"do": "set_coverage", "rule": "r", "value": 0.6})
    refused(shop, {"do": "set_coverage", "rule": "r", "value": 0.5})
    refused(shop, {"do": "update_variant", "variant": "new", "value": "newer"})
    error = refused(shop, {"do": "set_off_variant", "variant": "new"})
    assert "a kill would serve something else" in error.message
    shop.change({"do": "kill"})


def test_a_preview_is_asked_for_and_of_the_present_revision(shop: Any) -> None:
    actor = limited(shop, require_preview=True)
    shop.actor, step = actor, {"do": "turn_on"}
    assert refused(shop, step).field == "preview_token"
    seen = shop.number()
    shop.actor = ADA
    shop.change({"do": "set_default", "variant": "new"})
    shop.actor = actor
    assert "moved" in refused(shop, step, spending=Spending({str(actor)}, previewed=seen)).message
    assert shop.change(step, spending=Spending({str(actor)}, previewed=shop.number())).changed


def test_a_day_is_the_last_24_hours_and_each_environment_counts_by_itself(shop: Any) -> None:
    for environment in ("production", "staging"):
        add = {"do": "add_rule", "rule": rule_of("r", 0.0)}
        shop.change({"do": "turn_on"}, add, environment=environment)
    shop.actor = limited(shop, share_per_day=0.1)
    widen = {"do": "set_coverage", "rule": "r", "value": 0.1}
    shop.change(widen)
    shop.change(widen, environment="staging")
    back = {"do": "set_coverage", "rule": "r", "value": 0.0}
    error = refused(shop, back)
    assert "0 % is left" in error.message
    shop.now += dt.timedelta(hours=24) - dt.timedelta(seconds=1)
    refused(shop, back)
    shop.now += dt.timedelta(seconds=1)
    shop.change(back)


def test_the_most_specific_budget_holds(shop: Any) -> None:
    shop.change({"do": "turn_on"}, {"do": "add_rule", "rule": rule_of("r", 0.0)})
    with shop.database.write() as session:
        place = {"project_id": shop.project_id}
        set_budget(session, str(BOB), Budget(kill_only=True), **place)
        set_budget(session, str(BOB), None, environment_id=shop.id(), **place)
    shop.actor = BOB
    shop.change({"do": "set_coverage", "rule": "r", "value": 1.0})
    refused(shop, {"do": "turn_on"}, environment="staging")
    # What a flag is everywhere is paid for everywhere.
    refused(shop, {"do": "update_variant", "variant": "new", "value": "x"})
    with shop.database.write() as session:
        set_budget(session, str(BOB), None, **place)
        set_budget(session, str(BOB), None, environment_id=shop.id(), **place)


def test_who_wrote_a_change_pays_for_it_whoever_approves_and_applies_it(shop: Any) -> None:
    shop.change({"do": "turn_on"}, {"do": "add_rule", "rule": rule_of("r", 0.0)})
    key = limited(shop, share_per_change=0.2, share_per_day=0.25)

    def ask(share: float) -> int:
        widen = {"do": "set_coverage", "flag": "checkout", "rule": "r", "value": share}
        change = parse_change({"instructions": [widen], "mode": "request"})
        with shop.database.write() as session:
            made = change_requests.submit(
                session, shop.project, "production", change, by=Writing(key), now=shop.now
            )
            change_requests.approve(
                session, shop.project, made.id, made.content_hash, by=Writing(BOB), now=shop.now
            )
            return int(made.id or 0)

    def apply(number: int) -> None:
        with shop.database.write() as session:
            change_requests.apply(session, shop.project, number, actor=BOB, now=shop.now)

    with pytest.raises(OverBudgetError):
        ask(0.3)
    apply(ask(0.2))
    with pytest.raises(OverBudgetError) as caught:
        apply(ask(0.1))
    assert "5 % is left" in caught.value.message
    apply(ask(0.16))


def test_a_flag_that_would_answer_at_once_is_not_made_over_budget(shop: Any) -> None:
    shop.actor = limited(shop, share_per_change=0.5)
    with pytest.raises(OverBudgetError):
        shop.create({"key": "fresh"})
    shop.create({"key": "silent", "type": "string", "variants": STRINGS, "off": None})


def test_a_promotion_is_paid_for_whether_of_a_flag_of_a_segment_or_of_everything(
    shop: Any,
) -> None:
    for environment, share in (("production", 0.05), ("staging", 0.08)):
        segment = {"do": "add_segment", "segment": "home", "condition": EU}
        add = {"do": "add_rule", "rule": rule_of("r", share, {"segment": "home"})}
        shop.change(segment, {"do": "turn_on"}, add, environment=environment)
    shop.change(
        {"do": "update_segment", "segment": "home", "condition": {"not": EU}},
        environment="staging",
    )
    shop.actor = limited(shop, share_per_change=0.1, share_per_day=0.1)
    one = {"do": "promote", "source": "staging", "flag": "checkout"}
    everything = {"do": "promote", "source": "staging", "segments": True}
    refused(shop, everything, flag=None)
    shop.change(one)
    error = refused(shop, {"do": "set_coverage", "rule": "r", "value": 0.0})
    assert "7 % is left" in error.message
    refused(shop, {"do": "promote", "source": "staging", "segment": "home"}, flag=None)


def test_files_are_paid_for_and_leave_nothing_behind_when_they_are_refused(shop: Any) -> None:
    shop.change({"do": "turn_on"}, {"do": "add_rule", "rule": rule_of("r", 0.0)})
    actor = limited(shop, share_per_change=0.1, share_per_day=0.1)

    def send(share: float, **more: Any) -> None:
        with shop.database.read() as session:
            tree = export_tree(session, shop.project)
        document = tree["flags"]["checkout"]
        (first,) = document["environments"]["production"]["rules"]
        first["serve"]["split"]["coverage"] = share
        files = read_tree({**tree["flags"], **more}, tree["segments"])
        with shop.database.write() as session:
            apply_tree(
                session,
                shop.project,
                files,
                Wish(),
                actor=actor,
                now=shop.now,
                preview=False,
                allowed=lambda _environment, _change: False,
            )

    before = shop.number()
    variants = {"on": {"value": True}, "off": {"value": False}}
    loud = {"key": "loud", "type": "boolean", "variants": variants,
            "environments": {"production": {"enabled": True, "default": "on"}}}  # fmt: skip
    for share, more in ((0.2, {}), (0.05, {"loud": loud})):
        with pytest.raises(OverBudgetError):
            send(share, **more)
    assert shop.number() == before
    send(0.08)
    with pytest.raises(OverBudgetError) as caught:
        send(0.04)
    assert "2 % is left" in caught.value.message
