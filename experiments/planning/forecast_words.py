"""A forecast in words: its one sentence, and the whole of it for terminals.

Reads the plain data that the worker stored; computes nothing and imports no statistics, so that the
page, the API and the command line say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]

NO_TRAFFIC, NO_DATA, MDE = "no_traffic", "no_data", "mde"
RISKS = (MDE, NO_TRAFFIC, NO_DATA)
STATED = "stated, not measured"


def share(value: float, digits: int = 2) -> str:
    """Write a share as a percentage with so many significant digits: ``4.2 %``."""
    return f"{float(f'{100 * value:.{digits}g}'):,.15g} %"


def number(value: float) -> str:
    """Write a number of units, three digits of it where it is not whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def chance(found: Document) -> str:
    """Write a simulated share with its Monte Carlo error: ``2.1 % (± 0.3)``."""
    return f"{100 * found['value']:.1f} % (± {100 * found['se']:.1f})"


def effect(entry: Document, value: float) -> str:
    """Say an effect on a metric: ``a rise of 5 % in purchase``, ``errors within 5 %``."""
    if entry["role"] == "success":
        change = "fall" if entry["direction"] == "down" else "rise"
        return f"a {change} of {share(value)} in {entry['metric']}"
    return f"{entry['metric']} within {share(value)}"


def unprovable(days: float, entry: Document) -> str:
    """Say why a metric's promise cannot be kept by the deadline."""
    wanted = effect(entry, entry["target"])
    if entry["detectable"] is None:
        why = entry.get("reason") or "no possible effect is large enough"
        return f"by day {days:.3g} {wanted} cannot be proven: {why}"
    seen = share(entry["detectable"])
    return f"by day {days:.3g} {seen} can be proven, but not {wanted}"


def sentence_of(document: Document) -> str:
    """Say a forecast in one sentence."""
    missing = [risk for risk in document["risks"] if risk["risk"] != MDE]
    if not document["deadlines"]:
        return f"No forecast: {missing[0]['reason']}." if missing else "No forecast."
    last, percent = document["deadlines"][-1], round(100 * document["power"])
    day, basis = f"day {last['day']:.3g}", _basis(document)
    if missing:
        return f"What can be proven by {day} is not known: {missing[0]['reason']}."
    if last["enough"]:
        first = next(each for each in document["deadlines"] if each["enough"])
        seen = " and ".join(
            effect(each, each["detectable"]) for each in last["metrics"] if each["detectable"]
        )
        early = f"; day {first['day']:.3g} may do" if first is not last else ""
        return f"By {day} {seen} can be proven with a chance of {percent} %{early} ({basis})."
    worst = max(
        (each for each in last["metrics"]), key=lambda each: each["lacking"] or float("inf")
    )
    return f"Not provable: {unprovable(last['day'], worst)} ({basis})."


def _basis(document: Document) -> str:
    traffic = document["traffic"]
    said = f"{number(traffic['units_per_day'])} new units a day"
    words = {"stated": f", {STATED}", "events": ", estimated from units with any event"}
    said += words.get(traffic["source"], "")
    stated = [key for key, each in document["baselines"].items() if each["source"] == "stated"]
    if stated and traffic["source"] != "stated":
        said += f"; {', '.join(stated)} {STATED}"
    return said


def forecast_lines(document: Document) -> Iterator[str]:
    """Write a forecast as lines of plain text, the sentence first."""
    yield document["sentence"]
    for risk in document["risks"]:
        yield f"  ! {risk['reason']} ({risk['field']}; {risk['risk']})"
    yield ""
    yield "Rests on"
    yield f"  {traffic_words(document['traffic'])}"
    for key, each in document["baselines"].items():
        yield f"  {baseline_words(key, each)}"
    for deadline in document["deadlines"]:
        yield f"By day {deadline['day']:.3g}, with {deadline['units']:,} units"
        for each in deadline["metrics"]:
            yield f"  {deadline_words(each)}"
    if document["ways_out"] is not None:
        yield "Four ways out"
        for way in ways_out_words(document):
            yield f"  - {way}"
    if document["operating"] is not None:
        yield f"Simulated {document['operating']['runs']:,} times each"
        for name, value in operating_rows(document["operating"]):
            yield f"  {name}: {value}"
    yield from document["notes"]


def traffic_words(traffic: Document) -> str:
    """Say how many come, and how that is known."""
    measured = traffic["measured"]
    if traffic["units_per_day"] is None:
        return "traffic: not known"
    said = f"{number(traffic['units_per_day'])} new units a day"
    if traffic["source"] == "stated":
        said += f", {STATED}"
        if measured is not None:
            said += f" ({number(measured['units_per_day'])} a day have any recorded event)"
        return said
    who = "met the flag" if measured["of"] == "exposures" else "have any recorded event"
    days = "day" if measured["days"] == 1 else "days"
    said += f", measured over {measured['days']} {days}: {measured['units']:,} units {who}"
    if traffic["stated"] is not None:
        said += f" (the plan states {number(traffic['stated'])})"
    return said


def baseline_words(key: str, each: Document) -> str:
    """Say what a metric is like today, and how that is known."""
    if each["source"] is None:
        return f"{key}: not known, {each['reason']}"
    how = STATED if each["source"] == "stated" else f"measured on {each['units']:,} units"
    return f"{key}: {each['mean']:.4g}, standard deviation {each['sd']:.4g} per unit; {how}"


def deadline_words(each: Document) -> str:
    """Say what can be proven of one metric by one day."""
    if each["detectable"] is None:
        return f"{each['metric']}: nothing yet, {each.get('reason') or 'too few units'}"
    target = "MDE" if each["role"] == "success" else "margin"
    return (
        f"{effect(each, each['detectable'])} can be proven; the {target} of "
        f"{share(each['target'])} with a chance of {share(each['power'])}"
    )


def ways_out_words(document: Document) -> Iterator[str]:
    """Say what would help, each alone."""
    ways = document["ways_out"]
    larger = [each for each in ways["larger"] if each["detectable"] is not None]
    if larger:
        changes = [
            f"{'an MDE' if each['role'] == 'success' else 'a margin'} of "
            f"{share(each['detectable'], 3)} instead of {share(each['target'], 3)} for "
            f"{each['metric']}"
            for each in larger
        ]
        yield f"settle for {' and '.join(changes)}"
    else:
        yield "a larger effect does not help: nothing could be proven with these units"
    if ways["units_per_day"] is None:
        yield "more traffic: how much cannot be said"
    elif ways["coverage"] is not None:
        yield f"take in {share(ways['coverage'])} of the audience"
    else:
        now = document["traffic"]["units_per_day"]
        yield f"{number(ways['units_per_day'])} new units a day instead of {number(now)}"
    lacking = " and ".join(each["metric"] for each in ways["larger"])
    if ways["correlation"] is None:
        yield f"a more sensitive metric than {lacking}"
    else:
        yield (
            f"a more sensitive metric than {lacking}: a covariate from before the experiment must "
            f"correlate with it by {ways['correlation']:.2f} or more"
        )
    operating = document["operating"]
    proof = "" if operating is None else f", for a chance of {chance(operating['proof_at_mde'])}"
    yield f"do not run it: {ways['units_spent']:,} units would take part{proof}"


def operating_rows(operating: Document) -> Iterator[tuple[str, str]]:
    """Give the rows of the table of operating characteristics, name and chance."""
    rows = (
        ("proves a change that has its MDE, by the deadline", "proof_at_mde"),
        ("ships a change that does nothing", "ship_if_worthless"),
        ("ships although a guardrail truly loses its margin", "ship_if_breached"),
        ("stops a harmless change for harm", "false_harm_stop"),
    )
    for name, key in rows:
        if operating[key] is not None:
            yield name, chance(operating[key])
