"""What was tried before: experiments by words, metric and verdict, and the same plan once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from experiments.machine.states import Outcome
from experiments.models import Experiment
from experiments.people.finding import Wanted, find_experiments
from experiments.telling.plan_text import plan_as_toml

VERDICTS = tuple(str(each) for each in Outcome if each is not Outcome.CONTINUE)
_BATCH = 200
_KEY_LENGTH = 64


@dataclass(frozen=True)
class Shelf:
    """A page of what was found, newest first, and the number to go on from, if there is more."""

    experiments: list[Experiment]
    next_before: int | None


def search(
    session: Session,
    project_key: str,
    *,
    words: str = "",
    metric: str = "",
    verdict: str | None = None,
    before_id: int | None = None,
    limit: int = 50,
    batch: int = _BATCH,
) -> Shelf:
    """Find experiments that were started, in every environment of a project.

    Parameters
    ----------
    words : str
        Each word is in the key, the flag, the hypothesis, the customer, what happened or what was
        learned.
    metric : str
        A part of a metric's key, title or event; any role.
    verdict : str, optional
        One of `VERDICTS`.
    batch : int
        How many are read at a time; metrics are compared here, not in the database.
    """
    found: list[Experiment] = []
    while len(found) <= limit:
        wanted = Wanted(words=words, verdict=verdict, started=True)
        read = find_experiments(session, project_key, wanted, before_id=before_id, limit=batch)
        found += [each for each in read if _measures(each.plan, metric)]
        if len(read) < batch:
            break
        before_id = read[-1].id
    shown = found[:limit]
    return Shelf(shown, shown[-1].id if len(found) > limit else None)


def _measures(plan: Mapping[str, Any], metric: str) -> bool:
    asked = metric.strip().casefold()
    return not asked or any(
        asked in str(each.get(name, "")).casefold()
        for each in plan["metrics"]
        for name in ("key", "event", "metric")
    )


def metrics_of(plan: Mapping[str, Any]) -> list[str]:
    """Give what an experiment measured, what it was to prove first."""
    order = {"success": 0, "guardrail": 1, "safety": 2}
    known = sorted(plan["metrics"], key=lambda each: order.get(each.get("role", ""), 3))
    return [str(each.get("key") or each.get("metric")) for each in known]


def replica(session: Session, experiment: Experiment) -> str:
    """Write an experiment's plan as the text of a new draft, under a key that is free."""
    taken = set(
        session.exec(
            select(Experiment.key).where(
                col(Experiment.environment_id) == experiment.environment_id
            )
        )
    )
    number = 2
    while (key := f"{experiment.key[: _KEY_LENGTH - 5]}-{number}") in taken:
        number += 1
    plan = {name: value for name, value in experiment.plan.items() if name != "key"}
    return plan_as_toml({"key": key, **plan})
