"""Who gets the variant of a release: buckets that only grow, each with a twin on control.

Those who have it grow from the first bucket up, those who are compared with them from the last one
down; nobody else is touched or tracked. A plain rollout that serves the variant already is taken
over with its salt: whoever has the variant keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract.plan import Plan
from experiments.contract.release import LARGEST_COMPARED
from flags.errors import StateError
from flags.ranges import BUCKETS

Ranges = list[list[int]]


@dataclass(frozen=True)
class Served:
    """Which buckets are on the variant, and which are compared with them."""

    salt: str
    having: Ranges
    twins: Ranges

    @property
    def share(self) -> float:
        """Tell which part of the audience has the variant."""
        return _size(self.having) / BUCKETS


@dataclass(frozen=True)
class Rollout:
    """A plain rollout of the variant that a release takes over."""

    rule_id: str
    salt: str
    having: Ranges

    @property
    def share(self) -> float:
        """Tell which part of the audience has the variant."""
        return _size(self.having) / BUCKETS

    def first_step(self, plan: Plan) -> int:
        """Tell at which step the release goes on: the last that asks for no more people."""
        assert plan.release is not None
        below = [i for i, step in enumerate(plan.release.steps) if step.share <= self.share]
        return max(below, default=0)


def served_by(plan: Plan, rule: Mapping[str, Any]) -> Served:
    """Read back what a release has written."""
    split = rule["serve"]["split"]
    ranges = {arm["variant"]: arm["ranges"] for arm in split["to"]}
    (variant,) = plan.treatments
    return Served(split["salt"], ranges[variant], ranges[plan.control])


def grown(served: Served, share: float) -> Served:
    """Give the variant to ``share`` of the audience, and as many twins; nobody who stays moves."""
    wanted = max(_size(served.having), round(share * BUCKETS))
    free = _without(served.having + served.twins)
    having = _joined(served.having + _taken(free, wanted - _size(served.having)))
    free = _without(having + served.twins)
    mirrored = [[BUCKETS - high, BUCKETS - low] for low, high in reversed(free)]
    more = _taken(mirrored, wanted - _size(served.twins))
    twins = served.twins + [[BUCKETS - high, BUCKETS - low] for low, high in more]
    return Served(served.salt, having, _joined(twins))


def split_of(plan: Plan, served: Served) -> list[dict[str, Any]]:
    """Give the ``to`` of the split."""
    (variant,) = plan.treatments
    return [
        {"variant": plan.control, "ranges": served.twins},
        {"variant": variant, "ranges": served.having},
    ]


def rollout_in(plan: Plan, flag: Mapping[str, Any]) -> Rollout | None:
    """Find the plain rollout of the variant that is in the flag already, if there is one.

    Raises
    ------
    StateError
        If there is one that cannot be taken over without moving somebody.
    """
    assert plan.release is not None
    (variant,) = plan.treatments
    found = [rule for rule in flag["rules"] if _serves(rule, variant)]
    if not found:
        return None
    if len(found) > 1:
        names = " and ".join(repr(rule["id"]) for rule in found)
        raise StateError(
            f"several rules serve {variant}: {names}",
            field="flag",
            hint="keep one of them; the release takes it over",
        )
    (rule,) = found
    split = rule["serve"]["split"]
    _check_form(plan, flag, rule, split, variant)
    having = _joined([r for arm in split["to"] if arm["variant"] == variant for r in arm["ranges"]])
    rollout = Rollout(rule["id"], split["salt"], having)
    largest = plan.release.steps[-1].share
    if rollout.share > LARGEST_COMPARED:
        raise StateError(
            f"{rollout.share:.4g} of the audience have {variant} already: "
            "nobody is left to compare so many with",
            field="flag",
            hint=f"narrow rule {rule['id']!r} to half of them, or less",
        )
    if rollout.share > largest:
        raise StateError(
            f"{rollout.share:.4g} of the audience have {variant} already, "
            f"and no step of the release is as large",
            field="steps",
            hint="add a step of at least that share",
        )
    return rollout


def _check_form(
    plan: Plan,
    flag: Mapping[str, Any],
    rule: Mapping[str, Any],
    split: Mapping[str, Any],
    variant: str,
) -> None:
    audience = True if plan.audience is None else plan.audience
    others = {arm["variant"] for arm in split["to"] if _size(arm["ranges"])} - {variant}
    timed = rule.get("start") is not None or rule.get("end") is not None
    name, hint = repr(rule["id"]), "change the rule first, or remove it"
    if rule["when"] != audience:
        raise StateError(
            f"rule {name} serves {variant} to another audience",
            field="audience",
            hint="write the rule's condition as the audience of the release",
        )
    if others - {plan.control}:
        raise StateError(
            f"rule {name} serves {min(others - {plan.control})} too", field="flag", hint=hint
        )
    if others and flag["rules"][-1]["id"] != rule["id"]:
        raise StateError(
            f"rule {name} keeps people on {plan.control} whom the rules behind it would reach",
            field="flag",
            hint="make it the last rule, or let it serve one variant only",
        )
    if timed:
        raise StateError(f"rule {name} serves {variant} for a time only", field="flag", hint=hint)
    known = (split.get("by"), split.get("hash"), split.get("of"), split.get("missing", "skip"))
    if known != ("targetingKey", "flagstone", BUCKETS, "skip"):
        raise StateError(
            f"rule {name} deals its buckets in another way than a release",
            field="flag",
            hint=hint,
        )


def check_default(plan: Plan, flag: Mapping[str, Any]) -> None:
    """Refuse a release whose control is not what everybody else has.

    Raises
    ------
    StateError
        With what they have.
    """
    if flag["default"] != plan.control:
        raise StateError(
            f"everybody has {flag['default']} today, not {plan.control}",
            field="control",
            hint=f"control = {flag['default']!r}",
        )


def _serves(rule: Mapping[str, Any], variant: str) -> bool:
    serve = rule["serve"]
    if not isinstance(serve, Mapping) or "split" not in serve:
        return False
    return any(a["variant"] == variant and _size(a["ranges"]) for a in serve["split"]["to"])


# --- buckets


def _size(ranges: Ranges) -> int:
    return sum(high - low for low, high in ranges)


def _joined(ranges: Ranges) -> Ranges:
    joined: Ranges = []
    for low, high in sorted(ranges):
        if low == high:
            continue
        if joined and joined[-1][1] == low:
            joined[-1][1] = high
        else:
            joined.append([low, high])
    return joined


def _without(used: Ranges) -> Ranges:
    free, at = [], 0
    for low, high in _joined(used):
        if at < low:
            free.append([at, low])
        at = high
    return free + ([[at, BUCKETS]] if at < BUCKETS else [])


def _taken(free: Ranges, count: int) -> Ranges:
    taken = []
    for low, high in free:
        part = min(count, high - low)
        if part > 0:
            taken.append([low, low + part])
            count -= part
    return taken
