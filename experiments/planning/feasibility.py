"""Whether a plan may start: its forecast, what that finds wrong, and what the customer signed for.

The worker forecasts (:mod:`experiments.planning.forecast`); here it is read, held against the
present plan, and signed. No statistics. A plan cannot sign for anybody: the signature is the
customer's own act, after sealing, and is kept with the forecast that was signed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session

from experiments.contract.plan import Plan, plan_hash
from experiments.errors import ForecastPendingError, NotFeasibleError
from experiments.models import Experiment, Forecast
from experiments.planning.forecast_words import RISKS
from flags.actor import Actor
from flags.errors import InvalidInputError, NotAllowedError

#: An older forecast starts nothing: the worker that should renew it, and take the looks, is away.
OLDEST = dt.timedelta(days=1, hours=1)


def read_forecast(session: Session, experiment: Experiment) -> Forecast | None:
    """Give the newest forecast of the present plan; ``None`` while it is being computed."""
    row = session.get(Forecast, experiment.id, populate_existing=True)
    return row if row is not None and row.plan_hash == plan_hash(experiment.plan) else None


def forecast_body(session: Session, experiment: Experiment) -> dict[str, Any] | None:
    """Give the forecast as it is kept in a decision record."""
    row = read_forecast(session, experiment)
    if row is None:
        return None
    return {
        "computed_at": row.computed_at.isoformat(),
        "accepted": row.accepted,
        **row.document,
    }


def forecast_document(session: Session, experiment: Experiment) -> dict[str, Any]:
    """Give the forecast as the API shows it, or say that it is pending."""
    row = read_forecast(session, experiment)
    if row is None:
        return {"status": "pending", "plan_hash": plan_hash(experiment.plan)}
    return {
        "status": "ready",
        "plan_hash": row.plan_hash,
        "computed_at": row.computed_at,
        "accepted": row.accepted,
        "open_risks": open_risks(row),
        **row.document,
    }


def open_risks(row: Forecast) -> list[dict[str, Any]]:
    """List what keeps the experiment from starting: risks that nobody signed for."""
    signed = {each["risk"] for each in row.accepted}
    return [risk for risk in row.document["risks"] if risk["risk"] not in signed]


def check_start(session: Session, experiment: Experiment, now: dt.datetime) -> None:
    """Refuse a start that the forecast speaks against.

    Raises
    ------
    ForecastPendingError
        If there is no forecast of the present plan yet, or only an old one.
    NotFeasibleError
        If a risk is open: nobody comes, a metric has no data, or the deadline is not enough.
    """
    row = read_forecast(session, experiment)
    if row is None or now - row.computed_at > OLDEST:
        raise ForecastPendingError
    risks = open_risks(row)
    if risks:
        first, more = risks[0], len(risks) - 1
        rest = f" (and {more} more)" if more else ""
        raise NotFeasibleError(
            f"{first['reason']}{rest}",
            field=first["field"],
            hint=f"{first['hint']} [risk {first['risk']}: the customer may accept it]",
        )


def sign(
    session: Session,
    experiment: Experiment,
    plan: Plan,
    risks: Sequence[str],
    *,
    actor: Actor,
    now: dt.datetime,
) -> Forecast:
    """Let the customer accept risks of the sealed plan, in the caller's transaction.

    Raises
    ------
    InvalidInputError
        If a name is none of a risk, or none is given.
    NotAllowedError
        If the actor is not the customer, signed in.
    ForecastPendingError
        If there is no forecast to sign yet.
    """
    unknown = [risk for risk in risks if risk not in RISKS]
    if unknown or not risks:
        said = f"there is no risk {unknown[0]!r}" if unknown else "no risk is named"
        raise InvalidInputError(said, field="risks", hint=f"one or more of: {', '.join(RISKS)}")
    is_customer = actor.name.casefold() == plan.customer.casefold()
    if actor.kind != "user" or not is_customer:
        raise NotAllowedError(
            f"only the customer, {plan.customer}, accepts a risk of this experiment",
            hint="it takes a sign-in; a key cannot sign",
        )
    row = read_forecast(session, experiment)
    if row is None:
        raise ForecastPendingError
    signed: list[Mapping[str, Any]] = [each for each in row.accepted if each["risk"] not in risks]
    fresh = [
        {"risk": risk, "by": actor.name, "at": now.isoformat()} for risk in dict.fromkeys(risks)
    ]
    row.accepted = [*map(dict, signed), *fresh]
    session.add(row)
    session.flush()
    return row
