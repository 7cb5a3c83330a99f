"""What one look says: the verdict, and every test behind it with its bound and its error."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal


class Verdict(StrEnum):
    """What one look says, strongest first."""

    INVALID = "INVALID"
    HARM = "HARM"
    VALUE_PROVEN = "VALUE_PROVEN"
    NO_HARM_PROVEN = "NO_HARM_PROVEN"
    FUTILE = "FUTILE"
    NOT_PROVEN_IN_TIME = "NOT_PROVEN_IN_TIME"
    CONTINUE = "CONTINUE"


TestKind = Literal["harm", "harm_events", "ship", "noninferiority", "futility", "explore"]


@dataclass(frozen=True)
class TestResult:
    """One test of one metric in one treatment arm at this look.

    Parameters
    ----------
    kind : {"harm", "harm_events", "ship", "noninferiority", "futility", "explore"}
        What was asked. ``harm_events`` is the exact test of rare events; ``explore`` is an estimate
        without a test.
    metric, arm : str
        Of what, and for which treatment.
    estimate : float or None
        Difference, treatment minus control, in the metric's unit (CUPED-adjusted if it was).
    contrast, se : float or None
        What is tested, positive meaning good (harm: the difference; ship: the difference beyond the
        superiority margin; noninferiority: the difference plus the tolerated loss; futility: the
        difference minus the MDE), and its standard error, in the metric's unit.
    z, bound : float or None
        Test statistic and bound, positive meaning good. Harm and futility pass at ``z <= bound``
        (a negative bound), ship and noninferiority at ``z >= bound``. An infinite bound cannot be
        reached at this look.
    log_e, log_e_bound : float or None
        Of ``harm_events`` in place of ``z`` and ``bound``: natural logarithm of the evidence, and
        where it passes.
    alpha_spent : float
        Error spent by this test up to this look.
    passed : bool
        Whether the bound is crossed.
    reason : str or None
        Why there is no test, or from which look it is carried over.
    low, high : float or None
        Repeated confidence interval of the difference; None where unbounded. One may peek: the end
        towards harm is valid at all scheduled looks together, the other at all that may ship, and
        between two of them at any one more.
    relative, relative_low, relative_high : float or None
        The same as lift, divided by control's mean (Fieller); None where unbounded.
    """

    __test__ = False  # pytest must not collect this class

    kind: TestKind
    metric: str
    arm: str
    estimate: float | None = None
    contrast: float | None = None
    se: float | None = None
    z: float | None = None
    bound: float | None = None
    log_e: float | None = None
    log_e_bound: float | None = None
    alpha_spent: float = 0.0
    passed: bool = False
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None

    def to_document(self) -> dict[str, Any]:
        """Plain JSON values; an infinite number becomes None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class Decision:
    """What one look says.

    Parameters
    ----------
    verdict : Verdict
        The verdict of the look.
    winner : str or None
        Treatment arm to ship, when something is proven.
    harmed : tuple of str
        Treatment arms to drop now. The verdict is HARM only when no treatment is left.
    futile : tuple of str
        Treatment arms that will not reach their MDE.
    srm_log_e, srm_p : float
        Natural logarithm of the sequential evidence for a sample-ratio mismatch (one may peek), and
        the chi-square p-value (display only: do not peek with it).
    tests : tuple of TestResult
        Every test, in the plan's order of metrics, then arms.
    """

    verdict: Verdict
    winner: str | None = None
    harmed: tuple[str, ...] = ()
    futile: tuple[str, ...] = ()
    srm_log_e: float = 0.0
    srm_p: float = 1.0
    tests: tuple[TestResult, ...] = field(default=())

    def to_document(self) -> dict[str, Any]:
        """Plain JSON values, floats cut to ten significant digits.

        The bounds are good to eight digits; the cut keeps the last bits, in which processors
        differ, out of a record that is hashed. An infinite number becomes None.
        """
        return {
            "verdict": self.verdict.value,
            "winner": self.winner,
            "harmed": list(self.harmed),
            "futile": list(self.futile),
            "srm_log_e": _plain(self.srm_log_e),
            "srm_p": _plain(self.srm_p),
            "tests": [test.to_document() for test in self.tests],
        }


def _plain(value: object) -> object:
    if not isinstance(value, float):
        return value
    return float(f"{value:.10g}") + 0.0 if math.isfinite(value) else None
