"""What an entry of the audit says can be taken back: byte for byte, or not at all."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flags import audit
from flags.actor import Actor
from flags.canonical import canonical_bytes
from flags.changes import Instruction, apply_change, parse_change, preview_change
from flags.diff import differences
from flags.errors import (
    FlagstoneError,
    InvalidInputError,
    NotFoundError,
    NotInvertibleError,
    StateError,
    UndoConflictError,
)
from flags.inversion import undo
from flags.publish import load_flags, load_segments
from flags.revisions import load_flag_set
from flags.services import create_flag, create_project, get_environment
from flags.workspace import Done, FlagCopy, Workspace
from tests.flags.test_laws import CHANGES

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ADA = Actor("user", "ada@example.org")
ENVIRONMENTS = ("production", "staging")
PROJECTS = itertools.count()

SPLIT = {"split": {"weights": {"off": 1, "on": 3}, "coverage": 0.3}}
START: list[dict[str, Any]] = [
    {"do": "add_segment", "segment": "eu", "condition": {"attr": "c", "op": "in", "values": [1]}},
    {"do": "add_segment", "segment": "spare", "condition": True, "name": "Spare"},
    {"do": "add_rule", "flag": "a", "rule": {"id": "r1", "when": {"segment": "eu"}, "serve": "on"}},
    {"do": "add_rule", "flag": "a", "rule": {"id": "r2", "serve": SPLIT, "track": True}},
    {"do": "add_rule", "flag": "a", "rule": {"id": "r3", "serve": "off"}},
    {"do": "add_variant", "flag": "a", "variant": "third", "value": True, "on": False},
    {"do": "add_targets", "flag": "a", "variant": "on", "keys": ["u1", "u2"]},
    {"do": "add_targets", "flag": "a", "variant": "off", "keys": ["u3"], "by": "team"},
    {"do": "update_flag", "flag": "a", "owner": "growth", "metadata": {"a.b": 1.0, "c": True}},
]
ONE_OF_EACH: list[dict[str, Any]] = [
    {"do": "turn_on"},
    {"do": "turn_off"},
    {"do": "kill"},
    {"do": "unkill"},
    {"do": "set_off_variant", "variant": None},
    {"do": "set_default", "variant": None},
    {"do": "add_rule", "position": 1, "rule": {"id": "new", "serve": "on"}},
    {"do": "update_rule", "rule": {"id": "r2", "serve": "on", "start": "2026-01-01T00:00:00Z"}},
    {"do": "remove_rule", "rule": "r2"},
    {"do": "reorder_rules", "rules": ["r3", "r1", "r2"]},
    {"do": "set_coverage", "rule": "r2", "value": 0.7},
    {"do": "set_weights", "rule": "r2", "weights": {"off": 1, "third": 1}},
    {"do": "add_targets", "variant": "off", "keys": ["u1", "u9"]},
    {"do": "remove_targets", "keys": ["u1", "u3"]},
    {"do": "add_variant", "variant": "fourth", "value": False},
    {"do": "update_variant", "variant": "third", "value": False, "on": True},
    {"do": "remove_variant", "variant": "third"},
    {"do": "set_prerequisites", "prerequisites": [{"flag": "b", "variants": ["on"]}]},
    {"do": "update_flag", "name": "A", "description": "x", "client": True, "metadata": {"d": 2}},
    {"do": "update_flag", "expires": "2027-01-01T00:00:00Z", "kind": "permanent"},
    {"do": "archive"},
    {"do": "restore"},
    {"do": "revert_to", "revision": 3},
    {"do": "undo"},
    {"do": "promote", "source": "staging"},
    {
        "do": "put_state",
        "enabled": True,
        "off": "off",
        "default": None,
        "targets": [{"variant": "on", "keys": ["u7"]}],
        "rules": [
            {"id": "r2", "serve": "on"},
            {"id": "r9", "when": {"segment": "eu"}, "serve": SPLIT},
        ],
    },
    {"do": "add_segment", "segment": "new", "condition": {"not": True}},
    {"do": "update_segment", "segment": "eu", "condition": {"not": {"segment": "spare"}}},
    {"do": "remove_segment", "segment": "spare"},
]
# What makes the instruction change something.
FIRST: dict[str, dict[str, Any]] = {
    "turn_off": {"do": "turn_on"},
    "unkill": {"do": "kill"},
    "restore": {"do": "archive"},
    "undo": {"do": "kill"},
}


class Place:
    """A project of its own, and all that is stored about its flags and segments."""

    def __init__(self, database: Any, name: str) -> None:
        self.database, self.project = database, f"{name}-{next(PROJECTS)}"
        with database.write() as session:
            create_project(session, key=self.project, actor=ADA, now=NOW)
            for key in ("a", "b"):
                create_flag(session, self.project, {"key": key}, actor=ADA, now=NOW)

    def change(self, *instructions: dict[str, Any], environment: str = "production") -> list[Any]:
        """Change, and give the entries that were written, newest first."""
        change = parse_change({"instructions": list(instructions)})
        newest = self.entries()[0].id
        with self.database.write() as session:
            apply_change(session, self.project, environment, change, actor=ADA, now=NOW)
        return [entry for entry in self.entries() if entry.id > newest]

    def entries(self) -> list[Any]:
        with self.database.read() as session:
            project = get_environment(session, self.project, "production").project_id
            return audit.entries(session, project, limit=None)

    def id(self, environment: str) -> int:
        with self.database.read() as session:
            return get_environment(session, self.project, environment).id or 0

    def undo(self, entries: list[Any], environment: str = "production") -> list[Any]:
        here = [entry.id for entry in entries if entry.environment_id == self.id(environment)]
        return self.change(
            *({"do": "undo", "entry": each} for each in here), environment=environment
        )

    def published(self) -> bytes:
        """Give what readers see everywhere, without the numbers that only count up."""
        with self.database.read() as session:
            sets = [
                load_flag_set(session, get_environment(session, self.project, key).id or 0)
                for key in ENVIRONMENTS
            ]
        for each in sets:
            del each["version"]
            for flag in each["flags"].values():
                del flag["version"]
        return canonical_bytes(sets)

    def stored(self) -> bytes:
        """Give all that is stored, archived flags and names too, without those numbers."""
        found: list[Any] = []
        with self.database.read() as session:
            for key in ENVIRONMENTS:
                environment = get_environment(session, self.project, key)
                flags = load_flags(session, environment).values()
                found.append([{**flag.whole(), "version": 0} for flag in flags])
                segments = load_segments(session, environment).values()
                found.append([segment.document() for segment in segments])
        return canonical_bytes(found)

    def state(self) -> tuple[bytes, bytes]:
        return self.published(), self.stored()


@pytest.fixture
def place(shared_sqlite: Any) -> Place:
    made = Place(shared_sqlite, "undo")
    made.change(*START)
    return made


def flagged(instruction: dict[str, Any]) -> dict[str, Any]:
    return instruction if "segment" in instruction else {"flag": "a", **instruction}


def test_there_is_an_example_of_every_instruction() -> None:
    models = get_args(get_args(Instruction)[0])
    names = {get_args(model.model_fields["do"].annotation)[0] for model in models}
    assert {each["do"] for each in ONE_OF_EACH} == names


@pytest.mark.parametrize("instruction", ONE_OF_EACH, ids=lambda each: each["do"])
def test_every_instruction_is_undone_byte_for_byte_and_done_again(
    place: Place, instruction: dict[str, Any]
) -> None:
    first = FIRST.get(instruction["do"])
    made = place.change(flagged(first)) if first is not None else []
    instruction = flagged(instruction)
    if instruction["do"] == "undo":
        instruction = {"do": "undo", "entry": made[0].id}
    before = place.state()
    done = place.change(instruction)
    after = place.state()
    assert after != before
    undone = place.undo(done)
    assert place.state() == before
    assert {entry.action for entry in undone} == {"undo"}
    place.undo(undone)
    assert place.state() == after


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(CHANGES, min_size=2, max_size=6))
def test_any_change_is_undone_byte_for_byte(
    shared_sqlite: Any, changes: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    place = Place(shared_sqlite, "any")
    place.change(*START)
    for environment, instructions in changes:
        before = place.state()
        try:
            done = place.change(*instructions, environment=environment)
        except FlagstoneError:
            continue
        if not done:
            continue
        after = place.state()
        undone = place.undo(done, environment)
        assert place.state() == before
        place.undo(undone, environment)
        assert place.state() == after


def test_what_is_the_same_everywhere_is_undone_from_any_environment(place: Place) -> None:
    before = place.state()
    done = place.change({"do": "update_flag", "flag": "a", "owner": "", "client": True})
    place.undo(done, "staging")
    assert place.state() == before


def test_later_changes_of_other_fields_stay(place: Place) -> None:
    done = place.change({"do": "remove_rule", "flag": "a", "rule": "r2"})
    place.change(
        {"do": "kill", "flag": "a"},
        {"do": "add_rule", "flag": "a", "position": 0, "rule": {"id": "z", "serve": "on"}},
        {"do": "add_rule", "flag": "a", "rule": {"id": "w", "serve": "on"}},
    )
    place.undo(done)
    with place.database.read() as session:
        flag = load_flag_set(session, place.id("production"))["flags"]["a"]
    assert flag["killed"] is True
    assert [rule["id"] for rule in flag["rules"]] == ["z", "r1", "r2", "r3", "w"]


@pytest.mark.parametrize(
    ("done", "later", "named"),
    [
        (
            {"do": "set_default", "variant": "off"},
            {"do": "set_default", "variant": None},
            "default",
        ),
        (
            {"do": "set_coverage", "rule": "r2", "value": 0.7},
            {"do": "set_coverage", "rule": "r2", "value": 0.8},
            "rules[r2].serve.split.to",
        ),
        (
            {"do": "add_rule", "rule": {"id": "n", "serve": "on"}},
            {"do": "remove_rule", "rule": "n"},
            "rules[n]",
        ),
        (
            {"do": "remove_rule", "rule": "r3"},
            {"do": "add_rule", "rule": {"id": "r3", "serve": "on"}},
            "rules[r3]",
        ),
        (
            {"do": "remove_rule", "rule": "r3"},
            {"do": "reorder_rules", "rules": ["r2", "r1"]},
            "rules.order",
        ),
        (
            {"do": "add_targets", "variant": "on", "keys": ["n"]},
            {"do": "remove_targets", "keys": ["u1"]},
            "targets",
        ),
        (
            {"do": "update_segment", "segment": "eu", "condition": True},
            {"do": "update_segment", "segment": "eu", "condition": {"not": True}},
            "condition",
        ),
        (
            {"do": "add_segment", "segment": "n", "condition": True},
            {"do": "update_segment", "segment": "n", "name": "N"},
            "segment n",
        ),
    ],
    ids=lambda each: each["do"] if isinstance(each, dict) else each,
)
def test_a_later_change_of_the_same_fields_is_a_conflict_that_names_them(
    place: Place, done: dict[str, Any], later: dict[str, Any], named: str
) -> None:
    place.change({"do": "set_default", "flag": "a", "variant": "third"})
    entries = place.change(flagged(done))
    place.change(flagged(later))
    before = place.state()
    with pytest.raises(UndoConflictError) as conflict:
        place.undo(entries)
    assert conflict.value.message.endswith(named)
    assert conflict.value.field == "instructions[0].entry"
    assert place.state() == before


def test_what_a_flag_was_made_as_is_archived_unless_somebody_used_it(place: Place) -> None:
    before = place.published()
    with place.database.write() as session:
        create_flag(session, place.project, {"key": "late"}, actor=ADA, now=NOW)
    made = place.entries()[:2]
    place.undo(made)
    assert place.published() == before
    place.change({"do": "restore", "flag": "late"})
    place.change({"do": "turn_on", "flag": "late"}, environment="staging")
    with pytest.raises(UndoConflictError, match="its state in staging"):
        place.undo(made)


def test_what_belongs_together_is_undone_together(shared_database: Any) -> None:
    place = Place(shared_database, "together")
    place.change(*START)
    rule = {"id": "x", "when": {"segment": "n"}, "serve": "on"}
    before = place.state()
    done = place.change(
        {"do": "add_segment", "segment": "n", "condition": True},
        {"do": "add_rule", "flag": "a", "rule": rule},
    )
    (segment,) = (entry for entry in done if entry.resource == "segment:n")
    with pytest.raises(StateError, match="would name segment 'n'"):
        place.undo([segment])
    place.undo(done)
    assert place.state() == before


def test_a_variant_that_was_served_since_stays(place: Place) -> None:
    done = place.change({"do": "add_variant", "flag": "a", "variant": "n", "value": True})
    place.change({"do": "set_default", "flag": "a", "variant": "n"}, environment="staging")
    with pytest.raises(StateError, match="a in staging would name variant 'n'"):
        place.undo(done)


def test_what_is_no_change_of_a_flag_or_a_segment_cannot_be_undone(place: Place) -> None:
    entries = place.entries()
    for entry in entries:
        if entry.resource.partition(":")[0] in {"flag", "segment"}:
            continue
        staging = entry.environment_id == place.id("staging")
        with pytest.raises(NotInvertibleError, match=entry.action):
            place.change(
                {"do": "undo", "entry": entry.id},
                environment="staging" if staging else "production",
            )
    (elsewhere, *_) = (e for e in entries if e.environment_id == place.id("staging"))
    with pytest.raises(InvalidInputError, match="not of environment"):
        place.change({"do": "undo", "entry": elsewhere.id})
    other = Place(place.database, "other")
    for unknown in (2**31 - 1, other.entries()[0].id):
        with pytest.raises(NotFoundError):
            place.change({"do": "undo", "entry": unknown})


def test_a_preview_of_an_undo_is_its_application(place: Place) -> None:
    (entry,) = place.change({"do": "kill", "flag": "a"})
    change = parse_change({"flag": "a", "instructions": [{"do": "undo", "entry": entry.id}]})
    with place.database.read() as session:
        preview = preview_change(session, place.project, "production", change)
    with place.database.write() as session:
        result = apply_change(session, place.project, "production", change, actor=ADA, now=NOW)
    assert (preview.after, preview.sentence) == (result.after, result.sentence)


def flag_copy(variants: dict[str, Any], rules: list[Any], metadata: dict[str, Any]) -> FlagCopy:
    state = {"enabled": True, "killed": False, "off": None, "default": None}
    state |= {"prerequisites": [], "targets": [], "rules": rules}
    return FlagCopy("f", "object", "", "", "", False, False, metadata, variants, state, 1)


NAMES = st.sampled_from(
    ["a", "b", "a.b", "a.value", "value", "on", "rules", "r[a]", "a].b", "order", '"', '"a".b', ""]
)
VALUES = st.recursive(
    st.integers(0, 2) | st.booleans(),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=5,
)
RULE = st.fixed_dictionaries(
    {"id": NAMES, "serve": st.sampled_from(["x", "y"])}, optional={"track": st.just(True)}
)
COPIES = st.builds(
    flag_copy,
    st.dictionaries(
        NAMES, st.fixed_dictionaries({"value": VALUES}, optional={"on": st.booleans()}), max_size=3
    ),
    st.lists(RULE, max_size=4, unique_by=lambda rule: rule["id"]),
    st.dictionaries(NAMES, st.integers(0, 2), max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(before=COPIES, after=COPIES)
def test_names_with_dots_brackets_and_quotation_marks_are_undone_exactly(
    before: FlagCopy, after: FlagCopy
) -> None:
    old, new = differences(copy.deepcopy(before.whole()), copy.deepcopy(after.whole()))
    done = Done(1, "change", "flag:f", old, new, 2)
    current = copy.deepcopy(after)
    workspace = Workspace("production", {"f": current}, {}, _unneeded, _unneeded, lambda _: done)
    undo(workspace, 1, "instructions[0]")
    assert canonical_bytes(current.whole()) == canonical_bytes(before.whole())


def test_an_entry_of_earlier_versions_takes_the_order_of_rules_from_the_revision_before() -> None:
    rules = [{"id": name, "serve": "x"} for name in "abc"]
    done = Done(1, "remove_rule", "flag:f", {"rules[b]": rules[1]}, {}, 2)
    earlier = {"flags": {"f": {"rules": rules}}}
    for found in (earlier, {"flags": {}}):
        current = flag_copy({}, [rules[0], rules[2]], {})
        workspace = Workspace(
            "production", {"f": current}, {}, lambda _, f=found: f, _unneeded, lambda _: done
        )
        if found is earlier:
            undo(workspace, 1, "instructions[0]")
            assert current.state["rules"] == rules
        else:
            with pytest.raises(NotInvertibleError, match="order"):
                undo(workspace, 1, "instructions[0]")


def _unneeded(_: Any) -> Any:
    raise AssertionError
