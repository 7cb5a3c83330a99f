"""A plan in four steps of a form: why and for whom, price, proof, protection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from experiments.planning.rough import Rough, rough
from flags.errors import InvalidInputError
from web.console.forms import percentage

Form = Mapping[str, str]
DEFAULTS = {
    "prove_by": "28",
    "window": "7",
    "mde": "5",
    "margin": "5",
    "currency": "EUR",
    "horizon": "12",
    "policy": "proof-28d",
}
# What the contract calls a field, where the form calls it something else.
FIELDS = {
    "treatments": "treatment",
    "per_unit": "per_unit",
    "eligible_units_per_month": "eligible",
    "horizon_months": "horizon",
    "units_per_day": "per_day",
    "baseline": "baseline",
    "prove_by": "prove_by",
}


def plan_of_form(form: Form, environment_key: str) -> dict[str, Any]:
    """Turn the four steps into the document of a plan.

    Raises
    ------
    InvalidInputError
        At a number that is none; everything else the contract checks.
    """
    control, treatment = form.get("control", "").strip(), form.get("treatment", "").strip()
    success = form.get("success", "").strip()
    plan: dict[str, Any] = {
        "key": form.get("key", "").strip(),
        "flag": form.get("flag", "").strip(),
        "environment": environment_key,
        "control": control,
        "treatments": [treatment],
        "weights": {control: 50, treatment: 50},
        "hypothesis": form.get("hypothesis", "").strip(),
        "customer": form.get("customer", "").strip(),
        "owner": form.get("owner", "").strip(),
        "prove_by": f"{number_of(form, 'prove_by'):g}d",
        "policy": form.get("policy", "").strip() or DEFAULTS["policy"],
        "metrics": [
            {
                "key": success,
                "role": "success",
                "kind": "conversion",
                "event": success,
                "window": f"{number_of(form, 'window'):g}d",
                "mde": percentage(form.get("mde", ""), "mde"),
            }
        ],
    }
    expected: dict[str, Any] = {}
    if form.get("per_day", "").strip():
        expected["units_per_day"] = number_of(form, "per_day")
    if form.get("baseline", "").strip():
        expected["metrics"] = {success: {"baseline": percentage(form["baseline"], "baseline")}}
    if expected:
        plan["expected"] = expected
    if form.get("per_unit", "").strip():
        plan["value"] = {
            "per_unit": number_of(form, "per_unit"),
            "eligible_units_per_month": number_of(form, "eligible"),
            "horizon_months": int(number_of(form, "horizon")),
            "cleanup": number_of(form, "cleanup") if form.get("cleanup", "").strip() else 0,
            "currency": form.get("currency", "").strip() or DEFAULTS["currency"],
        }
    guardrail = form.get("guardrail", "").strip()
    if guardrail:
        plan["metrics"].append(
            {
                "key": guardrail,
                "role": "guardrail",
                "kind": "conversion",
                "event": guardrail,
                "direction": "down",
                "window": f"{number_of(form, 'window'):g}d",
                "margin": percentage(form.get("margin", ""), "margin"),
            }
        )
    return plan


def feasibility(form: Form) -> str:
    """Say in one sentence whether the proof fits into the time, as far as the form goes."""
    if not (form.get("per_day", "").strip() and form.get("baseline", "").strip()):
        return "With people a day and how many of them do it today, this line says how long."
    try:
        baseline, mde = percentage(form["baseline"], "baseline"), percentage(form["mde"], "mde")
        deadline = number_of(form, "prove_by")
        found = rough(
            baseline=baseline,
            effect=mde,
            units_per_day=number_of(form, "per_day"),
            prove_by_days=deadline,
            window_days=number_of(form, "window"),
        )
    except (InvalidInputError, KeyError) as error:
        return f"Not yet: {error}."
    if found is None:
        return "Not yet: these numbers leave nothing to prove."
    return _verdict(found, deadline, mde)


def _verdict(found: Rough, deadline: float, mde: float) -> str:
    people = f"about {_rounded(found.units):,} people in two groups"
    days = math.ceil(found.days)
    if found.days <= deadline:
        return (
            f"Feasible: {people}, so a change of {mde * 100:g} % is proven in about {days} days, "
            f"within your {deadline:g}. Four times in five, if it is really there."
        )
    if math.isinf(found.provable):
        return f"Not within {deadline:g} days: nobody's outcome is known by then."
    return (
        f"Not within {deadline:g} days: it takes {people}, about {days} days. "
        f"By then you can prove a change of {found.provable * 100:.2g} % or more."
    )


def price(form: Form) -> str:
    """Say what the change is worth if it moves what it promises; empty until that is known."""
    names = ("per_unit", "eligible", "horizon", "baseline", "mde")
    if not all(form.get(name, "").strip() for name in names):
        return ""
    try:
        per_unit, eligible = number_of(form, "per_unit"), number_of(form, "eligible")
        more = percentage(form["baseline"], "baseline") * percentage(form["mde"], "mde")
        months = number_of(form, "horizon")
        cleanup = number_of(form, "cleanup") if form.get("cleanup", "").strip() else 0.0
    except InvalidInputError as error:
        return f"Not yet: {error}."
    gain = per_unit * eligible * more * months - cleanup
    currency = form.get("currency", "").strip() or DEFAULTS["currency"]
    return (
        f"If it moves {form['mde'].strip()} %, it brings about {_rounded(gain):,} {currency} in "
        f"{months:g} months; what is less than its costs is not worth having."
    )


def _rounded(value: float) -> int:
    if abs(value) < 100:
        return round(value)
    digits = len(str(int(abs(value)))) - 2
    return int(round(value / 10**digits) * 10**digits)


def number_of(form: Form, name: str) -> float:
    """Read a field as a number, not below zero.

    Raises
    ------
    InvalidInputError
        With the field's name.
    """
    text = form.get(name, "").replace(",", ".").strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and 0 <= number <= 1e12):
        message = f"{text[:40]!r} is not a number"
        raise InvalidInputError(message, field=name, hint="digits, such as 4000")
    return number
