"""What ``flagstone calibrate`` found, in words: what it means first, then every figure."""

from __future__ import annotations

from experiments.replays.calibrate import (
    CONFIDENCE_LEVEL,
    WORTH_HAVING,
    WORTHLESS,
    Calibration,
    Share,
    WorldFigures,
)
from stats import Verdict

_ENDS = {
    Verdict.HARM: "harm",
    Verdict.VALUE_PROVEN: "value proven",
    Verdict.NO_HARM_PROVEN: "no harm proven",
    Verdict.FUTILE: "futile",
    Verdict.NOT_PROVEN_IN_TIME: "not proven in time",
    Verdict.INVALID: "invalid",
    Verdict.CONTINUE: "undecided when the data end",
}


def words(found: Calibration) -> str:
    """Give the whole report as plain text."""
    lines = [_kept(found), _null(found), _power(found), "", _how(found)]
    for world in found.worlds:
        lines += ["", _title(world)]
        lines += [_row(verdict, share) for verdict, share in world.shares.items()]
        lines += [_end(found, world)] if len(found.looks) > 1 else []
    lines += [f"\nleft out: {reason}" for reason in found.omitted]
    return "\n".join(lines)


def _kept(found: Calibration) -> str:
    if found.kept:
        return "On these data the machine keeps what the policy promises."
    broken = [
        f"{_ENDS[verdict]} ({_title(world).lower()}): {_percent(share.value)}, "
        f"promised at most {_percent(share.promised or 0)}"
        for world in found.worlds
        for verdict, share in world.shares.items()
        if not share.kept
    ]
    return "On these data the machine does NOT keep what the policy promises:\n  " + (
        "\n  ".join(broken)
    )


def _null(found: Calibration) -> str:
    world = found.worlds[0]
    harm = world.shares[Verdict.HARM]
    said = f"When nothing is different, it cries harm in {_percent(harm.value)} of experiments"
    if found.plan.success_metrics:
        said += f" and finds value in {_percent(world.proven.value)}"
    return said + "."


def _power(found: Calibration) -> str:
    share = _percent(found.power.value)
    if found.world(WORTH_HAVING) is None:
        return f"A change that does no harm is shown to do none in {share}."
    gains = " and ".join(
        f"{metric.key} by {_percent(metric.mde or 0)}" for metric in found.plan.success_metrics
    )
    verb = "moves" if any(m.direction == "down" for m in found.plan.success_metrics) else "lifts"
    return f"A change that {verb} {gains} is proven in {share}."


def _how(found: Calibration) -> str:
    coin = " : ".join(str(weight) for _arm, weight in found.plan.weights)
    looks = len(found.looks)
    when = "1 look" if looks == 1 else f"{looks} looks"
    out = f" ({found.quarantined:,} that met several arms left out)" if found.quarantined else ""
    end = "" if found.complete else "; the data end before the deadline"
    return (
        f"{found.units:,} units{out}, dealt anew {found.times:,} times to "
        f"{', '.join(found.plan.arms)}\nby a coin of {coin}, seed {found.seed}; {when}{end}. "
        f"In brackets: {_percent(CONFIDENCE_LEVEL)} bounds, exact."
    )


def _title(world: WorldFigures) -> str:
    lifts = ", ".join(f"{key} {_signed(lift)}" for key, lift in world.lifts.items())
    if world.name == WORTHLESS:
        return "Nothing is different"
    if world.name == WORTH_HAVING:
        return f"As good as planned: {lifts}"
    if world.name == "harmful":
        return f"As bad: {lifts}"
    return f"A guardrail is broken: {lifts}"


def _row(verdict: Verdict, share: Share) -> str:
    bounds = f"[{_percent(share.low)} to {_percent(share.high)}]"
    line = f"  {_ENDS[verdict]:<28}{_percent(share.value):>8}  {bounds:<22}"
    if share.promised is None:
        return line.rstrip()
    mark = "ok" if share.kept else "NOT KEPT"
    return f"{line}  wrong; at most {_percent(share.promised)} promised: {mark}"


def _end(found: Calibration, world: WorldFigures) -> str:
    day = found.plan.policy.day_seconds
    mean, median = world.mean_end / day, world.median_end / day
    return f"  ends on day {mean:.3g} on average, half of them by day {median:.3g}"


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return f"{100 * share:.2f} %" if share >= 0.00005 else "<0.01 %"
    return f"{100 * share:.3g} %"


def _signed(lift: float) -> str:
    return f"{'+' if lift > 0 else '−'}{_percent(abs(lift))}"
