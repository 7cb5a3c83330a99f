"""What a flag's page says and offers besides its rules: the outlook, the strip, the verbs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.models import Experiment
from experiments.people.flag_work import Standing, standing_of
from flags.canonical import same
from flags.models import AuditEntry, ChangeRequest, Environment
from flags.promotion import Carrying, promoted_state
from flags.ranges import read_split
from flags.services import FlagInEnvironment, FlagView
from flags.words import percent
from flags.workspace import FlagCopy
from web.console.forms import OPERATORS

# What people widen by; each step shows what the one before could not.
LADDER = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
_MOST_PROMISED = 3


@dataclass(frozen=True, slots=True)
class Stop:
    """An environment on the strip.

    ``differs`` tells whether the flag decides otherwise there than here; ``takes_from`` is the
    environment on its left, where this person may promote the flag and it would change anything.
    """

    key: str
    word: str
    here: bool
    differs: bool
    takes_from: str | None


@dataclass(frozen=True, slots=True)
class NextStep:
    """The rule that is on its way to everybody, and the next share of it."""

    rule: str
    share: float

    @property
    def words(self) -> str:
        """Give it as a button says it."""
        return percent(self.share)


def parts_of(
    flag: FlagView,
    environments: Sequence[Environment],
    environment_key: str,
    history: Iterable[AuditEntry],
    waiting: Sequence[ChangeRequest],
    experiments: list[Experiment],
    *,
    editable_in: Collection[str],
    now: dt.datetime,
) -> dict[str, Any]:
    """Give what the templates of the page need beside the flag itself."""
    here = flag.environments[environment_key]
    standing = standing_of(experiments, now)
    stops = strip(flag, environments, environment_key, editable_in)
    place = [stop.here for stop in stops].index(True)
    after = stops[place + 1] if place + 1 < len(stops) else None
    return {
        "stops": stops,
        "takes_from": stops[place].takes_from,
        "gives_to": after.key if after is not None and after.takes_from else None,
        "outlook": outlook(here, waiting, standing, now=now),
        "standing": standing,
        "next_step": next_step(here.document["rules"]),
        "last_change": next((each for each in history if each.before and each.after), None),
    }


def strip(
    flag: FlagView,
    environments: Sequence[Environment],
    environment_key: str,
    editable_in: Collection[str],
) -> list[Stop]:
    """Give the environments in the order in which a feature travels: production last."""
    there = [each for each in environments if each.key in flag.environments]
    ordered = [flag.environments[each.key] for each in sorted(there, key=_last)]
    here = flag.environments[environment_key]
    return [
        Stop(
            key=each.environment,
            word=each.state_word,
            here=each is here,
            differs=not _decides_same(each, here),
            takes_from=_source(flag, before, each) if each.environment in editable_in else None,
        )
        for before, each in zip([None, *ordered], ordered, strict=False)
    ]


def _last(environment: Environment) -> bool:
    return environment.production


def _decides_same(one: FlagInEnvironment, other: FlagInEnvironment) -> bool:
    def plain(it: FlagInEnvironment) -> Any:
        return {name: it.document[name] for name in it.state}

    return same(plain(one), plain(other))


def _source(
    flag: FlagView, before: FlagInEnvironment | None, here: FlagInEnvironment
) -> str | None:
    if before is None:
        return None
    copied = FlagCopy(
        key=flag.key,
        type=flag.type,
        name=flag.name,
        description=flag.description,
        owner=flag.owner,
        client=flag.client,
        archived=flag.archived,
        metadata=flag.metadata,
        variants=flag.variants,
        state=here.state,
        version=here.version,
    )
    promoted = promoted_state(before.state, copied, Carrying())
    return None if same(promoted, here.state) else before.environment


def next_step(rules: Iterable[Mapping[str, Any]]) -> NextStep | None:
    """Give the next rung for the first rule that people widen by hand and that is not done."""
    for rule in rules:
        if rule.get("track") or not isinstance(rule["serve"], dict):
            continue
        known = read_split(rule["serve"]["split"])
        if known is not None and known[1] < 1:
            return NextStep(rule["id"], next(share for share in LADDER if share > known[1]))
    return None


def outlook(
    here: FlagInEnvironment,
    waiting: Sequence[ChangeRequest],
    standing: Standing,
    *,
    now: dt.datetime,
) -> str:
    """Say what comes next by itself: schedules, the steps of a ramp, what guards it."""
    said = []
    timed = sorted((each for each in waiting if each.at is not None), key=lambda each: _at(each))
    for each in timed[:_MOST_PROMISED]:
        words = ", ".join(_does(it, here) for it in each.instructions[:3])
        approved = "" if each.state == "approved" else ", once approved"
        said.append(f"{words[:1].upper()}{words[1:]} {moment(_at(each), now)}{approved}.")
    experiment, ramp = standing.experiment, standing.ramp
    if experiment is not None:
        kind = "Release" if experiment.plan["claim"] == "release" else "Experiment"
        words = f"{kind} {experiment.key} is on it"
        if ramp is not None:
            words += f": step {ramp.step} of {ramp.of}"
            if ramp.next_at is not None:
                words += f", the next {moment(ramp.next_at, now)}"
        said.append(f"{words}; harm turns it back by itself.")
    return " ".join(said)


def _at(change: ChangeRequest) -> dt.datetime:
    assert change.at is not None
    return change.at


def moment(at: dt.datetime, now: dt.datetime) -> str:
    """Write when something will be, as people say it."""
    at = at.astimezone(dt.UTC)
    days = (at.date() - now.astimezone(dt.UTC).date()).days
    day = {0: "today", 1: "tomorrow"}.get(days, f"on {at.day} {at:%B %Y},")
    return f"{day} {at:%H:%M} UTC"


def _does(instruction: Mapping[str, Any], here: FlagInEnvironment) -> str:
    do = str(instruction["do"])
    if do == "set_coverage":
        share = float(instruction["value"])
        present = next(
            (
                known[1]
                for rule in here.document["rules"]
                if rule["id"] == instruction["rule"] and isinstance(rule["serve"], dict)
                for known in [read_split(rule["serve"]["split"])]
                if known is not None
            ),
            0.0,
        )
        return f"{'widening' if share >= present else 'narrowing'} to {percent(share)}"
    return {
        "turn_on": "turning on",
        "turn_off": "turning off",
        "kill": "killing",
        "unkill": "lifting the kill",
        "archive": "archiving",
    }.get(do, do.replace("_", " "))


def editable(rule: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give a rule as its form shows it; None where a form could not say all of it."""
    serve, when = rule["serve"], rule["when"]
    if rule.get("track"):
        return None
    if isinstance(serve, str):
        variant, share = serve, 1.0
    else:
        known = read_split(serve["split"])
        if known is None or len(serve["split"]["to"]) != 1:
            return None
        variant, share = serve["split"]["to"][0]["variant"], known[1]
    shown: dict[str, Any] = {
        "variant": variant,
        "share": f"{round(share * 100, 2):g}",
        "attr": "",
        "op": "in",
        "values": "",
        "complex": False,
    }
    if when is True:
        return shown
    simple = isinstance(when, dict) and set(when) == {"attr", "op", "values"}
    if (
        simple
        and isinstance(when["attr"], str)
        and when["op"] in {name for name, _ in OPERATORS}
        and all(_plain(value, when["op"]) for value in when["values"])
    ):
        values = ", ".join(f"{value}" for value in when["values"])
        return {**shown, "attr": when["attr"], "op": when["op"], "values": values}
    return {**shown, "complex": True}


def _plain(value: Any, operator: str) -> bool:
    if operator in {"gte", "lte"}:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str) and "," not in value and "\n" not in value
