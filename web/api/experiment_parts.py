"""What the routes of experiments and of releases share: which one is meant, a verb, the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field
from sqlmodel import Session

from experiments.models import Experiment
from experiments.people import services as experiments
from experiments.people.finding import EXPERIMENT_FIELDS, Wanted, find_experiments
from experiments.telling.card import card_text
from experiments.telling.reviews import review_of
from flags import services
from flags.errors import InvalidInputError, NotFoundError
from flags.filters import MAX_FILTER_LENGTH, parse_filter
from web.api.queries import count_looks
from web.api.render import PageQuery, WholeQuery, with_revision
from web.auth.guard import current_caller, require_in, who_and_when
from web.body import Body, Query, read_query
from web.transactions import as_seen, now, transaction

Key = Annotated[str, Field(max_length=256)]


class ExperimentQuery(Query):
    """Whose experiment: keys are unique within an environment."""

    environment: Key | None = None


class LooksQuery(ExperimentQuery, WholeQuery):
    """Whose looks, and which page of them."""


class ListQuery(ExperimentQuery, PageQuery):
    """Which experiments, and which page of them."""

    flag: Key | None = None
    state: Key | None = None
    group: Literal["waiting", "running", "planned", "ended"] | None = None
    filter: Annotated[str, Field(max_length=MAX_FILTER_LENGTH)] = ""


@dataclass(frozen=True)
class Listed:
    """A page of experiments with what its lines need; ``last`` is its last id if there are more."""

    experiments: list[Experiment]
    names: dict[int, str]
    looks: dict[int, int]
    last: int | None


class StopBody(Body):
    """Why it is stopped."""

    reason: Annotated[str, Field(max_length=2000)]


def carry_out(
    verb: Callable[..., Experiment],
    project_key: str,
    key: str,
    answer: Callable[[Session, str, Experiment], Response],
    **said: Any,
) -> Response:
    """Do to the one that is meant what a person decided; answer with where it stands then."""
    with transaction() as session:
        environment_key = environment_to_change(session, project_key, key)
        experiment = verb(session, project_key, environment_key, key, **said, **who_and_when())
        shown = answer(session, project_key, experiment)
        return with_revision(shown, session, experiment.environment_id)


def list_page(
    session: Session, project_key: str, query: ListQuery, *, releases: bool | None = None
) -> Listed:
    """Give a page of what is asked for, newest first; ``releases`` only, or all."""
    names = environment_names(session, project_key)
    if query.environment is not None:
        services.get_environment(session, project_key, query.environment)
    wanted = Wanted(
        environment_key=query.environment,
        flag_keys=None if query.flag is None else [query.flag],
        state=query.state,
        group=query.group,
        asked=parse_filter(query.filter, EXPERIMENT_FIELDS, now=now()),
        me=current_caller().actor.name,
        releases=releases,
        now=now(),
    )
    before, limit = query.after_number(), query.limit
    found = find_experiments(session, project_key, wanted, before_id=before, limit=limit + 1)
    shown = found[:limit]
    last = shown[-1].id if len(found) > limit else None
    return Listed(shown, names, count_looks(session, shown), last)


def environment_of(
    session: Session,
    project_key: str,
    experiment_key: str,
    query: ExperimentQuery | None = None,
) -> str:
    """Return the environment that is asked for, or else the only one with such an experiment."""
    query = query or read_query(ExperimentQuery)
    if query.environment is not None:
        return services.get_environment(session, project_key, query.environment).key
    names = environment_names(session, project_key)
    found = [
        names[each.environment_id]
        for each in find_experiments(session, project_key, Wanted(key=experiment_key))
    ]
    if not found:
        message = f"there is no experiment {experiment_key!r}"
        raise NotFoundError(message, field="experiment")
    if len(found) > 1:
        message = f"several environments have an experiment {experiment_key!r}"
        hint = f"add ?environment= with one of {', '.join(sorted(found))}"
        raise InvalidInputError(message, field="environment", hint=hint)
    return found[0]


def environment_to_change(session: Session, project_key: str, experiment_key: str) -> str:
    """Return the environment of an experiment, in which the caller may do what the view does."""
    with as_seen(session):
        environment_key = environment_of(session, project_key, experiment_key)
        environment = services.get_environment(session, project_key, environment_key)
    require_in(session, [environment])
    return environment_key


def environment_names(session: Session, project_key: str) -> dict[int, str]:
    """Give the key of every environment by its id."""
    return {e.id or 0: e.key for e in services.list_environments(session, project_key)}


def show_experiment(
    experiment: Experiment, names: dict[int, str], look_counts: dict[int, int]
) -> dict[str, Any]:
    """Give an experiment as it is listed: where it stands, without its plan."""
    review = review_of(experiment.state, experiment.override, now())
    return {
        "key": experiment.key,
        "flag": experiment.flag_key,
        "environment": names[experiment.environment_id],
        "state": experiment.state,
        "verdict": experiment.verdict,
        "winner": experiment.winner,
        "sentence": experiment.note,
        "coverage": experiment.coverage,
        "dropped": experiment.dropped,
        "looks": look_counts.get(experiment.id or 0, 0),
        "plan_hash": experiment.plan_hash,
        "created_at": experiment.created_at,
        "sealed_at": experiment.sealed_at,
        "started_at": experiment.started_at,
        "next_look_at": experiment.next_look_at,
        "next_ramp_at": experiment.next_ramp_at,
        "verdict_at": experiment.verdict_at,
        "confirm_by": experiment.confirm_by,
        "explain_by": experiment.explain_by,
        "ended_at": experiment.ended_at,
        "closed_at": experiment.closed_at,
        "learned": {
            "text": experiment.learned,
            "by": experiment.learned_by,
            "at": experiment.learned_at,
        }
        if experiment.learned
        else None,
        "verdicts": experiment.verdicts,
        "held_cause": experiment.held_cause,
        "extension_seconds": experiment.extension_seconds,
        "override": experiment.override,
        "review": None if review is None else review.to_document(),
        "request": experiment.request,
        "realised": experiment.realised,
    }


def show_card(session: Session, experiment: Experiment) -> Response:
    """Answer with a card as plain text."""
    card = experiments.get_card(session, experiment, now=now())
    return Response(card_text(card) + "\n", content_type="text/plain; charset=utf-8")
