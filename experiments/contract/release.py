"""What a guarded release promises: steps, what each of them waits for, and how it is written down.

A release is a plan whose claim is ``release``: the same seal, looks, records and card. Engineers
write it shorter (``variant``, ``guards``, ``steps``); :func:`expand_release` makes the plan of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader, format_duration, parse_duration
from experiments.errors import PlanError

RELEASE = "release"
LARGEST_COMPARED = 0.5
"""Above it no group of the same size is left to compare with."""
SMALLEST_SHARE = 1e-4
DEFAULT_HOLD = "1h"
DEFAULT_MINIMUM_UNITS = 100
DEFAULT_MAX_WAIT = 7 * 86400.0
LONGEST_DEFAULT_WINDOW = 600.0


@dataclass(frozen=True)
class ReleaseStep:
    """One step that is compared: serve ``share``, and wait.

    Parameters
    ----------
    share : float
        Part of the audience that gets the variant, at most a half; as many are compared with them.
    hold_seconds : float
        How long at the least.
    minimum_units : int
        So many units of either group must have been watched to the end of every window, since the
        release began.
    approval : bool
        Whether somebody other than who started must approve before the step after it.
    """

    share: float
    hold_seconds: float
    minimum_units: int = DEFAULT_MINIMUM_UNITS
    approval: bool = False

    def to_document(self) -> dict[str, Any]:
        """Give the step as plain data."""
        return {
            "share": self.share,
            "hold": format_duration(self.hold_seconds),
            "minimum_units": self.minimum_units,
            "approval": self.approval,
        }


@dataclass(frozen=True)
class Release:
    """The steps below everybody, and how long all of them may take longer than their holds."""

    steps: tuple[ReleaseStep, ...]
    max_wait_seconds: float = DEFAULT_MAX_WAIT

    @property
    def hold_seconds(self) -> float:
        """Tell how long the steps take if nothing is waited for."""
        return sum(step.hold_seconds for step in self.steps)

    @property
    def count(self) -> int:
        """Tell how many steps there are, everybody included."""
        return len(self.steps) + 1

    def reach(self, step: int) -> float:
        """Tell which share it comes to from a step on if nobody does anything more.

        That of the first step that somebody must approve; everybody, if there is none.
        """
        gates = (each.share for each in self.steps[step:] if each.approval)
        return next(gates, 1.0)

    def to_document(self) -> dict[str, Any]:
        """Give the table ``release`` of the plan; :func:`read_release` reads it back."""
        return {
            "steps": [step.to_document() for step in self.steps],
            "max_wait": format_duration(self.max_wait_seconds),
        }


def read_release(reader: Reader, claim: str) -> Release | None:
    """Read the table ``release``, which only the claim of that name has.

    Raises
    ------
    PlanError
        If it is missing or out of place, or a step cannot be compared.
    """
    if claim != RELEASE:
        if reader.has("release"):
            raise reader.fault("release", "is for releases", 'set claim = "release"')
        return None
    for field, hint in (
        ("planned_units", "a release waits for minimum_units of its steps"),
        ("value", "a release claims no worth: that is an experiment"),
        ("alternatives", "a release claims no worth: that is an experiment"),
        ("replay", "a release is for living traffic"),
        ("layer", "a release is for its whole audience"),
    ):
        if reader.has(field):
            raise reader.fault(field, "is not for releases", hint)
    table = Reader(reader.take("release", hint="its steps"), "release")
    steps: list[ReleaseStep] = []
    for item in table.tables("steps"):
        step = ReleaseStep(
            share=item.number("share", least=SMALLEST_SHARE, most=1),
            hold_seconds=item.duration("hold", least=1.0),
            minimum_units=item.integer("minimum_units", DEFAULT_MINIMUM_UNITS),
            approval=item.boolean("approval", default=False),
        )
        item.finish()
        if step.share > LARGEST_COMPARED:
            raise item.fault(
                "share",
                f"is {step.share:g}: nobody is left to compare so many with",
                "steps up to 0.5, then everybody",
            )
        if steps and step.share <= steps[-1].share:
            raise item.fault("share", "does not grow", "nobody who has the variant loses it")
        steps.append(step)
    if not steps:
        raise table.fault("steps", "are missing", "such as steps = [1, 5, 25, 50, 100] per cent")
    release = Release(tuple(steps), table.duration("max_wait", DEFAULT_MAX_WAIT, least=1.0))
    table.finish()
    return release


def check_release(
    reader: Reader, release: Release, weights: Mapping[str, int], windows: Mapping[str, float]
) -> None:
    """Refuse what would not be compared fairly: unequal groups, windows longer than a step.

    Parameters
    ----------
    weights : mapping of str to int
        Weight of each arm.
    windows : mapping of str to float
        Window of each metric, in seconds.
    """
    if len(weights) != 2:
        raise reader.fault("treatments", "are several", "a release is of one variant")
    if len(set(weights.values())) > 1:
        raise reader.fault(
            "weights", "are not for releases", "both groups of a step are equally large"
        )
    longest = max(windows, key=lambda key: windows[key])
    for place, step in enumerate(release.steps):
        if step.hold_seconds < windows[longest]:
            raise reader.fault(
                f"release.steps[{place}].hold",
                f"is shorter than the window of {longest}",
                f"nobody would be watched to the end: hold at least "
                f"{format_duration(windows[longest])}, or give it a shorter window",
            )


# --- the short form


def is_short_form(document: Mapping[str, Any]) -> bool:
    """Tell whether a document is a release as engineers write it."""
    return bool({"variant", "guards"} & set(document))


def expand_release(document: Mapping[str, Any]) -> dict[str, Any]:
    """Make a plan of a release in its short form.

    Raises
    ------
    PlanError
        If a part of the short form cannot be read. What it stands for is checked with the plan.
    """
    reader = Reader(document)
    flag = reader.text("flag", hint="a flag's key")
    variant = reader.text("variant", hint="what everybody is to get")
    hold = reader.take("hold", DEFAULT_HOLD)
    steps = _read_steps(reader, hold)
    holds = [parse_duration(step["hold"], f"steps[{i}].hold") for i, step in enumerate(steps)]
    window = min([LONGEST_DEFAULT_WINDOW, *(seconds / 2 for seconds in holds)])
    guards = reader.take("guards", hint='what must not get worse, such as guards = ["errors"]')
    if not isinstance(guards, list | tuple) or not guards:
        raise reader.fault("guards", "must be a list", 'such as guards = ["errors"]')
    plan: dict[str, Any] = {
        "key": reader.text("key", _key(flag, variant)),
        "claim": reader.choice("claim", (RELEASE,), RELEASE),
        "flag": flag,
        "control": reader.text("control", hint="the variant that everybody has today"),
        "treatments": [variant],
        "hypothesis": reader.text("hypothesis", f"{variant} does no harm to those who get it."),
        "metrics": [_guard(reader, guard, place, window) for place, guard in enumerate(guards)],
        RELEASE: {"steps": steps, "max_wait": reader.take("max_wait", None)},
    }
    for field in ("environment", "customer", "owner", "audience", "policy", "source"):
        plan[field] = reader.take(field, None)
    for field in ("policy_version", "most_events_per_day", "failure_demand", "attrition"):
        plan[field] = reader.take(field, None)
    reader.finish()
    return {field: value for field, value in plan.items() if value is not None}


def whole_form(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the plan of a release in its short form; whatever else is given back."""
    short = isinstance(document, Mapping) and is_short_form(document)
    return expand_release(document) if short else document


def in_short_words(error: PlanError) -> PlanError:
    """Name the fields of a fault as the short form has them."""
    names = (("metrics", "guards"), ("release.", ""), ("treatments", "variant"))
    field, message = error.field or "", error.message
    for long, short in names:
        if field.startswith(long):
            renamed = short + field.removeprefix(long)
            return PlanError(message.replace(field, renamed), field=renamed, hint=error.hint)
    return error


def _read_steps(reader: Reader, hold: Any) -> list[dict[str, Any]]:
    given = reader.take("steps", hint="such as steps = [1, 5, 25, 50, 100] per cent")
    units = reader.take("minimum_units", None)
    if not isinstance(given, list | tuple):
        raise reader.fault("steps", "must be a list", "such as [1, 5, 25, 50, 100] per cent")
    steps = []
    for place, item in enumerate(given):
        if isinstance(item, Mapping):
            step = dict(item)
        elif isinstance(item, bool) or not isinstance(item, int | float):
            raise reader.fault(f"steps[{place}]", "must be a number of per cent, or a table", None)
        else:
            step = {"share": round(item / 100, 6)}
        if step.get("share") == 1 and place == len(given) - 1:
            # Everybody is where every release ends; there is nothing to wait for.
            break
        step.setdefault("hold", hold)
        if units is not None:
            step.setdefault("minimum_units", units)
        steps.append(step)
    return steps


def _guard(reader: Reader, guard: Any, place: int, window: float) -> dict[str, Any]:
    plain = {"kind": "conversion", "direction": "down", "window": format_duration(window)}
    if isinstance(guard, str):
        # Only a name: something that must not happen, and from the first event on.
        return plain | {"key": guard, "event": guard, "role": "safety", "rare": True}
    if not isinstance(guard, Mapping):
        raise reader.fault(f"guards[{place}]", "must be an event's name, or a table", None)
    given = {name: value for name, value in guard.items() if value is not None}
    role = "guardrail" if "margin" in given else "safety"
    if "metric" in given:
        # The catalogue says all else.
        return {"role": role} | given
    if given.get("rare"):
        # A rare metric must say which way is harm, like anywhere.
        del plain["direction"]
    named = {"event": given["key"]} if "key" in given and "steps" not in given else {}
    return plain | named | {"role": role} | given


def _key(flag: str, variant: str) -> str:
    text = re.sub(r"[^a-z0-9._-]+", "-", f"{flag}-{variant}".lower()).lstrip("._-")
    return text[:56]
