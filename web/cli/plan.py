"""``flagstone plan``: how many units and days a proof takes, before anything is built."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.output import EXIT_FALSE, EXIT_USAGE, CommandError
from web.cli.plan_wish import Wish

if TYPE_CHECKING:
    from stats import (
        Baseline,
        Deadline,
        Duration,
        MetricSpec,
        OperatingCharacteristics,
    )

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(%?)", re.IGNORECASE)
_GUARDRAIL_HINT = "--guardrail refunds=3%,margin=10%,down  or  --guardrail wait=2.1,sd=4,margin=2%"


@click.command(name="plan")
@click.option("--baseline", required=True, help="today's rate (11%, 0.11), or mean with --sd")
@click.option("--sd", "deviation", help="standard deviation over units: the metric is a mean")
@click.option("--mde", required=True, help="smallest effect worth having, relative (5%)")
@click.option("--down", "down", is_flag=True, help="less is better: the MDE is a fall")
@click.option(
    "--per-day",
    required=True,
    help="new units a day, in all arms: one number, or one a day (900,900,850,…)",
)
@click.option("--share", default="100%", show_default=True, help="of them who take part")
@click.option(
    "--split", default="50/50", show_default=True, help="shares of control and each treatment"
)
@click.option(
    "--guardrail",
    "guardrails",
    multiple=True,
    help="NAME=BASELINE,margin=M[,sd=S][,down]; may be given again",
)
@click.option("--covariate", default="0", help="correlation with a pre-period value (CUPED) [0]")
@click.option("--days", type=click.IntRange(1, 182), default=28, show_default=True, help="deadline")
@click.option(
    "--window",
    "window_days",
    type=click.IntRange(0, 90),
    default=0,
    show_default=True,
    help="days until a unit's outcome counts",
)
@click.option("--power", default="80%", show_default=True, help="chance to prove the MDE in time")
@click.option("--svg", "svg_path", type=click.Path(dir_okay=False), help="write the chart here")
@click.option(
    "--simulate", is_flag=True, help="also try the plan 20,000 times where truth is known"
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="of --simulate")
@click.option("--test", "as_test", is_flag=True, help="exit with 10 if the days are not enough")
@pass_invocation
@click.pass_context
def plan_command(
    ctx: click.Context,
    invocation: Invocation,
    /,
    svg_path: str | None,
    *,
    seed: int,
    simulate: bool,
    as_test: bool,
    **asked: Any,
) -> None:
    """Say whether a proof fits into the days there are, and what would help if not.

    Counts the units that the looks of an experiment really need - daily, proofs at whole weeks -
    for the effect and every guardrail together. Needs no service.
    """
    from stats import ParameterError, StatsError, duration, remedies
    from web.cli.plan_chart import chart
    from web.cli.plan_words import document, words

    wish = _wish(**asked)
    try:
        found = duration(
            wish.plan,
            wish.world,
            wish.traffic,
            days=wish.days,
            share=wish.share,
            window_days=wish.window_days,
            power=wish.power,
        )
        helping = remedies(wish.plan, found, share=wish.share)
        curve = _curve(wish, found)
        tried = _tried(wish, seed) if simulate else None
    except StatsError as error:
        # What is left to be wrong: too few units for any test, or a power beyond reach.
        field, hint = ("--per-day", "more units, or more days")
        if isinstance(error, ParameterError):
            field, hint = ("--power", "80%: false alarms alone cost up to 2.5%")
        raise _refused(str(error), field, hint) from error
    if svg_path is not None:
        Path(svg_path).write_text(chart(wish, found, curve), encoding="utf-8")
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    plain = not encoding.lower().startswith("utf")
    invocation.output.document(
        document(wish, found, helping, tried),
        words(wish, found, helping, curve, tried, plain=plain),
    )
    if as_test and not found.wanted.is_enough:
        ctx.exit(EXIT_FALSE)


def _curve(wish: Wish, found: Duration) -> list[Deadline]:
    """Follow what can be seen on beyond the deadline, to where it is enough."""
    from stats import Schedule, outlook

    curve = list(found.deadlines)
    if found.days is not None and found.days > wish.days:
        weeks = range(wish.days + 7 - wish.days % 7, found.days + 1, 7)
        step = max(1, len(weeks) // 5)
        chosen = sorted({*weeks[::step], weeks[-1]})
        for days in chosen:
            schedule = Schedule.from_traffic(
                wish.plan,
                wish.traffic,
                days=days,
                share=wish.share,
                window_days=wish.window_days,
            )
            curve.append(outlook(wish.plan, wish.world, schedule, days=days, power=wish.power))
    return curve


def _tried(wish: Wish, seed: int) -> OperatingCharacteristics:
    import numpy as np

    from stats import Schedule, operating_characteristics

    schedule = Schedule.from_traffic(
        wish.plan,
        wish.traffic,
        days=wish.days,
        share=wish.share,
        window_days=wish.window_days,
    )
    return operating_characteristics(
        wish.plan, world=wish.world, schedule=schedule, rng=np.random.default_rng(seed)
    )


# --- from words to numbers


def _wish(
    *,
    baseline: str,
    deviation: str | None,
    mde: str,
    down: bool,
    per_day: str,
    share: str,
    split: str,
    guardrails: tuple[str, ...],
    covariate: str,
    days: int,
    window_days: int,
    power: str,
) -> Wish:
    from stats import DecisionPlan, MetricSpec, Role, StatsError, World

    fewest = max(7, window_days + 1)
    _within(days, fewest, 182, "--days", f"a proof takes a week and its window: at least {fewest}")
    shares = _numbers(split, "/", "--split", "50/50, or 34/33/33 for two treatments")
    if len(shares) < 2 or min(shares) <= 0:
        raise _refused(f"{split!r} does not split the units", "--split", "50/50")
    lift = _number(mde, "--mde", "5%, or 0.05")
    _within(lift, 0, 10, "--mde", "above 0, as a share of the baseline: 5%")
    if lift == 0:
        raise _refused("an effect of 0 cannot be proven", "--mde", "5%")
    metric = MetricSpec(
        "metric",
        Role.SUCCESS,
        binary=deviation is None,
        direction="down" if down else "up",
        mde=lift,
    )
    today = _baseline(baseline, deviation, covariate)
    try:
        today.lifted(metric.sign * lift)
    except StatsError as error:
        raise _refused(str(error), "--mde", "5% is relative to the baseline") from error
    metrics, baselines = [metric], {"metric": today}
    for text in guardrails:
        spec, what = _guardrail(text)
        if spec.key in baselines:
            raise _refused(f"two metrics are called {spec.key!r}", "--guardrail", _GUARDRAIL_HINT)
        metrics.append(spec)
        baselines[spec.key] = what
    treatments = [f"treatment {k}" for k in range(1, len(shares))]
    arms = ("control", *(treatments if len(shares) > 2 else ["treatment"]))
    return Wish(
        DecisionPlan(arms, tuple(shares), tuple(metrics)),
        World(baselines),
        _traffic(per_day),
        days,
        _within(_number(share, "--share", "20%"), 1e-6, 1, "--share", "above 0, at most 100%"),
        window_days,
        _within(_number(power, "--power", "80%"), 0.05, 0.995, "--power", "from 5% to 99.5%"),
        has_covariate=covariate.strip() != "0",
    )


def _baseline(
    text: str, deviation: str | None, covariate: str, field: str = "--baseline"
) -> Baseline:
    from stats import Baseline, StatsError

    mean = _number(text, field, "11% for a rate; 24.5 with --sd 60 for a mean")
    known = _within(
        _number(covariate, "--covariate", "0.5"), -0.999, 0.999, "--covariate", "between -1 and 1"
    )
    try:
        if deviation is None:
            found = Baseline.of_rate(mean)
        else:
            found = Baseline.of_mean(mean, _number(deviation, "--sd", "--sd 60"))
        return found.with_covariate(known * known)
    except StatsError as error:
        hint = "a mean needs its standard deviation over units: --baseline 24.5 --sd 60"
        raise _refused(str(error), field, hint) from error


def _guardrail(text: str) -> tuple[MetricSpec, Baseline]:
    """Read ``NAME=BASELINE,margin=M[,sd=S][,covariate=R][,down]``."""
    from stats import MetricSpec, Role

    first, *rest = (part.strip() for part in text.split(","))
    key, _, baseline = (part.strip() for part in first.partition("="))
    said = dict.fromkeys(("margin", "sd", "covariate"), "")
    down = False
    for part in rest:
        name, equals, value = (word.strip() for word in part.partition("="))
        if name == "down" and not equals:
            down = True
        elif name in said and value:
            said[name] = value
        else:
            raise _refused(f"{text!r}: {part!r} says nothing", "--guardrail", _GUARDRAIL_HINT)
    if not key or not baseline or not said["margin"]:
        raise _refused(
            f"{text!r} lacks a name, a baseline or a margin", "--guardrail", _GUARDRAIL_HINT
        )
    margin = _number(said["margin"], "--guardrail", _GUARDRAIL_HINT)
    _within(margin, 1e-6, 10, "--guardrail", "a margin is a share of the baseline: margin=10%")
    deviation = said["sd"] or None
    what = _baseline(baseline, deviation, said["covariate"] or "0", f"--guardrail {key}")
    spec = MetricSpec(
        key,
        Role.GUARDRAIL,
        binary=deviation is None,
        direction="down" if down else "up",
        margin=margin,
    )
    return spec, what


def _traffic(text: str) -> tuple[float, ...]:
    days = _numbers(text, ",", "--per-day", "900, or a week from the first day on: 900,900,850,…")
    if min(days) < 0 or sum(days) <= 0:
        raise _refused("nobody comes", "--per-day", "new units a day: 900")
    return tuple(days)


def _numbers(text: str, separator: str, field: str, hint: str) -> list[float]:
    return [_number(part, field, hint) for part in text.split(separator)]


def _number(text: str, field: str, hint: str) -> float:
    """Read 0.05, 5% or 5 %."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise _refused(f"{text!r} is not a number", field, hint)
    value = float(match[1]) / (100 if match[2] else 1)
    if not math.isfinite(value):
        raise _refused(f"{text!r} is too large", field, hint)
    return value


def _within(value: float, low: float, high: float, field: str, hint: str) -> float:
    if not low <= value <= high:
        raise _refused(f"{value:g} is out of range", field, hint)
    return value


def _refused(message: str, field: str, hint: str) -> CommandError:
    return CommandError(message, field=field, hint=hint, exit_code=EXIT_USAGE)
