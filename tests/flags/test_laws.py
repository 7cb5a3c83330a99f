"""Laws that hold after any sequence of instructions, whatever was refused on the way."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flags import audit
from flags.changes import apply_change, parse_change, preview_change
from flags.errors import FlagstoneError
from flags.publish import build_document, canonical_bytes
from flags.revisions import list_revisions, load_bytes
from flags.services import create_flag, create_project, get_environment, get_project
from flagstone.engine import evaluate, parse_flag_set

FLAGS = ["a", "b"]
VARIANTS = st.sampled_from(["on", "off", "third"])
RULES = st.sampled_from(["r1", "r2"])
KEYS = st.lists(st.sampled_from(["u1", "u2", "u3"]), min_size=1, max_size=3)
COVERAGE = st.sampled_from([0.0, 0.1, 0.25, 0.333, 1.0])
WEIGHTS = st.dictionaries(VARIANTS, st.integers(0, 3), min_size=1)
CONDITIONS = st.recursive(
    st.just(True)
    | st.sampled_from(["eu", "vip"]).map(lambda key: {"segment": key})
    | st.sampled_from(FLAGS).map(lambda key: {"flag": key, "on": True})
    | st.just({"attr": "n", "op": "gt", "values": [1, 2.5]}),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2).map(lambda all_: {"all": all_})
        | inner.map(lambda one: {"not": one})
    ),
    max_leaves=3,
)
SERVE = VARIANTS | st.builds(
    lambda weights, coverage: {"split": {"weights": weights, "coverage": coverage}},
    WEIGHTS,
    COVERAGE,
)


def doing(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"do": st.just(name), "flag": st.sampled_from(FLAGS), **fields})


def segment(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(["eu", "vip"])
    return st.fixed_dictionaries({"do": st.just(name), "segment": keys, **fields})


INSTRUCTIONS = st.one_of(
    doing("turn_on"),
    doing("turn_off"),
    doing("kill"),
    doing("unkill"),
    doing("archive"),
    doing("restore"),
    doing("set_off_variant", variant=st.none() | VARIANTS),
    doing("set_default", variant=st.none() | VARIANTS),
    doing(
        "add_rule", rule=st.fixed_dictionaries({"id": RULES, "when": CONDITIONS, "serve": SERVE})
    ),
    doing("update_rule", rule=st.fixed_dictionaries({"id": RULES, "serve": SERVE})),
    doing("remove_rule", rule=RULES),
    doing("reorder_rules", rules=st.permutations(["r1", "r2"])),
    doing("set_coverage", rule=RULES, value=COVERAGE),
    doing("set_weights", rule=RULES, weights=WEIGHTS),
    doing("add_targets", variant=VARIANTS, keys=KEYS),
    doing("remove_targets", keys=KEYS),
    doing("add_variant", variant=VARIANTS, value=st.booleans()),
    doing("update_variant", variant=VARIANTS, value=st.booleans()),
    doing("remove_variant", variant=VARIANTS),
    doing("update_flag", owner=st.sampled_from(["", "growth"]), client=st.booleans()),
    doing(
        "set_prerequisites",
        prerequisites=st.lists(
            st.fixed_dictionaries(
                {"flag": st.sampled_from(FLAGS), "variants": st.lists(VARIANTS, min_size=1)}
            ),
            max_size=1,
        ),
    ),
    segment("add_segment", condition=CONDITIONS),
    segment("update_segment", condition=CONDITIONS),
    segment("remove_segment"),
    doing("revert_to", revision=st.integers(1, 12)),
    st.fixed_dictionaries({"do": st.just("revert_to"), "revision": st.integers(1, 12)}),
)
CHANGES = st.tuples(
    st.sampled_from(["production", "staging"]), st.lists(INSTRUCTIONS, min_size=1, max_size=3)
)
EXAMPLES = itertools.count()
ENVIRONMENTS = ("production", "staging")


class Reference:
    """What the environments were after every change that was accepted."""

    def __init__(self, shop: Any) -> None:
        self.database, self.now, self.actor = shop.database, shop.now, shop.actor
        self.project = f"{shop.project}-{next(EXAMPLES)}"
        self.states: dict[tuple[str, int], bytes] = {}
        with self.database.write() as session:
            create_project(session, key=self.project, actor=self.actor, now=self.now)
            for key in FLAGS:
                create_flag(session, self.project, {"key": key}, actor=self.actor, now=self.now)
        self.note(range(1, len(FLAGS) + 1))

    def built(self) -> dict[str, bytes]:
        with self.database.read() as session:
            return {
                key: canonical_bytes(
                    build_document(session, get_environment(session, self.project, key))
                )
                for key in ENVIRONMENTS
            }

    def note(self, skipped: Any = ()) -> None:
        for key, data in self.built().items():
            self.states[key, parse_flag_set(data).version] = data
            for number in skipped:
                self.states.setdefault((key, number), b"")

    def step(self, environment: str, instructions: list[dict[str, Any]]) -> None:
        change = parse_change({"instructions": instructions})
        before = self.built()
        with self.database.read() as session:
            try:
                preview = preview_change(session, self.project, environment, change)
            except FlagstoneError:
                preview = None
        try:
            with self.database.write() as session:
                result = apply_change(
                    session, self.project, environment, change, actor=self.actor, now=self.now
                )
        except FlagstoneError:
            assert preview is None
            assert self.built() == before
            return
        assert preview is not None
        assert preview.after == result.after
        assert preview.sentence == result.sentence
        after = self.built()
        for key in ENVIRONMENTS:
            old, new = parse_flag_set(before[key]), parse_flag_set(after[key])
            assert new.version - old.version == (1 if key in result.published else 0)
            assert (after[key] == before[key]) == (key not in result.published)
            for flag in set(old.flags) & set(new.flags):
                step = new.flags[flag].version - old.flags[flag].version
                seen = replace(new.flags[flag], version=old.flags[flag].version)
                assert step == (seen != old.flags[flag])
        self.note()

    def check(self) -> None:
        with self.database.read() as session:
            for key in ENVIRONMENTS:
                environment = get_environment(session, self.project, key)
                numbers = [
                    revision.number
                    for revision in list_revisions(session, environment.id, limit=1000)
                ]
                assert numbers == list(range(environment.revision, 0, -1))
                for number in numbers:
                    data = load_bytes(session, environment.id, number)
                    flags = parse_flag_set(data)
                    assert data == (self.states[key, number] or data)
                    for flag in FLAGS:
                        details = evaluate(flags, flag, {"targetingKey": "u1", "n": 2}, 0)
                        assert details.error_code in {None, "FLAG_NOT_FOUND"}
            project = get_project(session, self.project)
            entries = audit.entries(session, project.id, limit=None)
            assert audit.verify_chain(entries) is None
            audited = {(entry.environment_id, entry.revision) for entry in entries}
            for key in ENVIRONMENTS:
                environment = get_environment(session, self.project, key)
                for number in range(1, environment.revision + 1):
                    assert (environment.id, number) in audited


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(CHANGES, min_size=4, max_size=10))
def test_any_sequence_of_changes_keeps_revisions_rows_and_audit_in_agreement(
    shop: Any, changes: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    reference = Reference(shop)
    for environment, instructions in changes:
        reference.step(environment, instructions)
    reference.check()
