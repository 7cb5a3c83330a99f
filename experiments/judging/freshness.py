"""Whether the events still come in: a silence is told from low traffic by the traffic so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.machine.alarms import longest_silence


@dataclass(frozen=True)
class Freshness:
    """How long a feed has been silent, and how long it may be; seconds.

    Parameters
    ----------
    age : float, optional
        Of the newest event; ``None`` when there is none.
    silent : float
        The same; without any event, the time since the start.
    """

    age: float | None
    silent: float
    may_be_silent: float

    @property
    def stale(self) -> bool:
        """Tell whether the silence is longer than chance explains."""
        return self.silent > self.may_be_silent


def freshness(
    stale_seconds: float,
    *,
    offset: float,
    newest: float | None,
    counts: Mapping[str, int],
    enrol_seconds: float | None = None,
    looks: Sequence[Mapping[str, Any]] = (),
    step: int = 0,
) -> Freshness:
    """Compare a feed's silence with the traffic it has had.

    Parameters
    ----------
    stale_seconds : float
        What the policy takes for silence.
    offset : float
        Seconds from the start to the reading.
    newest : float, optional
        Seconds from the start to the newest event, if there is one.
    counts : mapping of str to int
        Exposed units by arm.
    enrol_seconds : float, optional
        When the enrolment ends: who comes later is not among the counts.
    looks : sequence of mapping
        What was stored with the looks before, for the traffic of the present step of the ramp.
    step : int
        The present step.

    Notes
    -----
    Traffic is counted from where the step of the ramp began in which the newest unit came. Since
    the start would mix in the few units of the first steps: a feed that stops after the last step
    would be taken for slow for days. The step itself is too short if nobody has come in it yet.
    """
    age = None if newest is None else max(0.0, offset - newest)
    silent = offset if age is None else age
    begun, units = _traffic(sum(counts.values()), looks, step)
    until = offset - silent
    if enrol_seconds is not None:
        until = min(until, enrol_seconds)
    longest = longest_silence(stale_seconds, units, max(0.0, until - begun))
    return Freshness(age, silent, longest)


def _traffic(units: int, looks: Sequence[Mapping[str, Any]], step: int) -> tuple[float, int]:
    """Give the offset from which on units are counted, and how many have come since."""
    for present in range(step, 0, -1):
        before = next((each for each in reversed(looks) if each["ramp_step"] < present), None)
        if before is not None:
            came = units - sum(before["look"]["counts"].values())
            if came > 0:
                return float(before["offset"]), came
    return 0.0, units
