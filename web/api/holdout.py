"""The global holdout of an environment, and the standing audits of its layers."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from experiments.models import HoldoutRow
from experiments.moves import holdout
from experiments.telling import audits, readings
from flags import services
from flags.models import Environment
from flags.ranges import BUCKETS
from web.api.blueprint import blueprint
from web.api.render import WholeQuery, document, etag_of, upon_expected, with_revision
from web.api.shapes import HOLDOUT, OBJECT, STANDING_AUDIT, list_of
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes, waits
from web.transactions import reading, transaction

_PLACE = "/projects/<project_key>/environments/<environment_key>"


class HoldoutBody(Body):
    """Which share of all units is held out of everything."""

    share: Annotated[
        float,
        Field(
            strict=False,
            json_schema_extra={"exclusiveMinimum": 0, "maximum": holdout.MAX_SHARE},
        ),
    ]


@blueprint.get(f"{_PLACE}/holdout")
@needs(Role.VIEWER)
@gives(HOLDOUT, etag=True)
def get_holdout(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Return the holdout, and what all that shipped has brought against it; ETag as of layers."""
    read_query(Query)
    with reading() as session:
        return _answer(session, project_key, environment_key)


@blueprint.put(f"{_PLACE}/holdout")
@needs(Role.ADMIN)
@takes(body=HoldoutBody, if_match=True)
@gives(HOLDOUT, etag=True)
@waits
def set_holdout(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Hold a share of all units out of everything, or a larger one."""
    body = read_body(HoldoutBody)
    with transaction() as session:
        holdout.set_holdout(
            session, project_key, environment_key, share=body.share, **upon_expected()
        )
        return _published(session, project_key, environment_key)


@blueprint.delete(f"{_PLACE}/holdout")
@needs(Role.ADMIN)
@takes(if_match=True)
@gives(HOLDOUT, etag=True)
@waits
def end_holdout(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Let everybody in again: all rules are published without the holdout, in one revision."""
    with transaction() as session:
        holdout.end_holdout(session, project_key, environment_key, **upon_expected())
        return _published(session, project_key, environment_key)


def _published(session: Session, project_key: str, environment_key: str) -> Response:
    environment = services.get_environment(session, project_key, environment_key)
    shown = _answer(session, project_key, environment_key)
    return with_revision(shown, session, environment.id or 0)


@blueprint.get(f"{_PLACE}/audits")
@needs(Role.VIEWER)
@takes(query=WholeQuery)
@gives(list_of(STANDING_AUDIT, tally=OBJECT))
def list_audits(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the standing audits of the environment's layers, the newest period first."""
    query = read_query(WholeQuery)
    with reading() as session:
        environment = services.get_environment(session, project_key, environment_key)
        found = audits.list_audits(session, environment.id)
    items = [
        {
            "layer": each.layer,
            "period": each.period,
            "looks": each.looks,
            "at": each.at,
            "units": each.units,
            "metrics": list(each.metrics),
            "verdict": each.verdict,
            "over": each.is_over,
            "counts": each.counts,
            "false_verdict": each.is_false,
        }
        for each in found
    ]
    return document(query.page(items, None) | {"tally": audits.tally(found).to_document()})


def _answer(session: Session, project_key: str, environment_key: str) -> Response:
    environment = services.get_environment(session, project_key, environment_key)
    row = holdout.current_holdout(session, environment)
    if row is None:
        shown = {"on": False, "share": 0.0, "flag": holdout.FLAG}
        return document(shown, etag=etag_of(holdout.NONE, shown))
    shown = _show(session, environment, row)
    return document(shown, etag=etag_of(row.version or 0, shown))


def _show(session: Session, environment: Environment, row: HoldoutRow) -> dict[str, Any]:
    newest = readings.newest_effect(session, row)
    return {
        "on": True,
        "share": row.buckets / BUCKETS,
        "flag": holdout.FLAG,
        "rule": holdout.rule_id(row),
        "version": row.version,
        "started_at": row.started_at,
        "changed_at": row.changed_at,
        "intact": holdout.is_intact(session, environment, row),
        "effect": None if newest is None else {"at": newest.at, **newest.data},
    }
