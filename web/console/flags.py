"""Flags: a new one, and the flag set as it was published once."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from flags import services
from flags.errors import FlagstoneError
from flags.revisions import get_revision, load_flag_set
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import (
    LARGEST_NUMBER,
    back_to,
    blueprint,
    place,
    show,
    status_of,
)
from web.console.forms import FLAG_TYPES, field_of, flag_draft
from web.transactions import reading, transaction

_PLACE = "/projects/<project_key>/environments/<environment_key>"


@blueprint.get(f"{_PLACE}/new-flag")
@needs(Role.EDITOR, of="project")
def new_flag(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask for a flag."""
    form = {"type": "boolean", "key": request.args.get("key", "")}
    return _new_flag_page(project_key, environment_key, form)


@blueprint.post(f"{_PLACE}/new-flag")
@needs(Role.EDITOR, of="project")
def create_flag(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Create a flag; it is off everywhere."""
    form = request.form.to_dict()
    try:
        with transaction() as session:
            # The form belongs to a place, although the flag will be in every environment.
            services.get_environment(session, project_key, environment_key)
            flag = services.create_flag(session, project_key, flag_draft(form), **who_and_when())
    except FlagstoneError as error:
        return _new_flag_page(project_key, environment_key, form, error)
    return back_to(
        url_for(
            "console.show_flag",
            project_key=project_key,
            environment_key=environment_key,
            flag_key=flag.key,
        )
    )


def _new_flag_page(
    project_key: str,
    environment_key: str,
    form: dict[str, str],
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
    return show(
        "flags/new.html",
        status=status_of(problem),
        form=form,
        problem=problem,
        wrong=None if problem is None else field_of(problem.field),
        types=FLAG_TYPES,
    )


@blueprint.get(f"{_PLACE}/revisions/<int(max={LARGEST_NUMBER}):number>")
@needs(Role.VIEWER)
def show_revision(project_key: str, environment_key: str, number: int) -> ResponseReturnValue:
    """Show the flag set as it was published then."""
    with reading() as session:
        environment = place(session, project_key, environment_key)
        revision = get_revision(session, environment.id or 0, number)
        document = load_flag_set(session, environment.id or 0, number)
    return show("flags/revision.html", revision=revision, document=document)
