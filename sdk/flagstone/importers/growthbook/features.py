"""One feature and its rules as a flag.

The vendor goes through the rules in order. A rule may end the whole evaluation without a value: a
prerequisite that gates, or a variation that is null. Here such an end is a guard on every rule
behind it, and the caller's default is what remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flagstone.importers import reading
from flagstone.importers.conditions import NOBODY, all_of, any_of, exists, leaf, negated
from flagstone.importers.growthbook.grammar import (
    ID,
    NOTHING,
    TARGETING_KEY,
    VALUE,
    Grammar,
    Scene,
)
from flagstone.importers.growthbook.references import Condition
from flagstone.importers.growthbook.shares import (
    Hash,
    Span,
    covered,
    hash_of,
    interval,
    number,
    span,
    spans_of,
    variation_ranges,
)
from flagstone.importers.growthbook.values import Variants, name_of
from flagstone.importers.naming import numbered
from flagstone.importers.result import CannotCarryError

NO_UNITS: Final = ("", 0)
"""Values that a hash would take, and that identify nobody to the vendor."""
NOT_CARRIED: Final[Mapping[str, str]] = {
    "contextualBanditRef": "contextual bandits are not supported",
    "contextualVariations": "contextual bandits are not supported",
    "urlPatterns": "targeting by address of a page is not supported",
    "urlRedirect": "redirects are not supported",
}


class Unit(NamedTuple):
    """An attribute that identifies the unit, and when it is the one."""

    when: Condition
    by: str


class Gate(NamedTuple):
    """A flag whose value must fulfil a condition before anything else is asked."""

    flag: str
    value: Condition


@dataclass(slots=True)
class Parents:
    """What a rule's prerequisites say: whether it applies, and whether the flag may go on."""

    passes: list[Condition] = field(default_factory=list)
    goes_on: list[Condition] = field(default_factory=list)


@dataclass(slots=True)
class Carried:
    """A flag without its prerequisites, and what the report says was left behind.

    ``may_be_sticky`` says that an experiment has stored buckets if the application stores any.
    """

    document: dict[str, Any]
    losses: list[str]
    gates: list[Gate]
    may_be_sticky: bool


class FeatureReader:
    """Turns features of one file into flags.

    Parameters
    ----------
    features : mapping
        All features of the file.
    grammar : Grammar
        What its conditions mean.
    inclusive : bool
        Whether a forced rule takes the bucket at the edge of its coverage, and the rest is as in
        the JavaScript SDK.
    """

    def __init__(self, features: Mapping[str, Any], grammar: Grammar, *, inclusive: bool) -> None:
        self.features = features
        self.grammar = grammar
        self.inclusive = inclusive
        self._rounds: dict[str, bool] = {}

    def flag(self, key: str, feature: Mapping[str, Any]) -> Carried:
        """Return the feature as a flag.

        Raises
        ------
        CannotCarryError
            If it cannot be carried exactly.
        """
        self.grammar.start()
        return _Feature(self, key, feature).read()

    def parents_of(self, key: str) -> Iterator[str]:
        """Yield the features that a feature asks first."""
        feature = self.features.get(key)
        for rule in _rules(feature) if isinstance(feature, Mapping) else []:
            for parent in reading.objects(rule, "parentConditions"):
                if isinstance(parent.get("id"), str):
                    yield parent["id"]

    def goes_round(self, key: str) -> bool:
        """Whether a feature's first question always ends in a circle: it never has a value."""
        seen: dict[str, None] = {}
        following: str | None = key
        while following is not None and following not in seen and following not in self._rounds:
            seen[following] = None
            following = self._first_parent(following)
        # The questions of all of them lead to the same end.
        ends_in_circle = following is not None and self._rounds.get(following, True)
        self._rounds.update(dict.fromkeys(seen, ends_in_circle))
        return self._rounds[key]

    def _first_parent(self, key: str) -> str | None:
        feature = self.features.get(key)
        try:
            rules = _rules(feature) if isinstance(feature, Mapping) else []
            parents = reading.objects(rules[0], "parentConditions") if rules else []
        except CannotCarryError:
            return None
        parent = parents[0].get("id") if parents else None
        return parent if isinstance(parent, str) else None


class _Feature:
    """Reads one feature, rule by rule."""

    def __init__(self, reader: FeatureReader, key: str, feature: Mapping[str, Any]) -> None:
        self.reader = reader
        self.grammar = reader.grammar
        self.inclusive = reader.inclusive
        self.key = key
        self.feature = feature
        self.variants = Variants()
        self.written: list[dict[str, Any]] = []
        self.guards: list[Condition] = []
        self.losses: dict[str, None] = {}
        self.ids: set[str] = set()
        self.gates: list[Gate] = []
        self.is_first = True
        self.may_be_sticky = False

    def read(self) -> Carried:
        rules = _rules(self.feature)
        names = [self._variation_names(rule) for rule in rules]
        for index, rule in enumerate(rules):
            self._rule(rule, index, names[index])
        value = self.feature.get("defaultValue")
        default = None
        if value is not None:
            default = self.variants.named(value, (name_of(value), "default"))
        guard = all_of(self.guards)
        if default is not None and guard is not True:
            self._write("default", guard, default)
            default = None
        self._lose(*sorted(self.grammar.comparisons.losses))
        document = {
            "key": self.key,
            "type": self.variants.type(),
            "variants": self.variants.documents(),
            "rules": self.written,
            "default": default,
        }
        return Carried(document, list(self.losses), self.gates, self.may_be_sticky)

    def _lose(self, *losses: str) -> None:
        self.losses.update(dict.fromkeys(losses))

    def _write(self, name: str, when: Condition, serve: Any, *, track: bool = False) -> None:
        if when == NOBODY:
            return
        unique = numbered(name, self.ids.__contains__, ":{}")
        self.ids.add(unique)
        rule = {"id": unique, "when": when, "serve": serve}
        self.written.append({**rule, "track": True} if track else rule)

    def _is_forced(self, rule: Mapping[str, Any]) -> bool:
        # JavaScript asks whether the field is there, Python whether it holds something.
        return "force" in rule and (self.inclusive or rule["force"] is not None)

    def _variation_names(self, rule: Mapping[str, Any]) -> list[str | None]:
        """Name the variations of an experiment first: those names are the vendor's."""
        if self._is_forced(rule) or not isinstance(rule.get("variations"), list):
            return []
        variations, meta = rule["variations"], _meta(rule)
        if len(variations) < 2:
            return []
        experiment = reading.text_or_none(rule, "key") or self.key
        names: list[str | None] = []
        for index, value in enumerate(variations):
            name = meta[index].get("key", str(index)) if index < len(meta) else str(index)
            if not isinstance(name, str):
                raise CannotCarryError("the key of a variation must be a text")
            if value is None or _passes_through(meta, index):
                names.append(None)
            else:
                names.append(self.variants.named(value, (name, f"{experiment}:{name}")))
        return names

    def _rule(self, rule: Mapping[str, Any], index: int, names: list[str | None]) -> None:
        for name, reason in NOT_CARRIED.items():
            if rule.get(name) is not None:
                raise CannotCarryError(reason)
        parents = self._parents(rule)
        body = all_of([*self.guards, *parents.passes, *self._audience(rule)])
        self.guards.extend(parents.goes_on)
        # Behind a rule that serves, a gate is not asked of everybody any more.
        self.is_first &= not self._is_forced(rule) and rule.get("variations") is None
        name = (
            reading.text_or_none(rule, "id")
            or reading.text_or_none(rule, "key")
            or f"rule-{index + 1}"
        )
        if rule.get("tracks"):
            self._lose("tracks of an experiment that was evaluated elsewhere are left behind")
        if self._is_forced(rule):
            self._force(rule, name, body)
        elif isinstance(rule.get("variations"), list):
            self._experiment(rule, name, body, names)
        elif rule.get("variations") is not None:
            raise CannotCarryError("variations must be a list")

    # Who a rule is about.

    def _audience(self, rule: Mapping[str, Any]) -> Iterator[Condition]:
        if rule.get("condition"):
            yield self.grammar.condition(rule["condition"]).true
        for part in reading.objects(rule, "filters"):
            yield self._filter(part)

    def _filter(self, part: Mapping[str, Any]) -> Condition:
        hashed = hash_of(part.get("hashVersion"), 2)
        if hashed is None or ("hashVersion" in part and part["hashVersion"] is None):
            return NOBODY
        ranges = part.get("ranges")
        if not isinstance(ranges, list):
            raise CannotCarryError("the ranges of a filter must be a list")
        spans = [span(*interval(pair, "a range"), hashed.of) for pair in ranges]
        seed = reading.text_or_none(part, "seed")
        if seed is None and self.inclusive:
            # JavaScript hashes what it makes of nothing and the unit: a text, or no number.
            raise CannotCarryError("a filter must have a seed")
        name = reading.text_or_none(part, "attribute") or ID
        return self._buckets(self._units(name), hashed, seed or "", spans)

    def _parents(self, rule: Mapping[str, Any]) -> Parents:
        parents = Parents()
        for parent in reading.objects(rule, "parentConditions"):
            key, condition = parent.get("id"), parent.get("condition")
            if key is None:
                continue
            if not isinstance(key, str):
                raise CannotCarryError("the id of a prerequisite must be a text")
            if self.reader.goes_round(key):
                passes, gates = NOBODY, True
            elif condition is None:
                continue
            else:
                passes, gates = self._passes(key, condition), bool(parent.get("gate"))
            if gates and self.is_first and not parents.passes and _asks_value(passes):
                self.gates.append(Gate(key, passes["value"]))
                continue
            if gates:
                parents.goes_on.append(any_of([*map(negated, parents.passes), passes]))
            parents.passes.append(passes)
        return parents

    def _passes(self, key: str, condition: Any) -> Condition:
        """Ask for a parent's value; where it has none, the vendor compares with null."""
        without_value = self.grammar.condition(condition, Scene(NOTHING)).true
        if key not in self.reader.features:
            return without_value
        value = self.grammar.condition(condition, Scene(VALUE)).true
        serves = NOBODY if value == NOBODY else {"flag": key, "value": value}
        if without_value is not True:
            return serves
        return any_of([serves, negated({"flag": key, "value": True})])

    # How units are hashed.

    def _units(self, name: str) -> list[Unit]:
        usable = negated(leaf(name, "in", NO_UNITS))
        if name != ID:
            return [Unit(usable, name)]
        other = negated(leaf(TARGETING_KEY, "in", NO_UNITS))
        return [Unit(usable, ID), Unit(all_of([negated(exists(ID)), other]), TARGETING_KEY)]

    def _units_with_fallback(self, rule: Mapping[str, Any], fallback: Any) -> list[Unit]:
        units = self._units(self._hash_attribute(rule))
        second = None if fallback is None else reading.a_text(fallback, "fallbackAttribute")
        if not second:
            return units
        first = [all_of([leaf(one.by, "type", ("string", "number")), one.when]) for one in units]
        without = negated(any_of(first))
        return units + [Unit(all_of([without, one.when]), one.by) for one in self._units(second)]

    def _hash_attribute(self, rule: Mapping[str, Any]) -> str:
        return reading.text_or_none(rule, "hashAttribute") or ID

    def _buckets(self, units: list[Unit], hashed: Hash, salt: str, spans: list[Span]) -> Condition:
        if not spans:
            return NOBODY
        # Nobody's range is kept where it is the only one: it can be widened later.
        full = [pair for pair in spans if pair[0] < pair[1]]
        ranges = [list(pair) for pair in full or spans[:1]]
        return any_of(
            all_of(
                [
                    unit.when,
                    {
                        "bucket": {
                            "by": unit.by,
                            "hash": hashed.name,
                            "salt": salt,
                            "of": hashed.of,
                            "ranges": ranges,
                        }
                    },
                ]
            )
            for unit in units
        )

    # What a rule serves.

    def _force(self, rule: Mapping[str, Any], name: str, body: Condition) -> None:
        when = all_of([body, self._rollout(rule)])
        value = rule["force"]
        if value is None:
            self.guards.append(negated(when))
        elif when != NOBODY:
            self._write(name, when, self.variants.named(value, (name_of(value), name)))

    def _rollout(self, rule: Mapping[str, Any]) -> Condition:
        coverage, pair = rule.get("coverage"), rule.get("range")
        if coverage is None and pair is None:
            return True
        hashed = hash_of(rule.get("hashVersion") or None, 1)
        if hashed is None:
            return NOBODY
        if pair is None:
            covers = number(coverage, "coverage")
            spans = [covered(covers, hashed.of, inclusive=self.inclusive)]
        else:
            spans = [span(*interval(pair, "range"), hashed.of)]
        # Only Python's forced rules hash the second attribute without stored buckets.
        fallback = (
            None
            if self.inclusive or rule.get("disableStickyBucketing")
            else (rule.get("fallbackAttribute"))
        )
        salt = reading.text_or_none(rule, "seed") or self.key
        return self._buckets(self._units_with_fallback(rule, fallback), hashed, salt, spans)

    def _experiment(
        self, rule: Mapping[str, Any], name: str, body: Condition, names: list[str | None]
    ) -> None:
        variations, meta = rule["variations"], _meta(rule)
        hashed = hash_of(rule.get("hashVersion") or None, 1)
        if len(variations) < 2 or hashed is None:
            return
        if not rule.get("disableStickyBucketing"):
            self._leave_sticky_buckets(rule)
        experiment = reading.text_or_none(rule, "key") or self.key
        salt = reading.text_or_none(rule, "seed") or experiment
        fractions = variation_ranges(
            len(variations),
            rule.get("ranges"),
            rule.get("weights"),
            rule.get("coverage"),
            lenient=self.inclusive,
        )
        shares: list[dict[str, Any]] = []
        without_value: list[Span] = []
        # Ranges past the variations take their buckets, and put nobody into the experiment.
        for index, spans in enumerate(spans_of(fractions, hashed.of)[: len(variations)]):
            variant = names[index]
            if variant is not None:
                shares.append({"variant": variant, "ranges": [list(pair) for pair in spans]})
            elif _passes_through(meta, index):
                self._lose("exposures of units that pass through a holdout are not recorded")
            else:
                without_value.extend(spans)
        ends = []
        for unit in self._units(self._hash_attribute(rule)):
            when = all_of([body, unit.when, *self._namespace(rule, unit)])
            split = {"by": unit.by, "hash": hashed.name, "salt": salt, "of": hashed.of}
            if shares:
                self._write(name, when, {"split": {**split, "to": shares}}, track=True)
            if without_value:
                ranges = [list(pair) for pair in without_value]
                ends.append(negated(all_of([when, {"bucket": {**split, "ranges": ranges}}])))
        self.guards.extend(ends)

    def _leave_sticky_buckets(self, rule: Mapping[str, Any]) -> None:
        # Every experiment has a first version, though few applications store buckets.
        if (
            rule.get("fallbackAttribute")
            or rule.get("minBucketVersion")
            or rule.get("bucketVersion") not in (None, 0, 1)
        ):
            self._lose("sticky buckets are left behind: units are hashed anew, by one attribute")
        elif rule.get("bucketVersion"):
            self.may_be_sticky = True

    def _namespace(self, rule: Mapping[str, Any], unit: Unit) -> Iterator[Condition]:
        namespace = rule.get("namespace")
        if not namespace or rule.get("filters"):
            return
        if not isinstance(namespace, list) or len(namespace) < 3 or not namespace[0]:
            raise CannotCarryError("a namespace must be a name and two numbers")
        hashed = Hash("growthbook-1", 1_000)
        pair = interval(namespace[1:3], "a namespace's range")
        anybody, name = Unit(True, unit.by), reading.a_text(namespace[0], "a namespace's name")
        yield self._buckets([anybody], hashed, f"__{name}", [span(*pair, hashed.of)])


def _asks_value(condition: Condition) -> bool:
    return condition is not True and set(condition) == {"flag", "value"}


def _rules(feature: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return reading.objects(feature, "rules")


def _meta(rule: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return reading.objects(rule, "meta")


def _passes_through(meta: list[Mapping[str, Any]], index: int) -> bool:
    return index < len(meta) and bool(meta[index].get("passthrough"))
