"""``plans.md``: every field of a plan, a release and a policy, with what it means.

Plans are read field by field, not from a model: the names below are held by tests against the
readers of ``experiments.contract``, in both directions, and defaults of policies come from theirs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from experiments.contract.document import format_duration
from experiments.contract.metric import KINDS, ROLES
from experiments.contract.parsing import CLAIMS
from experiments.contract.policy import PROOF_28D, RELEASE_1D, Policy
from web.reference.markdown import code, page, table


@dataclass(frozen=True)
class Field:
    """One field: its name, what may stand there, what stands for it if nothing does, what it is."""

    name: str
    kind: str
    default: str
    says: str


NEEDED = "**needed**"
OPTIONAL = ""


def _words(names: tuple[str, ...]) -> str:
    return " · ".join(code(name) for name in names)


PLAN = (
    Field("key", "short name", NEEDED, "names the experiment; its rule in the flag is `exp-KEY`"),
    Field(
        "flag", "flag key", NEEDED, "the flag that splits; it must be on, with every arm a variant"
    ),
    Field("environment", "key", "`production`", "where"),
    Field("control", "variant", NEEDED, "what everybody has today"),
    Field("treatments", "list of variants", NEEDED, "what is tried, at most nine"),
    Field(
        "weights", "table", "equal", "share of each arm: whole numbers, or fractions that sum to 1"
    ),
    Field("hypothesis", "sentence", NEEDED, "what will get better, and why"),
    Field("customer", "person", NEEDED, "carries the risk; the only one who can confirm shipping"),
    Field("owner", "person", NEEDED, "runs it; never the customer"),
    Field(
        "claim", _words(CLAIMS), "`value`", "what is to be proven; `no_harm` by guardrails alone"
    ),
    Field("metrics", "tables", NEEDED, "see [metrics](#metrics)"),
    Field(
        "prove_by",
        "duration",
        "the policy's `horizon`",
        "the deadline; also `prove_by_days`, `prove_by_seconds`",
    ),
    Field(
        "planned_units",
        "whole number from 100",
        OPTIONAL,
        "time is then counted in units, not days",
    ),
    Field("coverage", "number to 1", "1", "the largest share of the audience"),
    Field("audience", "condition", "everybody", "who may meet it"),
    Field(
        "authorised_in_advance", "true or false", "`false`", "what is proven ships without waiting"
    ),
    Field(
        "policy", "name or table", "`proof-28d`", "how it is looked at; see [policies](#policies)"
    ),
    Field("policy_version", "whole number", OPTIONAL, "of the stored policy that was copied"),
    Field(
        "alternatives",
        "list of texts",
        OPTIONAL,
        "what else could be done; the first is to do nothing",
    ),
    Field(
        "segments",
        "list of names",
        OPTIONAL,
        "at most five attributes to show apart; they decide nothing",
    ),
    Field(
        "attrition",
        "event, list or table",
        OPTIONAL,
        "what every unit still there sends; `{ event, from, window }`",
    ),
    Field(
        "failure_demand",
        "`guardrail` · `safety` · `false`",
        "`safety`",
        "the metric that guards by itself",
    ),
    Field(
        "layer", "key", OPTIONAL, "never meets a unit that another one of the layer has meanwhile"
    ),
    Field("layer_share", "number to 1", "1", "of the layer's units"),
    Field("most_events_per_day", "number from 100", "10000", "a unit with more is no person"),
    Field("source", "key", "the event store", "where rows are read; `flagstone sources list`"),
    Field("value", "table", OPTIONAL, "see [value](#value)"),
    Field("expected", "table", OPTIONAL, "see [expected](#expected)"),
    Field(
        "release",
        "table",
        OPTIONAL,
        "of the claim `release` only; write [its short form](#releases)",
    ),
    Field("replay", "table", OPTIONAL, "see [replay](#replay)"),
)
METRIC = (
    Field("key", "short name", NEEDED, "names it within the plan"),
    Field("metric", "key", OPTIONAL, "of the catalogue: what it is comes from there"),
    Field("metric_version", "whole number", "the newest", "of the catalogue's entry"),
    Field(
        "role",
        _words(ROLES),
        NEEDED,
        "carries the claim, must be shown safe, is watched for harm, is only shown",
    ),
    Field("kind", _words(KINDS), NEEDED, "a unit's value"),
    Field("event", "name or list", NEEDED, "what counts; several count as one"),
    Field("window", "duration", NEEDED, "from a unit's first exposure"),
    Field("direction", "`up` · `down`", "`up`", "which way is good"),
    Field("mde", "number", "success: " + NEEDED, "smallest relative effect worth having"),
    Field(
        "superiority_margin",
        "number",
        "0",
        "success: the absolute effect to beat; not beside `[value]`",
    ),
    Field(
        "margin", "number below 1", "guardrail: " + NEEDED, "largest relative loss still tolerated"
    ),
    Field(
        "rare",
        "true or false",
        "`false`",
        "conversion: the exact test watches it from the first event",
    ),
    Field("steps", "list of events", "funnel: " + NEEDED, "in order"),
    Field("from", "duration", "retention: " + NEEDED, "what happens earlier does not count"),
    Field("numerator", "`count` · `sum`", "`count`", "ratio: of each unit's events"),
    Field("denominator_event", "name or list", "ratio: " + NEEDED, "what it is divided by"),
    Field("denominator", "`count` · `sum`", "`count`", "ratio: of each unit's events"),
    Field("aggregation", "`sum` · `max`", "`sum`", "mean: what becomes of several values"),
    Field("quantile", "number below 1", OPTIONAL, "quantile: the past's quantile is the mark"),
    Field("threshold", "number", OPTIONAL, "quantile: or the mark itself"),
    Field("of", "`events` · `units`", "`events`", "quantile: what is held against the mark"),
    Field("cap", "number", OPTIONAL, "mean, count, ratio: a larger value counts as this"),
    Field("cap_quantile", "number from 0.5", OPTIONAL, "or as this quantile of the past"),
    Field("covariate_window", "duration", OPTIONAL, "adjusts for the same value before (CUPED)"),
    Field("sql", "SELECT", OPTIONAL, "its own rows in the plan's source: `unit`, `time`, `value`"),
    Field("column", "text", OPTIONAL, "replay: where the outcome stands"),
    Field("covariate", "text", OPTIONAL, "replay: the same before the experiment"),
    Field("denominator_column", "text", OPTIONAL, "replay: of a ratio"),
)
VALUE = (
    Field(
        "per_unit",
        "number, or `{ low, likely, high }`",
        NEEDED,
        "what one unit of the first success metric is worth",
    ),
    Field("eligible_units_per_month", "number", NEEDED, "who would meet it once it is shipped"),
    Field("horizon_months", "whole number to 120", "12", "how long it counts"),
    Field("half_life_months", "number", "does not wear off", "after so many months half is left"),
    Field("run_per_month", "amount", "0", "cost of having it"),
    Field("support_per_month", "amount", "0", "cost of having it"),
    Field("cleanup", "amount", "0", "once"),
    Field("build", "amount", "0", "sunk: shown, decides nothing"),
    Field("currency", "text to 8", "`EUR`", "shown beside every amount"),
    Field("expected_effect", "number", "the MDE", "what its author expects, relative"),
)
EXPECTED = (
    Field("units_per_day", "number", "measured", "new units of the audience on a day"),
    Field("metrics.KEY.baseline", "number", "measured", "a share, or the mean per unit"),
    Field("metrics.KEY.sd", "number", "measured", "of what is no share: over units"),
)
REPLAY = (
    Field("exposures.unit", "column", NEEDED, "who; or `row_number = true`"),
    Field("exposures.row_number", "true or false", "`false`", "each row is a unit"),
    Field("exposures.variant", "column", NEEDED, "which arm"),
    Field("exposures.arms", "table", "as they are", "from values of the file to arms of the plan"),
    Field("exposures.time", "column", OPTIONAL, "when; without it nothing is day by day"),
    Field("outcomes.unit", "column", OPTIONAL, "who; or `row_number = true`"),
    Field("outcomes.row_number", "true or false", "`false`", "each row is a unit"),
    Field(
        "outcomes.event", "column", OPTIONAL, "a row for each event; without it, one for each unit"
    ),
    Field("outcomes.time", "column", OPTIONAL, "of the event"),
    Field("outcomes.value", "column", OPTIONAL, "of the event"),
)
RELEASE = (
    Field("flag", "flag key", NEEDED, "on; the rule is added to it"),
    Field("variant", "variant", NEEDED, "what everybody is to get"),
    Field("customer", "person", NEEDED, "answers for it"),
    Field("owner", "person", "who drafts it", "runs it"),
    Field(
        "guards",
        "list",
        NEEDED,
        "events, or tables as in [metrics](#metrics); `margin` makes one that can be shown safe",
    ),
    Field("steps", "list", NEEDED, "per cent, or `{ share, hold, minimum_units, approval }`"),
    Field("hold", "duration", "`1h`", "of steps that say none"),
    Field("minimum_units", "whole number", "100", "of steps that say none, in each group"),
    Field("max_wait", "duration", "`7d`", "beyond all holds; then everybody is back"),
    Field("key", "short name", "`FLAG-VARIANT`", "names it"),
    Field("control", "variant", "the flag's default", "what everybody has today"),
    Field("hypothesis", "sentence", "“… does no harm …”", ""),
    Field("claim", "`release`", "`release`", "needs not be said"),
    Field("environment", "key", "`production`", "where"),
    Field("audience", "condition", "everybody", "who may get it"),
    Field("policy", "name or table", "`release-1d`", "see [policies](#policies)"),
    Field("policy_version", "whole number", OPTIONAL, "as in a plan"),
    Field("source", "key", "the event store", "as in a plan"),
    Field("most_events_per_day", "number from 100", "10000", "as in a plan"),
    Field("failure_demand", "`guardrail` · `safety` · `false`", "`safety`", "as in a plan"),
    Field("attrition", "event, list or table", OPTIONAL, "as in a plan"),
)
# Their defaults are those of the built-in policies.
POLICY = (
    Field("name", "text", "", "its name; a table without one is `inline`"),
    Field("looks", "tables", "", "`{ every, until }`, the last one without `until`"),
    Field("ramp", "tables", "", "`{ coverage, hold }`: how the share grows at the beginning"),
    Field("minimum", "duration", "", "nothing ships or is futile before"),
    Field("ship_every", "duration", "", "looks that may ship: whole weeks"),
    Field("horizon", "duration", "", "the deadline of plans that say none"),
    Field("settle", "duration", "", "how old events must be to be counted"),
    Field("stale", "duration", "", "how long events may be silent before it is held"),
    Field("explain_within", "duration", "", "an alarm about the data must be explained by then"),
    Field("confirm_within", "duration", "", "the customer confirms by then, or it goes back"),
    Field("ship_ramp", "tables", "", "`{ share, hold }`: the way to 95 % once it ships"),
    Field("verify", "duration", "", "how long what shipped is held against those held back"),
    Field("day", "duration", "", "a day (demos take seconds)"),
    Field("alpha_ship", "number below 0.5", "", "of worthless changes so many may ship"),
    Field("alpha_guardrail", "number below 0.5", "", "of breaches so many may pass as safe"),
    Field(
        "alpha_harm", "number below 0.5", "", "of harmless changes so many may be stopped for harm"
    ),
    Field(
        "beta_futility",
        "number below 0.5",
        "",
        "of changes worth their MDE so many may be given up",
    ),
    Field("epsilon", "number below 0.5", "", "part of each that is kept for an extension"),
    Field(
        "srm_threshold", "number from 20", "", "evidence against the split that makes it INVALID"
    ),
)


def defaults(policy: Policy) -> dict[str, Any]:
    """Give what a policy says, the rules included that it does not write down."""
    said = policy.to_document()
    steps = [{"share": s.share, "hold": format_duration(s.hold_seconds)} for s in policy.ship_ramp]
    said.setdefault("explain_within", format_duration(policy.explain_within_seconds))
    said.setdefault("verify", format_duration(policy.verify_seconds))
    said.setdefault("ship_ramp", steps)
    return said


def plans_page() -> str:
    """Write the page."""
    return page(
        "Plans, releases and policies",
        "`web/reference/plans.py`, which tests hold against `experiments/contract`",
        "A plan is TOML for `flagstone experiments create`, or JSON in `POST …/experiments`. A "
        'duration is a number and a unit: `"28d"`, `"90m"`, `"60s"`. A field that nobody reads is '
        "refused by name. [A whole plan](../../experiments/README.md#experiments-what-is-learned).",
        "## Plan\n\n" + _fields(PLAN),
        "## Metrics\n\nEach `[[metrics]]`:\n\n" + _fields(METRIC),
        "## Value\n\n`[value]`: then the break-even effect is what must be beaten.\n\n"
        + _fields(VALUE),
        "## Expected\n\n`[expected]`: what is not measured yet. Labelled as stated everywhere.\n\n"
        + _fields(EXPECTED),
        "## Replay\n\n`[replay]`: the columns of recorded files, for `flagstone replay` and "
        "`flagstone calibrate`.\n\n" + _fields(REPLAY),
        "## Releases\n\nA guarded release, for `flagstone releases create -f`:\n\n"
        + _fields(RELEASE),
        "## Policies\n\n`[policy]`, or a name. A table overrides `proof-28d`, or `release-1d` of a "
        "release.\n\n" + _policies(),
    )


def _fields(fields: tuple[Field, ...]) -> str:
    rows = [[code(each.name), each.kind, each.default, each.says] for each in fields]
    return table(["field", "what it is", "unless said", "says"], rows)


def _policies() -> str:
    both = [defaults(each) for each in (PROOF_28D, RELEASE_1D)]
    rows = [
        [code(each.name), each.kind, each.says, *(_shown(said[each.name]) for said in both)]
        for each in POLICY
    ]
    return table(["field", "what it is", "says", PROOF_28D.name, RELEASE_1D.name], rows)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(code(_inline(each)) for each in value) or "none"
    return code(value)


def _inline(step: dict[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value).strip(chr(34))}" for name, value in step.items())
