"""What can be wrong with numbers handed to ``stats``.

    StatsError
    ├── MomentsError             sums that no sample can have (NaN, n < 0, n·Σy² < (Σy)²)
    ├── NotEnoughDataError       a sample too small or too constant for the method
    ├── ParameterError           an argument outside its range (alpha, margin, rate)
    ├── DocumentError            a stored state that is damaged, or not one of ours
    ├── SpendingError            a spending time that goes back, or a correlation outside [0, 1)
    └── PlanError                a decision plan that contradicts itself
        └── LookError            a look that does not belong to its plan or its predecessors

``decide`` raises only ``LookError`` and ``SpendingError``: thin data is not an error there, it is
said in ``TestResult.reason``.
"""

from __future__ import annotations


class StatsError(ValueError):
    """Base of everything that ``stats`` raises."""


class MomentsError(StatsError):
    """Sums that no sample can have."""


class NotEnoughDataError(StatsError):
    """A sample too small, or too constant, for the method that was asked for."""

    def __init__(self, method: str, control_n: float, treatment_n: float, why: str = "") -> None:
        self.method = method
        self.control_n = control_n
        self.treatment_n = treatment_n
        text = f"{method}: {control_n:g} control and {treatment_n:g} treatment units"
        super().__init__(f"{text} are not enough" + (f": {why}" if why else ""))


class ParameterError(StatsError):
    """An argument outside its range."""


class DocumentError(StatsError):
    """A stored state that is damaged, or not one of ours."""


class SpendingError(StatsError):
    """A spending time that goes back, or a correlation that no two looks can have."""


class PlanError(StatsError):
    """A decision plan that contradicts itself."""


class LookError(PlanError):
    """A look that does not belong to its plan, or to the looks before it."""
