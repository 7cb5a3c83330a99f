"""What is known about the data themselves at one look, and which alarms follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from experiments.contract.plan import Plan
from experiments.contract.words import lost_shares
from experiments.judging.attrition import Lost, attrition_p
from experiments.judging.freshness import Freshness
from experiments.machine.alarms import (
    ATTRITION,
    IMBALANCE,
    SEVERAL_ARMS,
    alarms_of,
    unexplained,
)
from stats import CovariateMoments
from stats.decision.look import Sums as AnySums

MIN_UNITS = 100
NOTHING_EXPLAINED: Mapping[str, float] = {}

Sums = Mapping[str, Mapping[str, AnySums]]


@dataclass(frozen=True)
class Quality:
    """What is known about the data themselves at one look.

    Parameters
    ----------
    quarantined : int
        Units that met several arms; they count nowhere.
    newest_event_age_seconds : float, optional
        Age of the newest event at the look; ``None`` when there is none, or no times are known.
    stale : bool
        Whether the feed is silent for longer than its traffic so far explains.
    bots : int
        Units with more events than any person, of all arms; they count nowhere.
    imbalance_p : float, optional
        Chance that the arms differ before the experiment as much as they do; ``None`` where nothing
        is known of that time.
    may_be_silent_seconds : float, optional
        How long the feed may be silent, where its traffic is so low that this is longer than the
        policy's ``stale``.
    attrition : mapping, optional
        By arm how many ``units`` were watched long enough, and how many of them were ``lost``.
    attrition_p : float, optional
        Chance that the arms differ in that as much as they do.
    """

    quarantined: int = 0
    newest_event_age_seconds: float | None = None
    stale: bool = False
    bots: int = 0
    imbalance_p: float | None = None
    may_be_silent_seconds: float | None = None
    attrition: Lost | None = None
    attrition_p: float | None = None

    def alarms(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Give every alarm of the data that rings, each with its loudness."""
        return alarms_of(self.quarantined, counts, self.imbalance_p, self.attrition_p)

    def alarm(
        self, counts: Mapping[str, int], explained: Mapping[str, float] = NOTHING_EXPLAINED
    ) -> str | None:
        """Say in words why nothing may ship on these data, or ``None``."""
        ringing = unexplained(self.alarms(counts), explained)
        if SEVERAL_ARMS in ringing:
            seen = sum(counts.values()) + self.quarantined
            return f"{self.quarantined} of {seen} units met several arms"
        if IMBALANCE in ringing:
            return "the arms differed before the experiment already"
        if ATTRITION in ringing:
            return f"the arms lost units unequally ({', '.join(lost_shares(self.attrition or {}))})"
        if self.stale:
            return "no fresh events"
        return None

    def to_document(self) -> dict[str, Any]:
        """Give the quality facts as plain data."""
        document = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("imbalance_p", "may_be_silent_seconds", "attrition", "attrition_p"):
            if document[name] is None:
                del document[name]
        return document


def quality_of(
    plan: Plan,
    *,
    quarantined: int,
    bots: int = 0,
    fresh: Freshness | None = None,
    imbalance_p: float | None = None,
    lost: Lost | None = None,
) -> Quality:
    """Put together what is known about the data at one look.

    Parameters
    ----------
    fresh : Freshness, optional
        How silent the feed is; recorded data have none.
    lost : mapping, optional
        What each arm lost, where that is known.
    """
    quality = Quality(
        quarantined=quarantined,
        bots=bots,
        imbalance_p=imbalance_p,
        attrition=lost,
        attrition_p=None if lost is None else attrition_p(lost, plan.control),
    )
    if fresh is None:
        return quality
    longer = fresh.may_be_silent > plan.policy.stale_seconds
    return replace(
        quality,
        newest_event_age_seconds=fresh.age,
        # Without any event nothing may ship, also when it is too early to miss them.
        stale=fresh.age is None or fresh.stale,
        may_be_silent_seconds=fresh.may_be_silent if longer else None,
    )


def imbalance_p(sums: Sums, control: str) -> float | None:
    """Give the chance of the largest difference between the arms before the experiment.

    Over every metric with a covariate and every treatment; the smallest two-sided p-value, times
    their number (Bonferroni). ``None`` without covariates, or with too few units.
    """
    found = []
    for arms in sums.values():
        base = arms.get(control)
        for arm, other in arms.items():
            if arm == control or not isinstance(base, CovariateMoments):
                continue
            if not isinstance(other, CovariateMoments) or min(base.n, other.n) < MIN_UNITS:
                continue
            before, after = base.covariate, other.covariate
            spread = before.variance / before.n + after.variance / after.n
            if spread > 0:
                z = (after.mean - before.mean) / math.sqrt(spread)
                found.append(math.erfc(abs(z) / math.sqrt(2)))
    return min(1.0, min(found) * len(found)) if found else None
