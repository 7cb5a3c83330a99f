"""How careful an environment is: production, approvals, what must be on elsewhere, samples."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from flags.approvals import MOST_APPROVALS, MOST_HOURS, protect
from flags.context_samples import is_sampled
from flags.errors import FlagstoneError, InvalidInputError
from flags.sampling import switch_sample
from flags.services import list_environments
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show, status_of
from web.transactions import reading, transaction

_SETTINGS = "/projects/<project_key>/environments/<environment_key>/settings"


@blueprint.get(_SETTINGS)
@needs(Role.VIEWER)
def show_environment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Show how careful an environment is, beside the project's others."""
    return _page(project_key, environment_key)


@blueprint.post(_SETTINGS)
@needs(Role.ADMIN)
def set_environment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say how careful it is, all of it in one transaction."""
    form = request.form
    here = (project_key, environment_key)
    try:
        needed, hours = _number("approvals_needed"), _number("after_hours")
        with transaction() as session:
            environment = protect(
                session,
                *here,
                production=form.get("production") == "yes",
                needed=needed,
                after=form.get("after", ""),
                after_hours=hours,
                **who_and_when(),
            )
            on = form.get("sample") == "yes"
            if on != environment.sample_contexts:
                switch_sample(session, *here, on=on, **who_and_when())
    except FlagstoneError as error:
        return _page(*here, problem=error)
    return back_to(
        url_for(
            "console.show_environment",
            project_key=project_key,
            environment_key=environment_key,
            saved="yes",
        )
    )


def _number(field: str) -> int:
    text = request.form.get(field, "").strip() or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        message = f"{text[:40]!r} is not a whole number"
        raise InvalidInputError(message, field=field)
    return int(text)


def _page(
    project_key: str, environment_key: str, *, problem: FlagstoneError | None = None
) -> ResponseReturnValue:
    with reading() as session:
        environment = place(session, project_key, environment_key)
        everywhere = list_environments(session, project_key)
        sampled = is_sampled(session, environment.id or 0)
    form = request.form if problem is not None else None
    return show(
        "environment.html",
        status=status_of(problem),
        environment=environment,
        everywhere=everywhere,
        others=[each for each in everywhere if each.id != environment.id],
        sampled=sampled,
        most=MOST_APPROVALS,
        most_hours=MOST_HOURS,
        saved=request.args.get("saved") == "yes" and problem is None,
        form=form,
        wrong=None if problem is None else problem.field,
        problem=problem,
        project_key=project_key,
        environment_key=environment_key,
    )
