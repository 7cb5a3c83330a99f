"""What the verdict card is told of an experiment: its row, forecast, release and layer's audits."""

from __future__ import annotations

import datetime as dt

from sqlmodel import Session

from experiments.machine.lifecycle import State
from experiments.models import Experiment, Look
from experiments.moves.release_state import release_facts
from experiments.planning import feasibility
from experiments.telling import audits
from experiments.telling.card import CardStatus


def status_of(
    session: Session,
    experiment: Experiment,
    newest: Look | None,
    after: Look | None,
    *,
    now: dt.datetime,
) -> CardStatus:
    """Give where an experiment stands.

    Parameters
    ----------
    newest : Look, optional
        The newest look before anything shipped.
    after : Look, optional
        The newest comparison of what ships with its holdback.
    """
    audited = audits.tally_of(session, experiment.environment_id, experiment.plan)
    return CardStatus(
        state=experiment.state,
        verdict=experiment.verdict,
        winner=experiment.winner,
        sentence=experiment.note if _has_news(experiment) else "",
        coverage=experiment.coverage,
        dropped=tuple(experiment.dropped),
        plan_hash=experiment.plan_hash,
        started_at=experiment.started_at,
        ended_at=_settled_at(experiment),
        next_look_at=experiment.next_look_at,
        confirm_by=experiment.confirm_by,
        forecast=_forecast_sentence(session, experiment),
        decided=tuple(each["verdict"] for each in experiment.verdicts),
        held_cause=experiment.held_cause,
        explain_by=experiment.explain_by,
        compared_since=experiment.compared_since,
        next_ramp_at=experiment.next_ramp_at,
        comparison=None if after is None else after.data | {"decision": after.decision},
        realised=experiment.realised,
        override=experiment.override,
        request=experiment.request,
        release=release_facts(session, experiment, newest.data if newest else None, now),
        learned=bool(experiment.learned),
        audits=audited.text,
        audits_good=audited.keeps_promise,
    )


def _forecast_sentence(session: Session, experiment: Experiment) -> str:
    if experiment.started_at is not None or experiment.ended_at is not None:
        return ""
    row = feasibility.read_forecast(session, experiment)
    if row is None:
        return "What it can prove is being computed."
    signed = [f"{each['by']} accepts {each['risk']}" for each in row.accepted]
    return " ".join([str(row.document["sentence"]), *(f"{each}." for each in signed)])


def _settled_at(experiment: Experiment) -> dt.datetime | None:
    """Tell since when it stands as it does: it may have been turned back after it ended."""
    if experiment.ended_at is None:
        return None
    told = (experiment.ended_at, experiment.verdict_at, experiment.closed_at)
    return max(at for at in told if at is not None)


def _has_news(experiment: Experiment) -> bool:
    held = experiment.state == State.HELD
    return held or experiment.verdict is not None or experiment.ended_at is not None
