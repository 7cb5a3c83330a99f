"""Layers, holdout and audits: who has which share of all units, and how often nothing was wrong."""

from __future__ import annotations

from collections.abc import Callable

from flask import request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape
from sqlmodel import Session

from experiments.moves import holdout, layers
from experiments.moves.layers import Layer
from experiments.telling import audits, readings
from flags.errors import FlagstoneError, InvalidInputError
from flags.ranges import BUCKETS
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show, status_of
from web.transactions import reading, transaction

_PLACE = "/projects/<project_key>/environments/<environment_key>"
AUDITS_SHOWN = 50


@blueprint.get(f"{_PLACE}/layers")
@needs(Role.VIEWER)
def list_layers(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Show every layer as a bar, the holdout with its effect, and the audits."""
    return _page(project_key, environment_key)


@blueprint.post(f"{_PLACE}/layers")
@needs(Role.EDITOR)
def create_layer(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Make a layer."""

    def write(session: Session) -> None:
        layers.put_layer(
            session,
            project_key,
            environment_key,
            request.form.get("key", "").strip(),
            description=request.form.get("description", "").strip(),
            **who_and_when(),
        )

    return _done(project_key, environment_key, write)


@blueprint.post(f"{_PLACE}/holdout")
@needs(Role.ADMIN)
def change_holdout(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Hold a share of all units out of everything, more of them, or end it."""

    def write(session: Session) -> None:
        here = (session, project_key, environment_key)
        if request.form.get("do") == "end":
            holdout.end_holdout(*here, **who_and_when())
        else:
            share = _share(request.form.get("percent", ""))
            holdout.set_holdout(*here, share=share, **who_and_when())

    return _done(project_key, environment_key, write)


def _share(percent: str) -> float:
    try:
        return float(percent.replace(",", ".").strip().removesuffix("%")) / 100
    except ValueError:
        message = f"{percent[:20]!r} is no number of per cent"
        raise InvalidInputError(message, field="share", hint="such as 5") from None


def _done(
    project_key: str, environment_key: str, write: Callable[[Session], None]
) -> ResponseReturnValue:
    try:
        with transaction() as session:
            write(session)
    except FlagstoneError as error:
        form = request.form.to_dict()
        return _page(project_key, environment_key, problem=error, form=form)
    return back_to(
        url_for("console.list_layers", project_key=project_key, environment_key=environment_key)
    )


def _page(
    project_key: str,
    environment_key: str,
    *,
    problem: FlagstoneError | None = None,
    form: dict[str, str] | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        environment = place(session, project_key, environment_key)
        found = layers.list_layers(session, environment)
        row = holdout.current_holdout(session, environment)
        audited = audits.list_audits(session, environment.id)
        effect = None if row is None else readings.newest_effect(session, row)
        intact = row is None or holdout.is_intact(session, environment, row)
    by_layer = {
        each.key: audits.tally([one for one in audited if one.layer == each.key]) for each in found
    }
    return show(
        "layers.html",
        status=status_of(problem),
        project_key=project_key,
        environment_key=environment_key,
        layers=[(each, bar_of(each), by_layer[each.key]) for each in found],
        holdout=row,
        share=0.0 if row is None else row.buckets / BUCKETS,
        holdout_flag=holdout.FLAG,
        intact=intact,
        effect=effect,
        audits=audited[:AUDITS_SHOWN],
        more_audits=len(audited) - AUDITS_SHOWN,
        tally=audits.tally(audited),
        promised=audits.PROMISED,
        problem=problem,
        form=form or {},
    )


def bar_of(layer: Layer) -> Markup:
    """Draw a layer's buckets: one colour for each who has some, the free ones empty."""
    held = ", ".join(f"{each.experiment} {each.share:.4g}" for each in layer.holders) or "nobody"
    parts = [
        f'<rect x="{low / 10:.1f}" y="0" width="{(high - low) / 10:.1f}" height="20" '
        f'class="fs-lane fs-lane-{number % 4}"><title>{escape(each.experiment)}</title></rect>'
        for number, each in enumerate(layer.holders)
        for low, high in each.lane.ranges
    ]
    said = f"Held by {held}; {100 * layer.free_share:.4g} % free"
    return Markup(  # noqa: S704  what people wrote is escaped above
        f'<svg viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" class="fs-lanes" '
        f'aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )
