"""A policy as a form: the document that a filled-in form makes, and the way back.

Shares and risks are per cent here, and steps are lines; what does not parse as these is a fault of
its field. All else goes to the contract as it was typed, and comes back as a fault of its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from experiments.contract.document import format_duration
from experiments.contract.policy import parse_policy
from web.console.forms import percentage
from web.console.plan_form import number_of

Form = Mapping[str, str]
DURATIONS = (
    "horizon",
    "minimum",
    "ship_every",
    "verify",
    "confirm_within",
    "explain_within",
    "stale",
    "settle",
    "day",
)
RISKS = ("alpha_ship", "alpha_harm", "alpha_guardrail", "beta_futility", "epsilon")
RARE = ("confirm_within", "explain_within", "stale", "settle", "day", "epsilon", "srm_threshold")
"""Fields that are folded away until one of them is wrong."""
STEPS = {"ramp": "coverage", "ship_ramp": "share"}
"""Fields of steps, a line each: what a policy calls the share of a step."""


def document_of(form: Form) -> dict[str, Any]:
    """Give the document that a filled-in form makes; what is left empty is as in ``proof-28d``.

    Raises
    ------
    InvalidInputError
        At a share or a number that is none.
    """
    said = {name: text.strip() for name, text in form.items() if text.strip()}
    document: dict[str, Any] = {
        name: said[name] for name in ("name", "description", *DURATIONS) if name in said
    }
    if "looks" in said:
        document["looks"] = [_phase(line) for line in _lines(said["looks"])]
    for name, share in STEPS.items():
        # None is a decision too: then everybody meets it at once.
        document[name] = [_step(line, name, share) for line in _lines(said.get(name, ""))]
    document |= {name: percentage(said[name], name) for name in RISKS if name in said}
    if "srm_threshold" in said:
        document["srm_threshold"] = number_of(said, "srm_threshold")
    return document


def form_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Give a form filled in with a policy's rules: :func:`document_of` gives them back."""
    policy = parse_policy(document)
    looks = [
        f"every {format_duration(phase.every_seconds)}"
        + ("" if phase.until_seconds is None else f" until {format_duration(phase.until_seconds)}")
        for phase in policy.looks
    ]
    ramps = {
        "ramp": [(step.coverage, step.hold_seconds) for step in policy.ramp],
        "ship_ramp": [(step.share, step.hold_seconds) for step in policy.ship_ramp],
    }
    return {
        "looks": "\n".join(looks),
        **{name: format_duration(getattr(policy, f"{name}_seconds")) for name in DURATIONS},
        **{name: _plain(getattr(policy, name), 100) for name in RISKS},
        "srm_threshold": _plain(policy.srm_threshold),
        **{
            name: "\n".join(
                f"{_plain(share, 100)} % for {format_duration(hold)}" for share, hold in steps
            )
            for name, steps in ramps.items()
        },
    }


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _phase(line: str) -> dict[str, Any]:
    every, until, end = line.removeprefix("every ").partition(" until ")
    return {"every": every.strip(), **({"until": end.strip()} if until else {})}


def _step(line: str, name: str, share: str) -> dict[str, Any]:
    size, holds, time = line.partition(" for ")
    return {share: percentage(size, name), **({"hold": time.strip()} if holds else {})}


def _plain(number: float, times: int = 1) -> str:
    # Decimal: 0.07 times 100 would not be 7.
    return f"{(Decimal(repr(number)) * times).normalize():f}"
