"""From the values that targeting gives, case by case, to variants and to the rules of a flag."""

from __future__ import annotations

import ast
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flagstone.importers.conditions import NOBODY, negated
from flagstone.importers.flagd.comparisons import END_OF_TIME, Comparer, CutError, Remark
from flagstone.importers.flagd.fractional import KEY_IS_NO_TEXT, Fractional
from flagstone.importers.flagd.logic import Logic, Root
from flagstone.importers.flagd.terms import (
    Attribute,
    Cases,
    Condition,
    Const,
    Failure,
    Opaque,
    Text,
    Value,
    both,
    either,
    follows,
    in_turn,
    tested,
)
from flagstone.importers.result import CannotCarryError

_MOST_STRETCHES: Final = 32
_TRUTHS: Final = frozenset({"true", "false"})
_UTC: Final = dt.timezone.utc  # noqa: UP017  dt.UTC is younger than Python 3.10


class AlwaysFailsError(Exception):
    """Targeting fails whatever the context and the time: flagd answers ``PARSE_ERROR``."""


@dataclass(frozen=True, slots=True)
class Served:
    """A variant; ``None`` is the caller's default.

    ``by_default`` says that it is the default variant, because targeting has none.
    """

    variant: str | None
    by_default: bool = False


@dataclass(frozen=True, slots=True)
class Default:
    """The default variant, because targeting has none."""


Outcome = Served | Default
Outcomes = list[tuple[Condition, Outcome]]
_Written = tuple[Condition, Any, bool]
"""When, what is served, and whether only because it is the default variant."""
NOTHING: Final = Served(None)
DEFAULT: Final = Default()


@dataclass(frozen=True, slots=True)
class Stretch:
    """What targeting gives from the first second until just before the last."""

    first: int
    last: int
    outcomes: Outcomes


def outcomes_over_time(
    logic: Any, flag_key: str, hash_version: str, variants: Mapping[str, Any], remark: Remark
) -> list[Stretch]:
    """Evaluate targeting, apart for every stretch of time that a comparison tells apart.

    Raises
    ------
    AlwaysFailsError
        If it never comes to an end.
    CannotCarryError
        If it cannot be carried exactly.
    """
    stretches: list[Stretch] = []
    reasons: list[str] = []
    ever_ends = False
    open_ones = [(0, END_OF_TIME)]
    while open_ones:
        first, last = open_ones.pop()
        if len(stretches) + len(open_ones) > _MOST_STRETCHES:
            raise CannotCarryError("compares with the clock at too many times")
        try:
            comparer = Comparer(first, last, remark)
            cases = _cases(logic, flag_key, hash_version, comparer)
            failures = [value.reason for _, value in cases if isinstance(value, Failure)]
            reasons += failures
            ever_ends = ever_ends or len(failures) < len(cases) or not cases
            found = _outcomes(cases, comparer, variants)
        except CutError as cut:
            open_ones += [(cut.second, last), (first, cut.second)]
            continue
        if stretches and stretches[-1].outcomes == found:
            stretches[-1] = Stretch(stretches[-1].first, last, found)
        else:
            stretches.append(Stretch(first, last, found))
    if not ever_ends:
        raise AlwaysFailsError(f"targeting always fails: {next(filter(None, reasons), '')}")
    return stretches


def _cases(logic: Any, flag_key: str, hash_version: str, comparer: Comparer) -> Cases:
    fractional = Fractional(flag_key, hash_version, key_is_no_text=False)
    cases = Logic(flag_key, fractional, comparer).cases(logic, Root())
    if not fractional.depends:
        return cases
    fractional = Fractional(flag_key, hash_version, key_is_no_text=True)
    others = Logic(flag_key, fractional, comparer).cases(logic, Root())
    alike = 0
    while alike < min(len(cases), len(others)) and repr(cases[alike]) == repr(others[alike]):
        alike += 1
    apart = [(both(negated(KEY_IS_NO_TEXT), when), value) for when, value in cases[alike:]]
    return in_turn([*cases[:alike], *apart, *others[alike:]])


def _outcomes(cases: Cases, comparer: Comparer, variants: Mapping[str, Any]) -> Outcomes:
    found: Outcomes = []
    for when, value in cases:
        for condition, outcome in _named(value, comparer, variants):
            found.append((both(when, condition), outcome))
    kept: Outcomes = []
    for when, outcome in found:
        if when == NOBODY or any(follows(when, earlier) for earlier, _ in kept):
            continue
        if kept and kept[-1][1] == outcome and "bucket" not in repr((when, kept[-1][0])):
            when = either(kept.pop()[0], when)
        kept.append((when, outcome))
        if when is True:
            break
    return kept


def _named(value: Value, comparer: Comparer, variants: Mapping[str, Any]) -> Outcomes:
    """Return which variants a value names."""
    match value:
        case Const(None):
            return [(True, DEFAULT)]
        case Const(bool(constant)):
            return [(True, _variant(str(constant).lower(), variants, comparer.remark))]
        case Const(constant):
            return [(True, _variant(str(constant), variants, comparer.remark))]
        case Failure(reason):
            if reason:
                comparer.remark(f"where targeting fails the caller's default is served: {reason}")
            return [(True, NOTHING)]
        case Attribute(path):
            _refuse_names(variants, dict, list, int, float)
            known: Outcomes = []
            for name in variants:
                values: list[Any] = [name, name == "true"] if name in _TRUTHS else [name]
                known.append((tested(path, "in", values), Served(name)))
            return [*known, (True, NOTHING)]
        case Text():
            spelled = [(comparer.equal(value, Const(name)), Served(name)) for name in variants]
            return [*spelled, (True, NOTHING)]
        case Opaque():
            _refuse_names(variants, dict, list)
        case _:
            _refuse_names(variants, list, int, float)
    return [(True, NOTHING)]


def _variant(name: str, variants: Mapping[str, Any], remark: Remark) -> Outcome:
    if name in variants:
        return Served(name)
    remark(f"targeting names the variant {name[:100]!r}, which is not there: the caller's default")
    return NOTHING


def _refuse_names(variants: Mapping[str, Any], *kinds: type) -> None:
    """Refuse variants that are called as Python spells a number or a list."""
    for name in variants:
        try:
            meant = ast.literal_eval(name)
        except (ValueError, SyntaxError, MemoryError):
            continue
        if isinstance(meant, kinds) and not isinstance(meant, bool):
            raise CannotCarryError(f"a value of the context may name the variant {name!r}")


def rules_of(
    stretches: Sequence[Stretch], default: str | None, variants: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], str | None]:
    """Write rules, and which variant is served where none applies.

    Where the caller's default has to be served beside a default variant, the latter gets rules.
    """
    outcomes = [outcome for stretch in stretches for _, outcome in stretch.outcomes]
    instead: Outcome = DEFAULT
    if default is not None and NOTHING in outcomes:
        default, instead = None, Served(default, by_default=True)
    elif default is None:
        instead = NOTHING
    rules: list[dict[str, Any]] = []
    for stretch in stretches:
        resolved = [
            (when, instead if outcome == DEFAULT else outcome) for when, outcome in stretch.outcomes
        ]
        window = _window(stretch)
        for when, serve, by_default in _written(resolved, default):
            name = f"{'default' if by_default else 'targeting'}-{len(rules) + 1}"
            rules.append({"id": name, **window, "when": when, "serve": serve})
    return rules or idle_rules(variants), default


def idle_rules(variants: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a rule that never applies: what is served then has flagd's reason, DEFAULT."""
    return [{"id": "default-1", "when": NOBODY, "serve": next(iter(variants))}]


def _window(stretch: Stretch) -> dict[str, str]:
    window = {}
    if stretch.first > 0:
        window["start"] = _time(stretch.first)
    if stretch.last < END_OF_TIME:
        window["end"] = _time(stretch.last)
    return window


def _time(seconds: int) -> str:
    moment = dt.datetime(1970, 1, 1, tzinfo=_UTC) + dt.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _written(outcomes: Outcomes, default: str | None) -> list[_Written]:
    """Write what is served; what falls through keeps the later rules from applying."""
    ends = len(outcomes)
    while ends and _falls_through(outcomes[ends - 1][1], default):
        ends -= 1
    written: list[_Written] = []
    passed: Condition = True
    for when, outcome in outcomes[:ends]:
        if isinstance(outcome, Default):
            outcome = Served(default, by_default=True)
        condition = both(passed, when)
        if outcome.variant is None:
            passed = both(passed, negated(when))
        elif condition != NOBODY:
            written.append((condition, outcome.variant, outcome.by_default))
        if when is True:
            break
    return _split(written)


def _falls_through(outcome: Outcome, default: str | None) -> bool:
    return outcome == DEFAULT or (outcome == NOTHING and default is None)


def _split(written: list[_Written]) -> list[_Written]:
    """Make one rule of neighbours that differ in the bucket only."""
    joined: list[_Written] = []
    for when, variant, by_default in written:
        prefix, inside = _divided(when)
        if inside is None:
            joined.append((when, variant, by_default))
            continue
        units = {name: inside[name] for name in ("by", "hash", "salt", "of")}
        share = {"variant": variant, "ranges": inside["ranges"]}
        if joined and isinstance(joined[-1][1], dict) and joined[-1][0] == prefix:
            split = joined[-1][1]["split"]
            if {name: split[name] for name in units} == units:
                _add(split["to"], share)
                continue
        joined.append((prefix, {"split": {**units, "missing": "skip", "to": [share]}}, False))
    return joined


def _add(shares: list[dict[str, Any]], share: dict[str, Any]) -> None:
    for known in shares:
        if known["variant"] == share["variant"]:
            known["ranges"] = [*known["ranges"], *share["ranges"]]
            return
    shares.append(share)


def _divided(when: Condition) -> tuple[Condition, Mapping[str, Any] | None]:
    """Divide a condition into the bucket it ends with and what stands before."""
    if when is True:
        return when, None
    if set(when) == {"bucket"}:
        return True, when["bucket"]
    if set(when) == {"all"} and set(when["all"][-1]) == {"bucket"}:
        return both(*when["all"][:-1]), when["all"][-1]["bucket"]
    return when, None
