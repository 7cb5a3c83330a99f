"""Verdicts against brute force: every context of a small domain is asked."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import Flag, compile_flag_set, evaluate, parse_flag_set
from flagstone.engine.attributes import same
from flagstone.engine.compare import Served
from flagstone.engine.prove import Claim, FlagClassification, classify
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.engine.prove.random_flags import World, a_flag_set, edited, moments

CLAIMS = ("no_op", "only_widens", "only_narrows")


class Judge:
    """The definitions once more, written another way: who denies which claim."""

    def __init__(self, before: Flag | None, after: Flag | None) -> None:
        self.flags = [flag for flag in (before, after) if flag is not None and not flag.fault]

    def rests(self, served: Served) -> bool:
        if served.variant is None or not served.on:
            return True
        if not self.flags or all(flag.type == "boolean" for flag in self.flags):
            return False
        return all(
            any(
                name is not None and same(flag.variants[name].value, served.value)
                for name in (flag.off, flag.default)
            )
            for flag in self.flags
        )

    def denied(self, one: Served, other: Served) -> set[str]:
        if one.is_same(other):
            return set()
        widens = self.rests(one) and not self.rests(other)
        narrows = self.rests(other) and not self.rests(one)
        denied = {"no_op"}
        return (
            denied
            | ({"only_widens"} - ({"only_widens"} if widens else set()))
            | ({"only_narrows"} - ({"only_narrows"} if narrows else set()))
        )


def check(seed: int) -> FlagClassification:
    rng = random.Random(seed)
    world = World(rng)
    before = a_flag_set(rng, world)
    after = edited(rng, world, before)
    found = classify(before, after)["flag"]
    sides = [compile_flag_set(parse_flag_set(document)) for document in (before, after)]
    judge = Judge(*(side.flag_set.flags.get("flag") for side in sides))
    times = sorted({*moments(before), *moments(after)})
    old, new = sides
    pairs: dict[tuple[str | None, str | None], tuple[Served, Served]] = {}
    for context in world.contexts(repr((before, after))):
        for now in times:
            one, other = old.evaluate("flag", context, now), new.evaluate("flag", context, now)
            if (one.variant, other.variant) not in pairs:
                pairs[one.variant, other.variant] = Served.of(one), Served.of(other)
    denied = {name for pair in pairs.values() for name in judge.denied(*pair)}
    for name in CLAIMS:
        claim: Claim = getattr(found, name)
        assert claim.holds is not None, (seed, name, claim.reason)
        if name in denied:
            assert claim.holds is False, (seed, name)
        if not claim.holds:
            witness = claim.witness
            assert witness is not None
            one, other = (
                Served.of(evaluate(document, "flag", witness.context, witness.now))
                for document in (before, after)
            )
            assert (one, other) == (witness.before, witness.after)
            assert name in judge.denied(one, other), (seed, name)
    return found


@fuzzed(150)
@given(st.integers(0, 2**48))
def test_verdicts_agree_with_brute_force(seed: int) -> None:
    check(seed)
