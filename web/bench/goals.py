"""A promise about speed or size, and whether it is kept on this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit, what was measured, and whether it holds."""

    name: str
    limit: str
    measured: str
    met: bool


def goal_line(goal: Goal) -> str:
    """Write a goal for people."""
    met = "met   " if goal.met else "MISSED"
    return f"{met}  {goal.name:38} {goal.limit:>22}   {goal.measured}"
