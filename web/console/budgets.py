"""A budget as a form says it, and as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flags.allowances import Allowance
from flags.errors import InvalidInputError
from flags.granted import Budget

_SHARES = {"share_per_change": "a change", "share_per_day": "a day"}
_FLAGS = {
    "widen_only": "only widens",
    "kill_only": "only kills",
    "require_preview": "after a preview",
}


def read_budget(form: Mapping[str, str]) -> Budget | None:
    """Read the budget's fields of a form; ``None`` where nothing is filled in."""
    said: dict[str, Any] = {name: _share(form[name], name) for name in _SHARES if form.get(name)}
    said |= {name: True for name in _FLAGS if form.get(name) == "yes"}
    return Budget(**said) if said else None


def budget_words(budget: Mapping[str, Any] | None) -> str:
    """Say a budget in a few words; nothing where there is none."""
    found = budget or {}
    words = [f"≤ {found[name] * 100:g} % {said}" for name, said in _SHARES.items() if name in found]
    return ", ".join(words + [said for name, said in _FLAGS.items() if found.get(name)])


def form_of_budget(budget: Mapping[str, Any]) -> dict[str, str]:
    """Write a budget as its fields of a form."""
    shares = {name: f"{budget[name] * 100:g}" for name in _SHARES if name in budget}
    return shares | {name: "yes" for name in _FLAGS if budget.get(name)}


def left_words(left: Mapping[str, Allowance]) -> list[str]:
    """Say what is left of a day, environment by environment."""
    return [f"{key}: {each.words}" for key, each in left.items() if each.words]


def _share(text: str, name: str) -> float:
    try:
        share = float(text) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        message = "a share is a number of per cent from 0 to 100"
        raise InvalidInputError(message, field=name)
    return share
