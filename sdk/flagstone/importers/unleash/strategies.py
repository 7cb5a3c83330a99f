"""Strategies: who comes in by which, before constraints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from flagstone.importers.conditions import NOBODY, all_of, any_of, negated
from flagstone.importers.result import CannotCarryError
from flagstone.importers.unleash.constraints import (
    RANDOM,
    AlwaysOffError,
    attribute_of,
    has_text,
    in_networks,
    is_one_of,
    unquoted,
)
from flagstone.importers.unleash.reading import Strategy

_ROLLOUTS: Final = {
    "gradualRolloutUserId": "targetingKey",
    "gradualRolloutSessionId": "sessionId",
}
_COUNT: Final = re.compile(r"\+?[0-9]+\Z")
_HUNDRED: Final = 100
# Unleash draws one of 1 to 99.
_DRAWN: Final = 99


def strategy_condition(strategy: Strategy, feature: str) -> Any:
    """Turn a strategy without its constraints into a condition.

    Raises
    ------
    AlwaysOffError
        If Unleash cannot compile it.
    CannotCarryError
        If it cannot be carried exactly.
    """
    parameters = strategy.parameters
    match strategy.name:
        case "default":
            return True
        case "userWithId":
            return _user_with_id(parameters.get("userIds"))
        case "gradualRolloutUserId" | "gradualRolloutSessionId":
            percentage, group = _percentage(strategy, "percentage"), parameters.get("groupId")
            if percentage is None or group is None:
                return NOBODY
            return _rollout([_ROLLOUTS[strategy.name]], percentage, group, draws=False)
        case "gradualRolloutRandom":
            return _random(_percentage(strategy, "percentage"), feature)
        case "flexibleRollout":
            return _flexible_rollout(strategy, feature)
        case "remoteAddress":
            return _remote_address(parameters.get("IPs"))
        case "applicationHostname":
            raise CannotCarryError(
                "the strategy 'applicationHostname' asks for the machine, not for the context"
            )
        case _:
            raise CannotCarryError(
                f"the custom strategy {strategy.name!r} is code of the application"
            )


def hashes_with_its_feature(strategy: Strategy) -> bool:
    """Whether the feature's own name goes into the hash."""
    return (
        strategy.name == "flexibleRollout"
        and "groupId" not in strategy.parameters
        and _percentage(strategy, "rollout") not in (None, 0, _HUNDRED)
    )


def stickiness_chain(stickiness: str | None) -> tuple[list[str], bool]:
    """Return the attributes to hash, in turn, and whether chance decides without any."""
    if stickiness in (None, "default"):
        return ["targetingKey", "sessionId"], True
    if stickiness == "random":
        return [], True
    if stickiness == "currentTime":
        raise CannotCarryError("the bucket depends on the current time")
    assert stickiness is not None
    return [attribute_of(stickiness)], False


def _percentage(strategy: Strategy, name: str) -> int | None:
    text = strategy.parameters.get(name, "")
    if not _COUNT.match(text) or len(text.lstrip("+0")) > 20 or int(text) >= 2**64:
        return None
    return int(text)


def _user_with_id(ids: str | None) -> Any:
    if ids is None:
        return NOBODY
    texts = [text.strip() for text in ids.split(",")]
    for text in texts:
        if text.endswith("\\"):
            raise CannotCarryError(f"Unleash itself misreads the user {text!r}")
    return is_one_of("targetingKey", texts)


def _remote_address(addresses: str | None) -> Any:
    if addresses is None:
        return NOBODY
    texts = [unquoted(text.strip(), "the address") for text in addresses.split(",")]
    return in_networks("remoteAddress", texts)


def _random(percentage: int | None, feature: str) -> Any:
    if percentage is None or percentage <= 1:
        return NOBODY
    if percentage >= _HUNDRED:
        return True
    ranges = [[0, percentage - 1]]
    bucket = {"by": RANDOM, "salt": feature, "of": _DRAWN, "ranges": ranges}
    return {"bucket": bucket}


def _flexible_rollout(strategy: Strategy, feature: str) -> Any:
    percentage = _percentage(strategy, "rollout")
    if percentage is None:
        return NOBODY
    stickiness = strategy.parameters.get("stickiness")
    chain, draws = stickiness_chain(stickiness)
    return _rollout(chain, percentage, strategy.parameters.get("groupId", feature), draws=draws)


def _rollout(chain: Sequence[str], percentage: int, group: str, *, draws: bool) -> Any:
    unquoted(group, "the group")
    if percentage > _HUNDRED:
        raise AlwaysOffError(f"{percentage} is no percentage")
    if percentage == 0:
        return NOBODY
    if percentage == _HUNDRED:
        return True if draws else any_of(map(has_text, chain))
    links: list[Any] = []
    missing: list[Any] = []
    for attribute in [*chain, *([RANDOM] if draws else [])]:
        bucket = {
            "by": attribute,
            "hash": "unleash",
            "salt": group,
            "of": _HUNDRED,
            "ranges": [[0, percentage]],
        }
        links.append(all_of([*missing, {"bucket": bucket}]))
        missing.append(negated(has_text(attribute)))
    return any_of(links)


def is_drawn(condition: Any) -> bool:
    """Whether chance has a part in a condition."""
    if isinstance(condition, dict):
        if condition.get("by") == RANDOM:
            return True
        return any(map(is_drawn, condition.values()))
    return isinstance(condition, list) and any(map(is_drawn, condition))
