"""When to look, when a verdict may fall, how to widen, and with which error rates: all of it data.

Every instant is an offset in seconds from the start, computed from the whole schedule: how often
the worker ticks, or how long it was down, moves no look (STATISTICS.md §1.3: looks must not depend
on the data).
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from experiments.contract.document import Reader, format_duration
from experiments.contract.shipping import (
    DEFAULT_RAMP,
    HELD_BACK,
    ShipStep,
    read_ship_ramp,
    ship_ramp_document,
)
from experiments.errors import PlanError

MAX_LOOKS = 5000

_ALPHAS = ("alpha_ship", "alpha_guardrail", "alpha_harm", "beta_futility", "epsilon")


@dataclass(frozen=True)
class LookPhase:
    """Look every ``every_seconds`` until ``until_seconds`` after the start (``None``: for ever)."""

    every_seconds: float
    until_seconds: float | None = None


@dataclass(frozen=True)
class RampStep:
    """Serve ``coverage`` (0 to 1) of the audience for ``hold_seconds``."""

    coverage: float
    hold_seconds: float


@dataclass(frozen=True)
class Policy:
    """One decision policy.

    Parameters
    ----------
    looks : tuple of LookPhase
        Phases in time order.
    minimum_seconds : float
        Neither shipping nor futility before; harm acts at once.
    ship_every_seconds : float
        Shipping only at whole multiples of this (weeks), and at the deadline.
    ramp : tuple of RampStep
        Steps below the plan's largest coverage, which follows as the last step.
    horizon_seconds : float
        ``prove_by`` of plans that name none.
    confirm_within_seconds : float
        How long the customer has to confirm. Seven days are five working days.
    settle_seconds : float
        A look reads the data as of its instant this much later, when stragglers have arrived.
    stale_seconds : float
        A feed older than this is a quality alarm: nothing ships on it.
    explain_within_seconds : float
        How long the owner has to explain what is wrong with the data.
    ship_ramp : tuple of ShipStep
        Steps of the winner's share before all but the holdback have it.
    verify_seconds : float
        How long it is then compared with the holdback.
    day_seconds : float
        Length of a day in the card's words; a demonstration has short days.
    """

    name: str = "proof-28d"
    looks: tuple[LookPhase, ...] = (LookPhase(3600.0, 48 * 3600.0), LookPhase(86400.0))
    minimum_seconds: float = 7 * 86400.0
    ship_every_seconds: float = 7 * 86400.0
    ramp: tuple[RampStep, ...] = (
        RampStep(0.02, 86400.0),
        RampStep(0.10, 86400.0),
        RampStep(0.25, 86400.0),
        RampStep(0.50, 86400.0),
    )
    horizon_seconds: float = 28 * 86400.0
    confirm_within_seconds: float = 7 * 86400.0
    settle_seconds: float = 120.0
    stale_seconds: float = 6 * 3600.0
    day_seconds: float = 86400.0
    alpha_ship: float = 0.025
    alpha_guardrail: float = 0.025
    alpha_harm: float = 0.025
    beta_futility: float = 0.10
    epsilon: float = 0.1
    srm_threshold: float = 1000.0
    explain_within_seconds: float = 48 * 3600.0
    ship_ramp: tuple[ShipStep, ...] = DEFAULT_RAMP
    verify_seconds: float = 14 * 86400.0

    def to_document(self) -> dict[str, Any]:
        """Give the policy as plain data; :func:`parse_policy` reads it back."""
        return {
            "name": self.name,
            "looks": [
                {"every": format_duration(phase.every_seconds)}
                | (
                    {}
                    if phase.until_seconds is None
                    else {"until": format_duration(phase.until_seconds)}
                )
                for phase in self.looks
            ],
            "minimum": format_duration(self.minimum_seconds),
            "ship_every": format_duration(self.ship_every_seconds),
            "ramp": [
                {"coverage": step.coverage, "hold": format_duration(step.hold_seconds)}
                for step in self.ramp
            ],
            "horizon": format_duration(self.horizon_seconds),
            "confirm_within": format_duration(self.confirm_within_seconds),
            "settle": format_duration(self.settle_seconds),
            "stale": format_duration(self.stale_seconds),
            "day": format_duration(self.day_seconds),
            **{name: getattr(self, name) for name in _ALPHAS},
            "srm_threshold": self.srm_threshold,
            **self._later_rules(),
        }

    def _later_rules(self) -> dict[str, Any]:
        # Not said when they are the house's: the seals of plans from before they existed hold.
        document: dict[str, Any] = {}
        if self.explain_within_seconds != PROOF_28D.explain_within_seconds:
            document["explain_within"] = format_duration(self.explain_within_seconds)
        if self.ship_ramp != PROOF_28D.ship_ramp:
            document["ship_ramp"] = ship_ramp_document(self.ship_ramp)
        if self.verify_seconds != PROOF_28D.verify_seconds:
            document["verify"] = format_duration(self.verify_seconds)
        return document

    @property
    def ship_steps(self) -> tuple[ShipStep, ...]:
        """Give the steps of the winner's share; the last one is verified."""
        return (*self.ship_ramp, ShipStep(1 - HELD_BACK, self.verify_seconds))

    def ramp_steps(self, coverage: float) -> tuple[RampStep, ...]:
        """Give the steps up to the plan's largest coverage; the last one holds to the end."""
        below = tuple(step for step in self.ramp if step.coverage < coverage)
        return (*below, RampStep(coverage, float("inf")))

    def ramp_offset(self, step: int) -> float:
        """Tell when a step begins, counted from the start."""
        return sum(earlier.hold_seconds for earlier in self.ramp[:step])

    def latest_look(self, elapsed: float, prove_by: float) -> float | None:
        """Give the newest scheduled instant that has passed; ``None`` before the first."""
        if elapsed > prove_by:
            return prove_by + self._overtime(elapsed, prove_by)
        schedule = look_schedule(self, prove_by)
        place = bisect.bisect_right(schedule, _tidy(elapsed))
        return schedule[place - 1] if place else None

    def next_look(self, offset: float, prove_by: float) -> float:
        """Give the first scheduled instant after ``offset``, past the deadline too.

        Looks go on while a proven change waits for its customer: harm must still be seen.
        """
        if offset < prove_by:
            schedule = look_schedule(self, prove_by)
            return schedule[bisect.bisect_right(schedule, _tidy(offset))]
        return prove_by + self._overtime(offset, prove_by) + self.looks[-1].every_seconds

    def may_ship(self, offset: float, prove_by: float) -> bool:
        """Tell whether a ship verdict may fall at this scheduled instant."""
        return offset >= prove_by or _tidy(offset) in _ship_instants(self, prove_by)

    def may_be_futile(self, offset: float, prove_by: float) -> bool:
        """Tell whether futility may be declared at this scheduled instant."""
        return offset >= min(self.minimum_seconds, prove_by)

    def _overtime(self, offset: float, prove_by: float) -> float:
        every = self.looks[-1].every_seconds
        return _tidy((offset - prove_by + 1e-6) // every * every)


PROOF_28D = Policy()
RELEASE_1D = Policy(
    name="release-1d",
    looks=(LookPhase(60.0, 3600.0), LookPhase(600.0, 86400.0), LookPhase(3600.0)),
    minimum_seconds=0.0,
    ship_every_seconds=3600.0,
    ramp=(),
    horizon_seconds=86400.0,
    settle_seconds=30.0,
)
BUILT_IN: Mapping[str, Policy] = {each.name: each for each in (PROOF_28D, RELEASE_1D)}


@lru_cache(maxsize=256)
def look_schedule(policy: Policy, prove_by: float) -> tuple[float, ...]:
    """Give every scheduled look up to the deadline, which is always the last one."""
    instants = set(_ship_instants(policy, prove_by))
    begin = 0.0
    for phase in policy.looks:
        end = prove_by if phase.until_seconds is None else min(phase.until_seconds, prove_by)
        count = int((end - begin) / phase.every_seconds + 1e-9)
        instants.update(_tidy(begin + k * phase.every_seconds) for k in range(1, count + 1))
        begin = end
    instants.add(_tidy(prove_by))
    return tuple(sorted(instants))


@lru_cache(maxsize=256)
def _ship_instants(policy: Policy, prove_by: float) -> frozenset[float]:
    every = policy.ship_every_seconds
    count = int(prove_by / every + 1e-9)
    instants = (_tidy(k * every) for k in range(1, count + 1))
    return frozenset(i for i in instants if i >= policy.minimum_seconds)


def _tidy(offset: float) -> float:
    # Microseconds are what the database keeps; beyond them two equal instants may differ.
    return round(offset, 6)


def parse_policy(document: Any, path: str = "policy", base: Policy = PROOF_28D) -> Policy:
    """Read a policy: the name of a built-in one, or a table that overrides ``base``.

    Raises
    ------
    PlanError
        With the path of the first fault.
    """
    if isinstance(document, str):
        if document in BUILT_IN:
            return BUILT_IN[document]
        names = ", ".join(BUILT_IN)
        raise PlanError(
            f"{path} names no policy: {document!r}",
            field=path,
            hint=f"one of: {names}; or a table of your own; what a project has stored is not read "
            "here",
        )
    reader = Reader(document, path)
    looks = _read_looks(reader) if reader.has("looks") else base.looks
    ramp = _read_ramp(reader) if reader.has("ramp") else base.ramp
    shortest = min(phase.every_seconds for phase in looks)
    policy = Policy(
        name=reader.text("name", "inline"),
        looks=looks,
        minimum_seconds=reader.duration("minimum", base.minimum_seconds),
        ship_every_seconds=reader.duration("ship_every", base.ship_every_seconds, least=0.1),
        ramp=ramp,
        horizon_seconds=reader.duration("horizon", base.horizon_seconds, least=1.0),
        confirm_within_seconds=reader.duration("confirm_within", base.confirm_within_seconds),
        settle_seconds=reader.duration("settle", min(base.settle_seconds, shortest / 2)),
        stale_seconds=reader.duration("stale", base.stale_seconds),
        day_seconds=reader.duration("day", base.day_seconds, least=0.1),
        **{name: reader.number(name, getattr(base, name), above=0, below=0.5) for name in _ALPHAS},
        srm_threshold=reader.number("srm_threshold", base.srm_threshold, least=20),
        explain_within_seconds=reader.duration("explain_within", base.explain_within_seconds),
        ship_ramp=read_ship_ramp(reader),
        verify_seconds=reader.duration("verify", base.verify_seconds, least=1.0),
    )
    reader.finish()
    if policy.name in BUILT_IN and policy != BUILT_IN[policy.name]:
        raise PlanError(
            f"{path}.name is that of a built-in policy, but the rules differ",
            field=f"{path}.name",
            hint="give your policy a name of its own",
        )
    return policy


def _read_looks(reader: Reader) -> tuple[LookPhase, ...]:
    phases: list[LookPhase] = []
    for item in reader.tables("looks"):
        phase = LookPhase(item.duration("every", least=0.1), item.duration("until", None))
        item.finish()
        if phases and phases[-1].until_seconds is None:
            raise item.fault("every", "can never begin", "give the phase before it an `until`")
        if (
            phases
            and phase.until_seconds is not None
            and phase.until_seconds <= (phases[-1].until_seconds or 0)
        ):
            raise item.fault("until", "is not later than the phase before it", None)
        phases.append(phase)
    if not phases or phases[-1].until_seconds is not None:
        raise reader.fault("looks", "must end with a phase without `until`", 'such as {every="1d"}')
    return tuple(phases)


def _read_ramp(reader: Reader) -> tuple[RampStep, ...]:
    steps: list[RampStep] = []
    for item in reader.tables("ramp"):
        step = RampStep(item.number("coverage", above=0, most=1), item.duration("hold"))
        item.finish()
        if steps and step.coverage <= steps[-1].coverage:
            raise item.fault("coverage", "does not grow", "coverage only grows")
        steps.append(step)
    return tuple(steps)


def check_schedule(policy: Policy, prove_by: float) -> None:
    """Refuse a policy that would look thousands of times, or not before the deadline."""
    looks = sum(
        (min(phase.until_seconds or prove_by, prove_by)) / phase.every_seconds
        for phase in policy.looks
    )
    if looks > MAX_LOOKS or prove_by / policy.ship_every_seconds > MAX_LOOKS:
        raise PlanError(
            f"policy.looks asks for {looks:.0f} looks before the deadline",
            field="policy.looks",
            hint=f"at most {MAX_LOOKS}: look less often",
        )
    if policy.minimum_seconds > prove_by:
        raise PlanError(
            "policy.minimum is later than the deadline",
            field="policy.minimum",
            hint=f"prove_by is {format_duration(prove_by)}: ask for more time, or wait less",
        )
