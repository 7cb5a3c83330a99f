"""Compare arms within strata known before exposure, then weigh the strata: post-stratification."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stats.effects.lift import Lift
from stats.effects.means import checked_level, student_quantile
from stats.errors import NotEnoughDataError
from stats.sums.moments import Moments

_CONSTANT = 1e-12


@dataclass(frozen=True)
class PostStratified:
    """Difference of two means, treatment minus control, with every stratum weighed by its units.

    ``standard_error`` counts that the strata's shares are those of a sample;
    ``standard_error_conditional`` takes them as given. ``merged`` names the strata too thin to
    stand alone, which were counted into the stratum ``merged_into``. ``relative`` is over control's
    weighted mean, by the delta method: a display, never a decision.
    """

    difference: float
    standard_error: float
    standard_error_conditional: float
    degrees_of_freedom: float
    low: float
    high: float
    relative: Lift | None
    relative_standard_error: float | None
    weights: Mapping[str, float]
    merged: tuple[str, ...]
    merged_into: str | None


@dataclass(frozen=True)
class _Stratum:
    weight: float
    control: Moments
    treatment: Moments

    @property
    def difference(self) -> float:
        return self.treatment.mean - self.control.mean

    @property
    def errors(self) -> tuple[float, float]:
        return self.control.variance / self.control.n, self.treatment.variance / self.treatment.n


def post_stratify(
    strata: Mapping[str, tuple[Moments, Moments]], *, confidence_level: float = 0.95
) -> PostStratified:
    """Estimate a difference of means from its parts in strata [1]_.

    Parameters
    ----------
    strata : mapping of name to pair of Moments
        Control, then treatment. A stratum is known before exposure (country, platform), and every
        unit is in one.
    confidence_level : float, default 0.95
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    PostStratified
        In the metric's unit.

    Raises
    ------
    NotEnoughDataError
        If even all strata together leave an arm with fewer than two units or without variance.
    ParameterError
        If ``confidence_level`` is out of range.

    Notes
    -----
    With ``w`` the strata's shares of all ``N`` units ``difference = sum w D``; its squared error is
    ``sum w**2 (v_T/n_T + v_C/n_C) + (sum w D**2 - difference**2) / N`` (STATISTICS.md 1.1). A
    stratum with fewer than two units in an arm, or an arm that does not vary, would claim to know
    its difference exactly: it is merged into the largest. Degrees of freedom are Satterthwaite's.
    Fixed horizon: do not peek with it.

    References
    ----------
    .. [1] L. W. Miratrix, J. S. Sekhon, B. Yu, J. R. Stat. Soc. B 75, 369-396 (2013).
       :doi:`10.1111/j.1467-9868.2012.01048.x`

    Examples
    --------
    >>> result = post_stratify({
    ...     "mobile": (Moments.of([1.0, 2.0, 3.0]), Moments.of([2.0, 3.0, 4.0])),
    ...     "desktop": (Moments.of([10.0, 12.0]), Moments.of([12.0, 15.0])),
    ...     "other": (Moments.of([5.0]), Moments.of([5.0])),
    ... })
    >>> round(result.difference, 4), result.merged, result.merged_into
    (1.3333, ('other',), 'mobile')
    """
    level = checked_level(confidence_level)
    groups, merged, into = _merged(strata)
    parts = groups.values()
    total = sum(_units(pair) for pair in strata.values())
    difference = sum(part.weight * part.difference for part in parts)
    conditional = sum(part.weight**2 * sum(part.errors) for part in parts)
    between = sum(part.weight * (part.difference - difference) ** 2 for part in parts) / total
    error = math.sqrt(conditional + between)
    dof = _degrees_of_freedom(parts, conditional)
    half = student_quantile((1 + level) / 2, dof) * error
    mean_c = sum(part.weight * part.control.mean for part in parts)
    relative_error = _relative_error(parts, total, mean_c, mean_c + difference) if mean_c else None
    relative = None
    if relative_error is not None:
        lift = difference / abs(mean_c)
        span = student_quantile((1 + level) / 2, dof) * relative_error
        relative = Lift(lift, lift - span, lift + span)
    return PostStratified(
        difference,
        error,
        math.sqrt(conditional),
        dof,
        difference - half,
        difference + half,
        relative,
        relative_error,
        {name: part.weight for name, part in groups.items()},
        merged,
        into,
    )


def _merged(
    strata: Mapping[str, tuple[Moments, Moments]],
) -> tuple[dict[str, _Stratum], tuple[str, ...], str | None]:
    """Count the strata that are too thin into the largest one."""
    left = {name: pair for name, pair in strata.items() if pair[0].n + pair[1].n > 0}
    if not left:
        raise NotEnoughDataError("post_stratify", 0, 0, "no units")
    by_size = sorted(left, key=lambda name: -_units(left[name]))
    largest, others = by_size[0], by_size[1:]
    thin = [name for name in others if not _stands(left[name])]
    sound = [name for name in others if name not in thin]
    control, treatment = left[largest]
    merged: list[str] = []
    # If the largest is too thin itself, it takes in the next ones until it is not.
    while thin or (sound and not _stands((control, treatment))):
        merged.append(thin.pop(0) if thin else sound.pop(0))
        control, treatment = (
            a + b for a, b in zip((control, treatment), left.pop(merged[-1]), strict=True)
        )
    if not _stands((control, treatment)):
        why = "an arm has one unit or does not vary"
        raise NotEnoughDataError("post_stratify", control.n, treatment.n, why)
    left[largest] = control, treatment
    total = sum(_units(pair) for pair in left.values())
    groups = {name: _Stratum(_units(pair) / total, *pair) for name, pair in left.items()}
    return groups, tuple(merged), largest if merged else None


def _units(pair: tuple[Moments, Moments]) -> float:
    return pair[0].n + pair[1].n


def _stands(pair: tuple[Moments, Moments]) -> bool:
    """Tell whether both arms have a variance, beyond rounding."""
    return all(arm.n >= 2 and arm.s2 - arm.s1 * arm.s1 / arm.n > _CONSTANT * arm.s2 for arm in pair)


def _degrees_of_freedom(parts: Collection[_Stratum], conditional: float) -> float:
    return conditional**2 / sum(
        (part.weight**2 * error) ** 2 / (arm.n - 1)
        for part in parts
        for arm, error in zip((part.control, part.treatment), part.errors, strict=True)
    )


def _relative_error(
    parts: Collection[_Stratum], total: float, mean_c: float, mean_t: float
) -> float:
    """Delta method of mean_t / mean_c, the strata's shares being random as well."""
    square = 0.0
    for part in parts:
        error_c, error_t = part.errors
        square += part.weight**2 * (error_t + (mean_t / mean_c) ** 2 * error_c) / mean_c**2
        slope = part.treatment.mean / mean_c - mean_t * part.control.mean / mean_c**2
        square += part.weight * slope**2 / total
    return math.sqrt(square)
