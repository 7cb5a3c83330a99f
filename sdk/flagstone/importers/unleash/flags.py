"""Features become flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flagstone.engine.times import format_time
from flagstone.importers.conditions import NOBODY, all_of
from flagstone.importers.naming import numbered
from flagstone.importers.result import CannotCarryError
from flagstone.importers.unleash.constraints import (
    AlwaysOffError,
    Case,
    asks_the_clock,
    cases_of,
    condition_of,
)
from flagstone.importers.unleash.reading import Constraint, Dependency, Feature, Strategy, Variant
from flagstone.importers.unleash.strategies import (
    hashes_with_its_feature,
    is_drawn,
    strategy_condition,
)
from flagstone.importers.unleash.variants import palette_of, rules_of

DRAW: Final = "each evaluation's draw is to be in the attribute '$random'"
Segments = Mapping[int, "tuple[Constraint, ...] | CannotCarryError"]


@dataclass(slots=True)
class Carried:
    """A feature's flag, what was lost, and what its children need to know.

    ``may_be_drawn`` says that chance decides for a context that lacks what is hashed.
    """

    feature: Feature
    document: dict[str, Any]
    plain: str
    segments: dict[str, Any] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)
    may_be_drawn: bool = False


def flag_of(
    feature: Feature,
    segments: Segments,
    features: Mapping[str, Feature | None],
    parents: Mapping[str, Carried],
) -> Carried:
    """Turn a feature into a flag.

    ``features`` are all of the file (``None`` for one that cannot be read), and ``parents`` those
    that were carried and have no parents themselves.

    Raises
    ------
    CannotCarryError
        If it cannot be carried exactly.
    """
    strategies = feature.strategies or (Strategy("everyone", {}, (), (), ()),)
    has_plain = not feature.variants and any(not part.variants for part in strategies)
    variants = [*feature.variants, *(one for part in strategies for one in part.variants)]
    palette = palette_of(variants, has_plain=has_plain)
    document: dict[str, Any] = {
        "key": feature.name,
        "type": palette.kind,
        "variants": palette.variants,
        "enabled": feature.enabled,
        "off": palette.off,
        "default": palette.off,
    }
    if feature.metadata:
        document["metadata"] = dict(feature.metadata)
    carried = Carried(feature, document, palette.plain)
    try:
        required = _prerequisites(feature, features, parents)
        rules = list(_rules(feature, segments, carried))
    except AlwaysOffError as error:
        carried.losses.append(f"is always off, as it is in Unleash: {error}")
        return carried
    prerequisites, asked = required
    if prerequisites:
        document["prerequisites"] = prerequisites
    document["rules"] = _written(rules, asked, track=feature.records_impressions)
    if not document["rules"]:
        del document["rules"]
    if is_drawn(document):
        carried.may_be_drawn = not _asks_for_chance(feature)
        carried.losses.extend([] if carried.may_be_drawn else [f"chance decides: {DRAW}"])
    return carried


def _asks_for_chance(feature: Feature) -> bool:
    stickiness = [variant.stickiness for variant in feature.variants]
    stickiness += [part.parameters.get("stickiness") for part in feature.strategies]
    names = [part.name for part in feature.strategies]
    return "random" in stickiness or "gradualRolloutRandom" in names


def _rules(
    feature: Feature, segments: Segments, carried: Carried
) -> Iterator[tuple[str, Case, Any]]:
    ways: dict[str, tuple[Strategy, list[Case]]] = {}
    for strategy in feature.strategies:
        name = numbered(strategy.name, ways.__contains__, "-{}")
        ways[name] = strategy, _cases(strategy, feature.name, segments, carried)
    if not feature.strategies:
        ways["everyone"] = Strategy("everyone", {}, (), (), ()), [Case(True)]
    for name, (strategy, cases) in ways.items():
        for number, case in enumerate(cases):
            # With constraints on the clock there are two: by the clock, and by the context.
            rule = name if number == 0 else f"{name}:given-time"
            yield from _served(rule, case, strategy, feature, carried)


def _served(
    rule: str, case: Case, strategy: Strategy, feature: Feature, carried: Carried
) -> Iterator[tuple[str, Case, Any]]:
    own: tuple[Variant, ...] = strategy.variants
    if own:
        group = strategy.parameters.get("groupId", feature.name)
        yield from rules_of(rule, case, own, strategy.parameters.get("stickiness"), group)
    elif feature.variants:
        stickiness = feature.variants[0].stickiness
        yield from rules_of(rule, case, feature.variants, stickiness, feature.name)
    else:
        yield rule, case, carried.plain


def _cases(strategy: Strategy, feature: str, segments: Segments, carried: Carried) -> list[Case]:
    entered = strategy_condition(strategy, feature)
    constraints, references = list(strategy.constraints), []
    for number in strategy.segments:
        segment = segments.get(number)
        if segment is None:
            raise AlwaysOffError(f"there is no segment {number}")
        if isinstance(segment, CannotCarryError):
            raise CannotCarryError(f"its segment {number} {segment}")
        if asks_the_clock(segment):
            constraints.extend(segment)
        else:
            carried.segments[str(number)] = all_of(map(condition_of, segment))
            references.append({"segment": str(number)})
    return cases_of(constraints, [*references, entered])


def _prerequisites(
    feature: Feature, features: Mapping[str, Feature | None], parents: Mapping[str, Carried]
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return prerequisites, and conditions for what these cannot say."""
    prerequisites: list[dict[str, Any]] = []
    asked: list[Any] = []
    for dependency in feature.dependencies:
        if dependency.feature not in features:
            raise AlwaysOffError(f"its parent {dependency.feature!r} is not there")
        above = features[dependency.feature]
        if above is not None and above.dependencies:
            raise AlwaysOffError(f"its parent {dependency.feature!r} has a parent of its own")
        parent = parents.get(dependency.feature)
        if parent is None:
            raise CannotCarryError(f"its parent {dependency.feature!r} was not imported")
        if any(map(hashes_with_its_feature, parent.feature.strategies)):
            raise CannotCarryError(
                f"its parent {dependency.feature!r} has a rollout without groupId, which Unleash"
                " hashes with the name of the child"
            )
        if dependency.enabled:
            prerequisites.append(_wanted(dependency, parent))
        else:
            asked.append(_unwanted(dependency, parent))
    return prerequisites, asked


def _wanted(dependency: Dependency, parent: Carried) -> dict[str, Any]:
    serving = [name for name, part in parent.document["variants"].items() if part.get("on", True)]
    if dependency.variants:
        # A parent without a variant fulfils whatever is asked of its variant.
        wanted = {*dependency.variants, parent.plain}
        serving = [name for name in serving if name in wanted]
    if not serving:
        raise AlwaysOffError(f"its parent {dependency.feature!r} has no such variant")
    return {"flag": dependency.feature, "variants": serving}


def _unwanted(dependency: Dependency, parent: Carried) -> dict[str, Any]:
    feature = parent.feature
    has_variants = feature.variants or any(part.variants for part in feature.strategies)
    if dependency.variants and has_variants:
        raise CannotCarryError(
            f"asks for the variant that its parent {dependency.feature!r} would have were it on"
        )
    return {"flag": dependency.feature, "on": False}


def _written(
    rules: list[tuple[str, Case, Any]], asked: list[Any], *, track: bool
) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    seen: set[str] = set()
    for name, case, serve in rules:
        condition = all_of([case.condition, *asked])
        if condition == NOBODY:
            continue
        unique = numbered(name, seen.__contains__, "#{}")
        seen.add(unique)
        document: dict[str, Any] = {"id": unique, "when": condition, "serve": serve}
        if case.start is not None:
            document["start"] = format_time(case.start)
        if case.end is not None:
            document["end"] = format_time(case.end)
        if track:
            document["track"] = True
        documents.append(document)
    return documents
