"""Budgets on the command line: said in options, told in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from web.cli.output import EXIT_USAGE, CommandError


def budget_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let somebody be limited: how much may move, in which direction, only after a preview."""
    for option in (
        click.option(
            "--per-change", metavar="SHARE", help="largest share that one change moves: 10%"
        ),
        click.option("--per-day", metavar="SHARE", help="largest share moved in 24 hours: 25%"),
        click.option("--widen-only", is_flag=True, help="only what takes nobody's variant away"),
        click.option("--kill-only", is_flag=True, help="only to kill flags and turn them off"),
        click.option("--require-preview", is_flag=True, help="only what was previewed just before"),
    ):
        command = option(command)
    return command


def read_budget(said: dict[str, Any]) -> dict[str, Any] | None:
    """Take the budget out of what a command was given; ``None`` if nothing limits."""
    budget: dict[str, Any] = {}
    for name in ("per_change", "per_day"):
        text = said.pop(name)
        if text is not None:
            budget[f"share_{name}"] = _share(text)
    for name in ("widen_only", "kill_only", "require_preview"):
        if said.pop(name):
            budget[name] = True
    return budget or None


def budget_words(budget: dict[str, Any] | None) -> str | None:
    """Say a budget in a few words."""
    if not budget:
        return None
    shares = {"share_per_change": "a change", "share_per_day": "a day"}
    words = [
        f"≤ {budget[name] * 100:g} % {said}" for name, said in shares.items() if name in budget
    ]
    flags = ("widen_only", "kill_only", "require_preview")
    return ", ".join(words + [name.replace("_", " ") for name in flags if budget.get(name)])


def left_words(allowances: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say what is left of budgets today, environment by environment."""
    return [
        f"{key}: {_percent(each['left_today'])} of "
        f"{_percent(each['budget']['share_per_day'])} left today"
        for key, each in allowances.items()
        if each["left_today"] is not None
    ]


def quote_words(budgets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say what a previewed change would use of budgets, and what of it they refuse."""
    lines = []
    for key, each in budgets.items():
        left = "" if each["left"] is None else f"; {_percent(each['left'])} may move now"
        lines.append(f"Of your budget in {key} this uses {_percent(each['moves'])}{left}.")
        if each["refused"]:
            lines.append(f"It would be refused: {each['refused']}.")
    return lines


def _percent(share: float) -> str:
    return f"{share * 100:g} %"


def _share(text: str) -> float:
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        message = f"{text!r} is no share"
        raise CommandError(message, hint="write 10% or 0.1", exit_code=EXIT_USAGE)
    return number
