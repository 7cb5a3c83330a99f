"""One simulated experiment: what its visitors were served, and what must be true of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.trials.worlds import ARMS, CONTROL, Visitors
from experiments.contract.plan import Plan
from experiments.contract.policy import look_schedule
from experiments.machine.lifecycle import State
from experiments.rules.serving import experiment_rules
from experiments.store.base import Event
from flagstone.engine import CompiledFlagSet, compile_flag_set, parse_flag_set

#: What ships is served to more than what is tried; how fast is the policy's business.
LEAST_SHIPPED = 0.6


@dataclass
class Trial:
    """One simulated experiment while it runs, and what is known of it afterwards.

    ``arm`` is what each visitor was served: -1 before anything, 0 control, 1 treatment; ``dealt``
    is what the running experiment would have served, had nothing ever ended it: -1 outside the
    ramp.
    """

    world: str
    key: str
    visitors: Visitors
    plan: Plan | None = None
    salt: str = ""
    arm: NDArray[np.int64] = field(init=False)
    tracked: NDArray[np.bool_] = field(init=False)
    dealt: NDArray[np.int64] = field(init=False)
    come: int = 0
    pending: list[Event] = field(default_factory=list)
    #: Seconds from the start to the tick that ended it.
    ended: float | None = None
    #: Seconds from the start to the tick that ended the verification, or else the same; and its
    #: verdict.
    over: float | None = None
    afterwards: str | None = None
    #: Seconds from the start to the verdict's tick: a proof waits for its customer after it.
    decided: float | None = None
    state: str = ""
    verdict: str | None = None
    looks: int = 0
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nobody has come by yet."""
        self.arm = np.full(len(self.visitors), -1)
        self.dealt = np.full(len(self.visitors), -1)
        self.tracked = np.zeros(len(self.visitors), dtype=bool)

    @property
    def flag(self) -> str:
        """Name its flag."""
        return f"flag-{self.key}"


def faults_of_looks(trial: Trial, looks: Sequence[tuple[int, float]]) -> Iterator[str]:
    """Hold the looks that were taken against those that were promised."""
    assert trial.plan is not None
    if [number for number, _ in looks] != list(range(1, len(looks) + 1)):
        yield "looks are not numbered one after the other"
    promised = look_schedule(trial.plan.policy, trial.plan.prove_by_seconds)
    # Looks go on while a proof waits, and beside what ships; those were not promised by number.
    taken = [offset for _, offset in looks if offset <= promised[-1]]
    if taken != list(promised[: len(taken)]):
        yield "a promised look is missing"
    if trial.ended is None or trial.verdict is None:
        yield f"it has not ended: {trial.state}"
        return
    due = sum(offset + trial.plan.policy.settle_seconds <= trial.ended for offset in promised)
    if len(taken) < due:
        yield f"{due} looks were due, {len(taken)} were taken"


def faults_of_serving(trial: Trial, state: str) -> Iterator[str]:
    """Hold what visitors were served against what was decided; ``state`` is the last of all."""
    assert trial.plan is not None
    if trial.ended is None:
        return
    times, after = trial.visitors.times, trial.visitors.times > trial.ended
    treated = trial.arm == 1
    if (trial.tracked[~after] & (trial.arm != trial.dealt)[~after]).any():
        yield "somebody met another arm than the sealed split gives"
    if (treated[~after] & (trial.dealt != 1)[~after]).any():
        yield "the treatment was served outside the ramp or the split"
    if trial.state != State.ROLLED_BACK:
        yield from _faults_of_shipping(trial, state)
        return
    if treated[after].any():
        yield f"{treated[after].sum()} visitors were served the treatment after the rollback"
    if trial.tracked[after].any():
        yield "exposures are still recorded after the rollback"
    if treated.any() and times[treated].max() > trial.ended:
        yield "the treatment was met after the look that saw the harm"


def _faults_of_shipping(trial: Trial, state: str) -> Iterator[str]:
    """Hold what visitors were served after the proof against how the verification ended."""
    assert trial.ended is not None
    if trial.over is None:
        yield f"nothing came of its verification: {state}"
        return
    times, treated = trial.visitors.times, trial.arm == 1
    during = (times > trial.ended) & (times <= trial.over)
    share = treated[during].mean() if during.any() else LEAST_SHIPPED
    if share < LEAST_SHIPPED:
        yield f"while it shipped only {share:.0%} were served the treatment"
    if treated[during].all():
        yield "nobody was held back"
    if (treated & ~trial.tracked)[during].any():
        yield "somebody met what ships and was not counted"
    served = treated[times > trial.over]
    if state == State.ROLLED_BACK and served.any():
        yield f"{served.sum()} visitors were served the treatment after late harm was found"
    if state != State.ROLLED_BACK and not served.all():
        yield f"{(~served).sum()} visitors were kept from what was verified"


def deal(trial: Trial) -> None:
    """Say what the sealed split would have served everybody, had nothing ended the experiment."""
    assert trial.plan is not None
    policy, visitors = trial.plan.policy, trial.visitors
    steps = policy.ramp_steps(trial.plan.coverage)
    # A step widens at the tick of the first look after its time.
    begins = [
        policy.ramp_offset(step) + (policy.settle_seconds if step else 0.0)
        for step in range(len(steps))
    ]
    compiled = [_split_alone(trial, step.coverage) for step in steps]
    place_of = np.searchsorted(begins, visitors.times, side="left") - 1
    for place, unit in enumerate(visitors.units):
        flags = compiled[max(0, int(place_of[place]))]
        details = flags.evaluate(trial.flag, {"targetingKey": unit}, 0.0)
        if details.track:
            trial.dealt[place] = ARMS.index(str(details.variant))


def _split_alone(trial: Trial, coverage: float) -> CompiledFlagSet:
    assert trial.plan is not None
    flag = {
        **flag_document(trial.flag),
        "enabled": True,
        "rules": experiment_rules(trial.plan, trial.salt, coverage, ()),
    }
    return compile_flag_set(parse_flag_set({"flags": {trial.flag: flag}}))


def flag_document(key: str) -> dict[str, Any]:
    """Write the flag of one experiment, before any rule."""
    variants = {arm: {"value": arm} for arm in ARMS}
    return {
        "key": key, "type": "string", "variants": variants, "default": CONTROL, "off": CONTROL,
    }  # fmt: skip
