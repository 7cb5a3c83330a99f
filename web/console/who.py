"""What does this user see: all flags, or one with its reasons, now or then, everywhere."""

from __future__ import annotations

import json
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from flags.errors import FlagstoneError, InvalidInputError
from flags.plain import check_plain
from web.api.times import parse_instant
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import blueprint, place, show, status_of
from web.console.forms import field_of
from web.evaluation import Question, answer_everywhere
from web.transactions import now, reading

# A page of more says nothing to anybody; the API gives all.
MOST_SHOWN = 200
_PAGE = "/projects/<project_key>/environments/<environment_key>/who"


@blueprint.get(_PAGE)
@needs(Role.VIEWER)
def ask_what_somebody_gets(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask who, when and for which flag; an address may name flag and time, and never a person."""
    form = {name: request.args.get(name, "")[:256] for name in ("flag", "at")}
    return _page(project_key, environment_key, form)


@blueprint.post(_PAGE)
@needs(Role.VIEWER)
def show_what_somebody_gets(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say what they get and why, in every environment."""
    form = request.form.to_dict()
    try:
        asked = _question(form)
        with reading() as session:
            place(session, project_key, environment_key)
            found = answer_everywhere(session, project_key, asked)
    except FlagstoneError as error:
        return _page(project_key, environment_key, form, problem=error)
    rows = sorted({item["flag"] for each in found for item in each["items"]})
    by_flag = [{item["flag"]: item for item in each["items"]} for each in found]
    return _page(
        project_key,
        environment_key,
        form,
        asked=asked,
        found=found,
        rows=[(key, [each.get(key) for each in by_flag]) for key in rows[:MOST_SHOWN]],
        hidden=len(rows) - MOST_SHOWN,
    )


def _question(form: dict[str, str]) -> Question:
    context = _object(form.get("attributes", ""), "attributes") or {}
    who = form.get("who", "").strip()
    # One box for both: a key is text, and all that is known is an object.
    if who.startswith("{"):
        context |= _object(who, "who") or {}
    elif who:
        context["targetingKey"] = who
    check_plain(context, "who")
    text = form.get("at", "").strip()
    at = (
        parse_instant(text.removesuffix(" UTC") + "Z" * text.endswith(" UTC"), field="at")
        if text
        else now()
    )
    flag = form.get("flag", "").strip() or None
    return Question(flag, context, at, now(), explained=True, most_explained=MOST_SHOWN)


def _object(text: str, field: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        message = (
            f"the {'attributes are' if field == 'attributes' else 'context is'} not a JSON object"
        )
        raise InvalidInputError(message, field=field, hint='such as {"country": "DE"}')
    check_plain(found, field)
    return found


def _page(
    project_key: str,
    environment_key: str,
    form: dict[str, str],
    *,
    problem: FlagstoneError | None = None,
    **values: Any,
) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
    return show(
        "who.html",
        status=status_of(problem),
        form=form,
        problem=problem,
        wrong=None if problem is None else field_of(problem.field),
        project_key=project_key,
        environment_key=environment_key,
        **values,
    )
