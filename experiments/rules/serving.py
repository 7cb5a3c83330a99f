"""What an experiment writes into its flag: the rules of every stage, and whether they still stand.

The experiment's rule comes last, so that rules that were there keep their say, and only it is
tracked. An arm that is dropped keeps its buckets, but a second rule without tracking gives them
control: were they in the tracked split, control would suddenly be over-represented, and a
sample-ratio alarm would be the machine's own doing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from experiments.contract.lanes import BY, HASH, Lane, lane_of_rule, overlap
from experiments.contract.plan import Plan
from experiments.contract.shipping import HELD_BACK
from experiments.rules import release_rules
from experiments.rules.release_rules import Rollout, Served
from flags.errors import StateError
from flags.ranges import BUCKETS, ranges_for

Rule = dict[str, Any]
Ranges = list[list[int]]


def salt_of(plan: Plan, experiment_id: int) -> str:
    """Give the experiment's salt: no two experiments put a unit into related buckets."""
    return f"exp-{experiment_id}:{plan.key}"


def dropped_rule_id(plan: Plan) -> str:
    """Give the id of the rule that serves control to the users of dropped arms."""
    return f"{plan.rule_id}-dropped"


def ship_rule_id(plan: Plan) -> str:
    """Give the id of the rule that serves a shipping winner.

    Another one than the experiment's: what was met before the decision must not mix in. No
    experiment's key has a colon, so that no other rule can have this name.
    """
    return f"{plan.rule_id}:ship"


def waiting_rule_id(plan: Plan) -> str:
    """Give the id of the rule that serves control to those whom a winner has not reached yet."""
    return f"{plan.rule_id}:waiting"


def held_rule_id(plan: Plan) -> str:
    """Give the id of the rule that serves control to those held out of everything."""
    return f"{plan.rule_id}:held"


def own_ids(plan: Plan) -> list[str]:
    """Give the ids that rules of the experiment can have."""
    return [
        plan.rule_id,
        dropped_rule_id(plan),
        ship_rule_id(plan),
        waiting_rule_id(plan),
        held_rule_id(plan),
    ]


def experiment_rules(
    plan: Plan, salt: str, coverage: float, dropped: Collection[str]
) -> list[Rule]:
    """Give the rules of a running experiment, in order.

    Widening appends buckets and dropping takes an arm's away: nobody who stays moves.
    """
    layout = ranges_for(plan.weight_of, coverage)
    staying = [arm for arm in layout if arm["variant"] not in dropped]
    rules = [_tracked(plan, plan.rule_id, salt, staying)]
    gone = [pair for arm in layout if arm["variant"] in dropped for pair in arm["ranges"]]
    if gone:
        rules.append(_on_control(plan, dropped_rule_id(plan), salt, gone))
    return rules


def release_rules_at(plan: Plan, served: Served) -> list[Rule]:
    """Give the rule of a release: those who get the variant and their twins are tracked."""
    return [_tracked(plan, plan.rule_id, served.salt, release_rules.split_of(plan, served))]


def control_rules(plan: Plan) -> list[Rule]:
    """Give control to everybody in the audience; nothing is tracked any more."""
    return [{"id": plan.rule_id, "when": _audience(plan), "serve": plan.control}]


def shipping_rules(
    plan: Plan,
    salt: str,
    winner: str,
    share: float,
    *,
    coverage: float,
    others_on_control: bool,
) -> list[Rule]:
    """Give the winner to a share of the audience, from those who have it on.

    The units held back are buckets of control's slot, so that none of them ever met the change:
    at most 5 %, and fewer where control had fewer. Who belongs to neither is on control until the
    winner's share reaches them, by a rule without tracking.

    Parameters
    ----------
    share : float
        Share of the audience that gets the winner, at most all but those held back.
    coverage : float
        The experiment's own, when it ended.
    others_on_control : bool
        Whether those whom the experiment did not cover met control too: the flag's default is it.
    """
    split, rest = shipping_split(
        plan, winner, share, coverage=coverage, others_on_control=others_on_control
    )
    rules = [_tracked(plan, ship_rule_id(plan), salt, split)]
    if rest:
        rules.append(_on_control(plan, waiting_rule_id(plan), salt, rest))
    return rules


def shipping_split(
    plan: Plan, winner: str, share: float, *, coverage: float, others_on_control: bool
) -> tuple[list[dict[str, Any]], Ranges]:
    """Give the split of a shipping winner, and the buckets that belong to neither side yet."""
    slots = {arm["variant"]: arm["ranges"][0] for arm in ranges_for(plan.weight_of, 1.0)}
    covered = {arm["variant"]: arm["ranges"][0] for arm in ranges_for(plan.weight_of, coverage)}
    start, end = (slots if others_on_control else covered)[plan.control]
    held = min(round(HELD_BACK * BUCKETS), end - start)
    # First those who have it, last those who are on control: the fewest are moved.
    queue = [covered[winner], [covered[winner][1], slots[winner][1]]]
    queue += [slots[arm] for arm in plan.treatments if arm != winner]
    queue.append([start + held, slots[plan.control][1]])
    having = covered[winner][1] - covered[winner][0]
    wanted = max(having, min(round(share * BUCKETS), BUCKETS - held))
    if share >= 1 - HELD_BACK:
        wanted = BUCKETS - held
    served: Ranges = []
    rest: Ranges = []
    for low, high in queue:
        taken = min(wanted, high - low)
        wanted -= taken
        served += [[low, low + taken]] if taken else []
        rest += [[low + taken, high]] if taken < high - low else []
    split = [
        {"variant": plan.control, "ranges": [[start, start + held]]},
        {"variant": winner, "ranges": _joined(served)},
    ]
    return split, _joined(rest)


def everybody_rules(plan: Plan, winner: str) -> list[Rule]:
    """Give the winner to everybody in the audience; nothing is tracked any more."""
    return [{"id": ship_rule_id(plan), "when": _audience(plan), "serve": winner}]


def _joined(ranges: Ranges) -> Ranges:
    joined: Ranges = []
    for low, high in sorted(ranges):
        if joined and joined[-1][1] == low:
            joined[-1][1] = high
        else:
            joined.append([low, high])
    return joined


def _tracked(plan: Plan, rule_id: str, salt: str, to: list[dict[str, Any]]) -> Rule:
    split = {"by": BY, "hash": HASH, "salt": salt, "of": BUCKETS, "missing": "skip", "to": to}
    return {"id": rule_id, "when": _audience(plan), "serve": {"split": split}, "track": True}


def _on_control(plan: Plan, rule_id: str, salt: str, ranges: Ranges) -> Rule:
    bucket = {"by": BY, "hash": HASH, "salt": salt, "of": BUCKETS, "ranges": ranges}
    when = {"all": [_audience(plan), {"bucket": bucket}]}
    return {"id": rule_id, "when": when, "serve": plan.control}


def _audience(plan: Plan) -> Any:
    return True if plan.audience is None else plan.audience


def own_rules(plan: Plan, flag: Mapping[str, Any]) -> dict[str, Rule]:
    """Give the flag's rules that belong to the experiment, by id."""
    own = own_ids(plan)
    return {rule["id"]: rule for rule in flag.get("rules", []) if rule["id"] in own}


def instructions_to(
    plan: Plan, flag: Mapping[str, Any], rules: list[Rule], instead_of: str | None = None
) -> list[dict[str, Any]]:
    """Give the instructions that turn the flag's experiment rules into ``rules``.

    Parameters
    ----------
    instead_of : str, optional
        Id of somebody else's rule whose place they take.
    """
    present = own_rules(plan, flag)
    order = [rule["id"] for rule in flag.get("rules", [])]
    # In the place of its own rules; the first time behind everybody else's.
    last = len(order) if instead_of is None else order.index(instead_of)
    after = max((order.index(rule_id) + 1 for rule_id in present), default=last)
    instructions: list[dict[str, Any]] = []
    for rule in rules:
        if rule["id"] not in present:
            instructions.append(
                {"do": "add_rule", "flag": plan.flag, "rule": rule, "position": after}
            )
            after += 1
        elif rule != present[rule["id"]]:
            edit = {
                "id": rule["id"],
                "when": rule["when"],
                "serve": rule["serve"],
                "track": rule.get("track", False),
            }
            instructions.append({"do": "update_rule", "flag": plan.flag, "rule": edit})
    wanted = {rule["id"] for rule in rules}
    instructions += [
        {"do": "remove_rule", "flag": plan.flag, "rule": rule_id}
        for rule_id in [*present, *([] if instead_of is None else [instead_of])]
        if rule_id not in wanted
    ]
    return instructions


def edited_by_hand(
    plan: Plan, flag: Mapping[str, Any] | None, written: Mapping[str, Rule]
) -> str | None:
    """Say how the flag differs from what the experiment wrote, or ``None``."""
    if flag is None:
        return f"flag {plan.flag} was archived"
    if flag["killed"]:
        return f"flag {plan.flag} was killed"
    if not flag["enabled"]:
        return f"flag {plan.flag} was turned off"
    if own_rules(plan, flag) != dict(written):
        return f"rule {plan.rule_id} of flag {plan.flag} was edited by hand"
    return None


def check_flag(
    plan: Plan, flag: Mapping[str, Any] | None, lane: Lane | None = None
) -> Rollout | None:
    """Refuse to start on a flag that could not carry the experiment.

    Parameters
    ----------
    lane : Lane, optional
        The buckets of its layer that it will have: others of that layer may share the flag.

    Returns
    -------
    Rollout or None
        The plain rollout that a release takes over.

    Raises
    ------
    StateError
        With what to do about it.
    """
    if flag is None:
        raise StateError(
            f"there is no flag {plan.flag!r} in {plan.environment}",
            field="flag",
            hint="create it first, with every arm as a variant",
        )
    missing = [arm for arm in plan.arms if arm not in flag["variants"]]
    if missing:
        raise StateError(
            f"flag {plan.flag!r} has no variant {missing[0]!r}",
            field="treatments" if missing[0] != plan.control else "control",
            hint=f"its variants are {', '.join(flag['variants'])}",
        )
    if flag["killed"] or not flag["enabled"]:
        word = "killed" if flag["killed"] else "off"
        raise StateError(
            f"flag {plan.flag!r} is {word} in {plan.environment}",
            field="flag",
            hint=f"{'unkill' if flag['killed'] else 'turn_on'} the flag first",
        )
    rollout = None
    if plan.release is not None:
        release_rules.check_default(plan, flag)
        rollout = release_rules.rollout_in(plan, flag)
    for rule in flag["rules"]:
        if rollout is not None and rule["id"] == rollout.rule_id:
            continue
        if rule["id"] in own_ids(plan):
            raise StateError(
                f"flag {plan.flag!r} already has a rule {rule['id']!r}",
                field="key",
                hint="remove it, or give the experiment another key",
            )
        if rule["when"] is True and isinstance(rule["serve"], str) and not _scheduled(rule):
            raise StateError(
                f"rule {rule['id']!r} of flag {plan.flag!r} serves everybody before the experiment",
                field="flag",
                hint="remove it: the experiment's rule comes last",
            )
        if rule.get("track") and not _is_apart(rule, lane):
            raise StateError(
                f"flag {plan.flag!r} already carries a tracked rule, {rule['id']!r}",
                field="flag",
                hint="one experiment at a time, unless both are in one layer: end that one, and "
                "remove its rule",
            )
    return rollout


def _is_apart(rule: Mapping[str, Any], lane: Lane | None) -> bool:
    """Tell whether a rule can never meet the lane's units."""
    if lane is None:
        return False
    theirs = lane_of_rule(rule, lane.salt)
    return theirs is not None and not overlap(theirs, lane.ranges)


def _scheduled(rule: Mapping[str, Any]) -> bool:
    return rule.get("start") is not None or rule.get("end") is not None
