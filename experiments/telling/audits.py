"""What standing audits have found: how often nothing was taken for something.

Every layer (and what has none: the layer ``""``) is audited all the time. The worker deals its
units to two arms between which nothing is different, and lets the same machine decide
(:mod:`experiments.monitoring.standing`). Here it is counted; no statistics library is needed.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.policy import PROOF_28D
from experiments.models import StandingRow

KIND = "audit"
FALSE_VERDICTS = frozenset({"HARM", "VALUE_PROVEN", "NO_HARM_PROVEN", "INVALID"})
LAST_VERDICTS = FALSE_VERDICTS | {"FUTILE", "NOT_PROVEN_IN_TIME"}
PROMISED = PROOF_28D.alpha_ship + PROOF_28D.alpha_harm + 1 / PROOF_28D.srm_threshold
"""False verdicts of an audit, at the most: value, harm, or a broken split."""
LEAST_UNITS = 200
"""An audit of fewer units could hardly have been wrong: it is not counted."""


@dataclass(frozen=True)
class Audit:
    """One audit: a layer, for one period.

    Parameters
    ----------
    layer : str
        Its key; ``""`` for the experiments without a layer.
    units : int
        Units of both arms at the newest look.
    verdict : str
        Of the newest look.
    """

    layer: str
    period: int
    looks: int
    at: dt.datetime
    units: int
    metrics: tuple[str, ...]
    verdict: str

    @property
    def is_over(self) -> bool:
        """Tell whether it has decided."""
        return self.verdict in LAST_VERDICTS

    @property
    def counts(self) -> bool:
        """Tell whether it is over, and had data enough to be wrong."""
        return self.is_over and self.units >= LEAST_UNITS

    @property
    def is_false(self) -> bool:
        """Tell whether it found what is not there."""
        return self.verdict in FALSE_VERDICTS


@dataclass(frozen=True)
class Tally:
    """How many audits were wrong, with exact 95 % bounds of the rate."""

    audits: int
    wrong: int
    running: int = 0

    @property
    def bounds(self) -> tuple[float, float]:
        """Give the bounds of Clopper and Pearson (1934)."""
        return exact_bounds(self.wrong, self.audits)

    @property
    def keeps_promise(self) -> bool:
        """Tell whether no more were wrong than the policy promises, as far as one can tell."""
        return self.bounds[0] <= PROMISED

    @property
    def text(self) -> str:
        """Say it in one sentence."""
        if not self.audits:
            return "none is over yet" if self.running else "none yet"
        low, high = self.bounds
        noun = "audit" if self.audits == 1 else "audits"
        return (
            f"{self.wrong} of {self.audits} {noun} of nothing gave a false verdict "
            f"(95 % bounds {100 * low:.2g} to {100 * high:.2g} %)"
        )

    def to_document(self) -> dict[str, Any]:
        """Give it as plain data."""
        low, high = self.bounds
        return {
            "audits": self.audits,
            "false_verdicts": self.wrong,
            "running": self.running,
            "low": low,
            "high": high,
            "promised": PROMISED,
            "sentence": self.text,
        }


def list_audits(
    session: Session, environment_id: int | None, layer: str | None = None
) -> list[Audit]:
    """List an environment's audits, the newest period first."""
    query = select(StandingRow).where(
        StandingRow.environment_id == environment_id, StandingRow.kind == KIND
    )
    if layer is not None:
        query = query.where(StandingRow.subject == layer)
    newest: dict[tuple[int, str], StandingRow] = {}
    for row in session.exec(query.order_by(col(StandingRow.number))):
        newest[-row.period, row.subject] = row
    return [_audit(newest[key]) for key in sorted(newest)]


def tally(audits: list[Audit]) -> Tally:
    """Count audits."""
    over = [each for each in audits if each.counts]
    return Tally(
        audits=len(over),
        wrong=sum(each.is_false for each in over),
        running=sum(not each.is_over for each in audits),
    )


def tally_of(session: Session, environment_id: int, plan: Mapping[str, Any]) -> Tally:
    """Count the audits of an experiment's layer."""
    return tally(list_audits(session, environment_id, plan.get("layer") or ""))


def exact_bounds(found: int, of: int, error: float = 0.05) -> tuple[float, float]:
    """Give the exact bounds of a binomial share (Clopper and Pearson, 1934)."""
    if of == 0:
        return 0.0, 1.0
    low = 0.0 if found == 0 else _root(lambda p: _at_least(found, of, p), error / 2)
    high = 1.0 if found == of else _root(lambda p: 1 - _at_least(found + 1, of, p), error / 2)
    return low, high


def _at_least(found: int, of: int, share: float) -> float:
    if share in {0.0, 1.0}:
        return share
    # By logarithms: with a thousand audits the binomial coefficient is no float any more.
    whole, yes, no = math.lgamma(of + 1), math.log(share), math.log1p(-share)
    return math.fsum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * yes + (of - k) * no)
        for k in range(found, of + 1)
    )


def _root(tail: Any, level: float) -> float:
    """Find the share at which a monotone tail is ``level``."""
    rises = tail(1.0) > tail(0.0)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if (tail(middle) > level) == rises:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def _audit(row: StandingRow) -> Audit:
    return Audit(
        layer=row.subject,
        period=row.period,
        looks=row.number,
        at=row.at,
        units=sum(row.data["look"]["counts"].values()),
        metrics=tuple(row.data["look"]["metrics"]),
        verdict=row.verdict,
    )
