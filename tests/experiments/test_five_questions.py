"""The card's text alone answers five questions, in every verdict and every state.

What happened? What is it worth against doing nothing? Can I trust it? What happens next, and when?
Who is accountable?
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.contract.promise import metric_line
from experiments.judging.looks import build_look, decide, look_document
from experiments.judging.quality import Quality
from experiments.machine.lifecycle import Outcome, State
from experiments.telling.card import Card, CardStatus, build_card, card_text
from stats import Moments, RatioMoments

START = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
DATE = r"\d{1,2} March 2026, \d\d:\d\d(:\d\d)? UTC"
WHEN = re.compile(rf"\bnow\b|{DATE}|the replay has ended")
NUMBER = re.compile(r"[+−]\d")
NO_NUMBER_BECAUSE = ("Hidden: ", "Not shown before ", "Nothing has been seen yet", "too few units")
# No p-value, no z, no "significant": the owner gets an answer, the sceptic gets the evidence.
EVIDENCE = re.compile(r"\bp\b ?[=<≤]|p-value|\bz\b ?[=<≤]|signific", re.IGNORECASE)
MOST_LINES, MOST_COLUMNS = 40, 79

SAME = {"purchase": (0.2, 0.2), "error": (0.1, 0.1)}
BETTER = {"purchase": (0.2, 0.35), "error": (0.1, 0.1)}
WORSE = {"purchase": (0.2, 0.1), "error": (0.1, 0.1)}
SLIGHT = {"purchase": (0.2, 0.215), "error": (0.1, 0.1)}


@dataclass(frozen=True)
class Case:
    """Where an experiment stands, and data on which the statistics find just that."""

    state: str
    verdict: str | None = None
    # What was seen at which second by how many units an arm; None: there was no look.
    rates: dict[str, tuple[float, float]] | None = None
    offset: float = 40
    units: int = 4000
    counts: dict[str, int] | None = None
    found: str | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    said: str = ""

    @property
    def name(self) -> str:
        extra = "-replayed" if self.status.get("replayed") else ""
        return f"{self.state}-{self.verdict}-{'look' if self.rates else 'no look'}{extra}"


NO_HARM = {"claim": "no_harm"}


def quantile(role: str, **more: Any) -> dict[str, Any]:
    """Give a plan with one metric of slowness: the share above a mark, of units or of events."""
    slow = {"key": "latency", "kind": "quantile", "event": "page load", "window": "5s"}
    slow |= {"role": role, "direction": "down", **more}
    buys = {"key": "purchase", "role": "success", "kind": "conversion", "event": "purchase"}
    errors = {"key": "errors", "role": "guardrail", "kind": "conversion", "event": "error"}
    buys |= {"window": "5s", "mde": 0.1}
    errors |= {"window": "5s", "direction": "down", "margin": 0.5}
    return {"metrics": [slow | {"mde": 0.1}, errors] if role == "success" else [buys, slow]}


OF_UNITS = quantile("success", threshold=2.5, of="units")
OF_EVENTS = quantile("success", threshold=2.5)
GUARD = quantile("guardrail", quantile=0.9, of="units", margin=0.1)
GUARD_OF_EVENTS = quantile("guardrail", quantile=0.9, margin=0.1)
FASTER = {"purchase": (0.2, 0.2), "error": (0.1, 0.1), "page load": (0.1, 0.06)}
SLOWER = {"purchase": (0.2, 0.2), "error": (0.1, 0.1), "page load": (0.1, 0.15)}
BROKEN = {"control": 6000, "new": 4000}
WAITS = {"winner": "new", "confirm_by": START + dt.timedelta(days=7)}
WON = {"winner": "new"}
SHIPPED = {"winner": "new", "decided": ("VALUE_PROVEN",), "compared_since": START}
ROW = {"metric": "purchase", "arm": "new", "estimate": 0.1, "low": -0.02, "high": 0.22}
REALISED = {
    "verdict": "CONFIRMED",
    "units": {"control": 200, "new": 3800},
    "metrics": [ROW | {"se": 0.06, "mark": 0.0, "beyond_mark": True, "contradicted": False}],
}
COMPARED = {
    "holdback": {"winner": "new"},
    "look": {"counts": REALISED["units"], "metrics": {}},
    "decision": {"tests": [], "winner": "new", "realised": REALISED["metrics"]},
}
AFTER = SHIPPED | {"realised": REALISED, "comparison": COMPARED}
ASKED = {"by": "owner@example.org", "arm": "new", "reason": "legal"}
OVERRIDE = ASKED | {"predicted": {"text": "purchase +10 %"}}
AT = "On 2 March 2026, 09:00 UTC owner@example.org shipped new"
CASES = [
    Case(
        "SHIPPING",
        "OVERRIDE_SHIP",
        SLIGHT,
        found="CONTINUE",
        said=AT,
        status=SHIPPED | {"override": OVERRIDE},
    ),
    Case("VERIFYING", "VALUE_PROVEN", BETTER, found="VALUE_PROVEN", status=SHIPPED),
    *(
        Case(state, verdict, BETTER, found="VALUE_PROVEN", said="compared", status=AFTER)
        for state, verdict in (
            ("CLEANUP", "CONFIRMED"),
            ("CLEANUP", "NOT_CONFIRMED"),
            ("CLOSED", "CONFIRMED"),
            ("ROLLED_BACK", "LATE_HARM"),
        )
    ),
    Case("DRAFT"),
    Case("SEALED"),
    Case("ABANDONED"),
    Case("RAMPING"),
    Case("RAMPING", rates=BETTER, offset=10, found="CONTINUE", units=300),
    Case("RUNNING"),
    Case("RUNNING", rates=SLIGHT, offset=10, found="CONTINUE"),
    Case("RUNNING", rates=SLIGHT, offset=40, found="CONTINUE"),
    Case("HELD", rates=SLIGHT, offset=40, found="CONTINUE"),
    Case("HELD"),
    Case("RUNNING", "VALUE_PROVEN", BETTER, found="VALUE_PROVEN", status=WAITS),
    Case("RUNNING", "NO_HARM_PROVEN", SAME, found="NO_HARM_PROVEN", plan=NO_HARM, status=WAITS),
    Case("SHIPPING", "VALUE_PROVEN", BETTER, found="VALUE_PROVEN", status=WON),
    Case("SHIPPING", "NO_HARM_PROVEN", SAME, found="NO_HARM_PROVEN", plan=NO_HARM, status=WON),
    Case("ROLLED_BACK", "VALUE_PROVEN", BETTER, found="VALUE_PROVEN", status=WON),
    Case("ROLLED_BACK", "NO_HARM_PROVEN", SAME, found="NO_HARM_PROVEN", plan=NO_HARM, status=WON),
    Case("ROLLED_BACK", "HARM", WORSE, offset=10, found="HARM"),
    Case("ROLLED_BACK", "FUTILE", SAME, offset=90, units=20000, found="FUTILE"),
    Case("ROLLED_BACK", "NOT_PROVEN_IN_TIME", SLIGHT, 100, 2000, found="NOT_PROVEN_IN_TIME"),
    Case("ROLLED_BACK", "INVALID", BETTER, counts=BROKEN, found="INVALID"),
    Case("ROLLED_BACK", "OVERRIDE_STOP", SLIGHT, found="CONTINUE"),
    Case("ROLLED_BACK", "OVERRIDE_STOP"),
    Case("ROLLED_BACK", "HARM", WORSE, found="HARM", status={"replayed": True}),
    Case("RUNNING", "VALUE_PROVEN", BETTER, found="VALUE_PROVEN", status=WON | {"replayed": True}),
]
# The share above a mark, which "latency fell by 40 %" would not say.
CASES += [
    Case("RUNNING", "VALUE_PROVEN", FASTER, found="VALUE_PROVEN", plan=plan, status=WAITS)
    for plan in (OF_UNITS, OF_EVENTS)
]
CASES += [
    Case("ROLLED_BACK", "HARM", SLOWER, found="HARM", plan=plan)
    for plan in (OF_UNITS, OF_EVENTS, GUARD, GUARD_OF_EVENTS)
]
CASES += [Case("RUNNING", rates=FASTER, found="CONTINUE", units=300, plan=OF_EVENTS)]
# After a decision: asked as soon as the lifecycle knows them.
AFTERWARDS = [
    Case("SHIPPING", "OVERRIDE_SHIP", SLIGHT, found="CONTINUE", status=WON),
    Case("VERIFYING", "VALUE_PROVEN", BETTER, found="VALUE_PROVEN", status=WON),
    Case("VERIFYING", "OVERRIDE_SHIP", SLIGHT, found="CONTINUE", status=WON),
    Case("ROLLED_BACK", "LATE_HARM", BETTER, found="VALUE_PROVEN", status=WON),
    Case("CLEANUP", "CONFIRMED", BETTER, found="VALUE_PROVEN", status=WON),
    Case("CLEANUP", "NOT_CONFIRMED", BETTER, found="VALUE_PROVEN", status=WON),
    Case("CLOSED", "CONFIRMED", BETTER, found="VALUE_PROVEN", status=WON),
    Case("CLOSED", "FUTILE", SAME, offset=90, units=20000, found="FUTILE"),
]
_KNOWN = {*State, *Outcome}
CASES += [case for case in AFTERWARDS if {case.state, case.verdict} <= _KNOWN]
LIVE = {"RAMPING", "RUNNING", "HELD"}
UNSTARTED = {"DRAFT", "SEALED", "ABANDONED"}
MANY_METRICS = [
    {"key": "purchase", "role": "success", "event": "purchase", "mde": 0.1},
    {"key": "sign-up of a newcomer", "role": "success", "event": "purchase", "mde": 0.1},
    {"key": "errors", "role": "guardrail", "event": "error", "margin": 0.5},
    {"key": "support contacts", "role": "guardrail", "event": "error", "margin": 0.5},
    {"key": "refunds of orders", "role": "guardrail", "event": "error", "margin": 0.5},
    {"key": "crashes", "role": "safety", "event": "error", "rare": True},
    {"key": "page errors", "role": "safety", "event": "error"},
    {"key": "clicks", "role": "explore", "event": "error"},
]


def sums_of(metric: Metric, units: int, rate: float) -> Moments | RatioMoments:
    """Give the sums of units that have a rate; of a quantile of events each has five."""
    if metric.binary:
        return Moments.conversions(units, round(units * rate))
    above = [float(int(5 * rate * (i + 1)) - int(5 * rate * i)) for i in range(units)]
    return RatioMoments.of(above, [5.0] * units)


def card_of(case: Case, plan: Plan, arms: dict[str, int] | None = None) -> Card:
    """Build the card as the service does, with what the statistics say of these data."""
    ended = case.state not in LIVE | {"DRAFT", "SEALED"}
    status: dict[str, Any] = {
        "state": case.state,
        "verdict": case.verdict,
        "coverage": 0.5,
        "plan_hash": None if case.state == "DRAFT" else "f" * 64,
        "started_at": None if case.state in UNSTARTED else START,
        "next_look_at": START + dt.timedelta(seconds=case.offset) if case.state in LIVE else None,
        "ended_at": START + dt.timedelta(seconds=case.offset) if ended else None,
    }
    status |= case.status
    if status.get("replayed"):
        status |= {"started_at": None, "ended_at": None, "next_look_at": None}
    sentence = (
        f"Stopped by {plan.owner}: it annoys people." if case.verdict == "OVERRIDE_STOP" else ""
    )
    if case.rates is None:
        return build_card(plan, CardStatus(**status, sentence=sentence), now=START)
    sums = {
        metric.key: {
            arm: sums_of(metric, case.units, case.rates[metric.event][arm != plan.control])
            for arm in plan.arms
        }
        for metric in plan.metrics
    }
    quality = Quality(newest_event_age_seconds=1.0)
    counts = arms or case.counts or dict.fromkeys(plan.arms, case.units)
    look = build_look(plan, number=3, offset=case.offset, counts=counts, sums=sums, quality=quality)
    decision = decide(plan, [look])
    if arms is None:
        assert decision.verdict == case.found, "these data no longer lead to the case's verdict"
    seen, decided = look_document(look), decision.to_document()
    if case.said == "compared":
        sentence = (
            words.comparison_sentence(
                plan,
                verdict=case.verdict,
                offset=40,
                length=50,
                look=COMPARED["look"],
                decision=COMPARED["decision"],
            )
            or ""
        )
    elif case.verdict is not None and not sentence:
        sentence = case.said or words.look_sentence(
            plan,
            verdict=case.verdict,
            offset=case.offset,
            look=seen,
            decision=decided,
            winner=status.get("winner"),
        )
    return build_card(
        plan,
        CardStatus(**status, sentence=sentence),
        look=seen,
        decision=decided,
        quality=quality.to_document(),
        offset=case.offset,
        now=START + dt.timedelta(seconds=case.offset),
    )


def sections(text: str) -> dict[str, str]:
    """Split a card's text into what stands above its parts (``""``), and the parts by title."""
    found, title = {"": ""}, ""
    for line in text.splitlines():
        match = re.match(r"(WORTH|HARM|TRUST|COST|NEXT)  ", line)
        if match is not None:
            title = match[1]
            found[title] = ""
        elif not line.startswith(" "):
            title = ""
        found[title] += f" {line.removeprefix(title).strip()}"
    return {name: " ".join(part.split()) for name, part in found.items()}


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def answered(case: Case, make_plan: Callable[..., Any]) -> dict[str, str]:
    document = make_plan()
    if case.plan.get("claim") == "no_harm":
        document["metrics"] = document["metrics"][1:]
    plan = parse_plan(document | case.plan)
    return sections(card_text(card_of(case, plan)))


def test_no_state_and_no_verdict_is_left_out() -> None:
    assert {case.state for case in CASES} >= {state.value for state in State}
    # Releases have cards of their own: test_releases.py.
    wanted = {each.value for each in Outcome} - {"CONTINUE", "RELEASED"}
    assert {case.verdict for case in CASES} >= wanted


def test_what_happened(case: Case, answered: dict[str, str]) -> None:
    said = answered[""]
    word = (case.verdict or "CONTINUE").replace("_", " ")
    if case.verdict is None and case.state in {"DRAFT", "SEALED", "HELD", "ABANDONED"}:
        word = case.state
    assert said.startswith(f"{word}: ")
    # A cause with its time: a day, an instant, or that nothing has begun.
    assert re.search(rf"day \d+ of \d+|{DATE}|not yet started|Stopped by .+: .+|given up", said)
    if case.verdict in {"VALUE_PROVEN", "NO_HARM_PROVEN"}:
        assert "new" in said
    if case.state == "ROLLED_BACK" and case.verdict != "VALUE_PROVEN":
        assert re.search(r"Keep control|nobody confirmed", said)


def test_what_it_is_worth_against_doing_nothing(case: Case, answered: dict[str, str]) -> None:
    worth = answered["WORTH"]
    hidden = case.verdict == "INVALID" or case.rates is None
    hidden = hidden or (case.verdict is None and case.offset < 30)
    if hidden:
        assert any(reason in worth for reason in NO_NUMBER_BECAUSE)
        assert not NUMBER.search(worth)
    else:
        assert re.search(r"new against control: [+−0]", worth)
        assert re.search(r"between .+ and |at least|at most", worth)
        assert re.search(r"(least worth having|tolerated|break-even) [+−]\d", worth)


def test_whether_it_can_be_trusted(case: Case, answered: dict[str, str]) -> None:
    trust = answered["TRUST"]
    assert "seal ok: " in trust or "seal NOT OK: " in trust
    if case.rates is not None:
        for name in ("split", "people", "freshness"):
            assert f"{name} ok: " in trust or f"{name} NOT OK: " in trust
        assert re.search(r"control \d[\d,]*, new \d", trust)
    assert ("NOT OK" in trust) is (case.verdict == "INVALID" or case.state in {"HELD", "DRAFT"})


def test_what_happens_next_when_and_by_whom(case: Case, answered: dict[str, str]) -> None:
    what, when, who = answered["NEXT"].split(" – ")
    assert len(what) >= len("start")
    assert WHEN.search(when) or "replay more" in when
    assert who in {"customer@example.org", "owner@example.org", "the machine, by itself"}
    if case.state == "RUNNING" and case.verdict is not None and not case.status.get("replayed"):
        assert who == "customer@example.org"
        assert "goes back to control" in what


def test_who_is_accountable(answered: dict[str, str]) -> None:
    assert "for customer@example.org (customer); run by owner@example.org (owner)" in answered[""]


def test_what_it_cost(case: Case, answered: dict[str, str]) -> None:
    assert re.search(r"\d|[Nn]othing yet", answered["COST"])


def test_it_is_one_viewport_of_plain_words(case: Case, make_plan: Callable[..., Any]) -> None:
    document = make_plan()
    if case.plan.get("claim") == "no_harm":
        document["metrics"] = document["metrics"][1:]
    text = card_text(card_of(case, parse_plan(document | case.plan)))
    check_shape(text)
    assert not EVIDENCE.search(text)


def check_shape(text: str) -> None:
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= MOST_COLUMNS, max(lines, key=len)
    assert len(lines) <= MOST_LINES, text


@pytest.mark.parametrize("treatments", [2, 9])
def test_many_arms_and_metrics_still_fit_into_one_viewport(
    make_plan: Callable[..., Any], treatments: int
) -> None:
    arms = [f"the-new-checkout-{i}" for i in range(treatments)]
    metrics = [
        {"kind": "conversion", "window": "5s", "direction": "down"}
        | ({"direction": "up"} if metric["role"] == "success" else {})
        | metric
        for metric in MANY_METRICS
    ]
    weights = dict.fromkeys(["control", *arms], 1)
    document = make_plan(
        treatments=arms, weights=weights, metrics=metrics, customer=f"{'long-' * 9}name@example.org"
    )
    plan = parse_plan(document)
    case = Case("RUNNING", rates=SLIGHT)
    text = card_text(card_of(case, plan, dict.fromkeys(plan.arms, 4000)))
    check_shape(text)
    assert ("(all arms)" in " ".join(text.split())) is (treatments > 2)
    for metric in plan.metrics:
        assert metric.key in " ".join(text.split()) or metric.role == "explore"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.02, 0.01, "between −2 points and +1 points"),
        (None, -0.03, "at most −3 points"),
        (0.03, None, "at least +3 points"),
        (None, None, "without a bound yet"),
    ],
)
def test_an_interval_that_is_open_is_said_by_the_end_it_has(
    make_plan: Callable[..., Any], low: float | None, high: float | None, said: str
) -> None:
    metric = parse_plan(make_plan()).metrics[0]
    assert words.interval(metric, low, high) == said


@pytest.mark.parametrize(
    ("plan", "rates", "sentence", "rest"),
    [
        (
            OF_UNITS,
            FASTER,
            "latency, the share of units with page load above 2.5, fell by 40 % (10 % to 6 %)",
            "latency (share of units with page load above 2.5), new against control: −4 points",
        ),
        (
            OF_EVENTS,
            FASTER,
            "latency, the share of page load events above 2.5, fell by 40 % (10 % to 6 %)",
            "WORTH latency (share of page load events above 2.5), new against control: −4 points",
        ),
        (
            OF_EVENTS,
            SLOWER,
            "the share of page load events above 2.5, rose by 50 % (10 % to 15 %)",
            "about 1,000 more page load events above 2.5 in new than on control",
        ),
        (
            GUARD,
            SLOWER,
            "the share of units with page load above the past's 90 % quantile, rose by 50 %",
            "load above the past's 90 % quantile), new: worse (tolerated loss 10 %)",
        ),
        (
            GUARD,
            SLOWER,
            "everybody is back on control",
            "about 200 more units with page load above the past's 90 % quantile in new",
        ),
    ],
)
def test_a_quantile_is_told_as_the_share_above_its_mark(
    make_plan: Callable[..., Any],
    plan: dict[str, Any],
    rates: dict[str, tuple[float, float]],
    sentence: str,
    rest: str,
) -> None:
    proven = rates is FASTER
    case = Case(
        "RUNNING" if proven else "ROLLED_BACK",
        "VALUE_PROVEN" if proven else "HARM",
        rates,
        found="VALUE_PROVEN" if proven else "HARM",
        status=WAITS if proven else {},
    )
    text = " ".join(card_text(card_of(case, parse_plan(make_plan() | plan))).split())
    assert sentence in text
    assert rest in text
    metric = parse_plan(make_plan() | plan).metric("latency")
    assert f"latency – {metric.role}" in metric_line(metric)
    assert "; share of " in metric_line(metric)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3600, "REVIEW due on 2 March 2026, 10:00 UTC, by owner@example.org: did it do"),
        (40, "REVIEW overdue since 2 March 2026, 09:00:40 UTC, owed by owner@example.org: did"),
    ],
)
def test_a_review_that_was_promised_is_asked_for(
    make_plan: Callable[..., Any], seconds: float, said: str
) -> None:
    promised = OVERRIDE | {"review_at": (START + dt.timedelta(seconds=seconds)).isoformat()}
    case = Case("SHIPPING", "OVERRIDE_SHIP", SLIGHT, found="CONTINUE", said=AT)
    plan = parse_plan(make_plan())
    for state in ("SHIPPING", "VERIFYING", "CLEANUP"):
        case = replace(case, state=state, status=SHIPPED | {"override": promised})
        text = card_text(card_of(case, plan))
        check_shape(text)
        assert said in " ".join(text.split())
        # What happens next stays what happens next.
        assert "NEXT " in text
    # Turned back or closed, it was reviewed; and where nobody promised nothing is asked for.
    for state, override in (
        ("ROLLED_BACK", promised),
        ("CLOSED", promised),
        ("SHIPPING", OVERRIDE),
    ):
        done = replace(case, state=state, status=SHIPPED | {"override": override})
        assert "REVIEW" not in card_text(card_of(done, plan))
