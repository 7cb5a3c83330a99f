"""People: who may do what in the project and in each of its environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from flags import services
from flags.allowances import Allowance
from flags.errors import FlagstoneError
from flags.models import Environment
from web.auth import service
from web.auth.allowed import member_allowances
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show, status_of
from web.console.budgets import budget_words, read_budget
from web.transactions import reading, transaction

_PEOPLE = "/projects/<project_key>/environments/<environment_key>/people"
_UNSAID = "unsaid"
PAGE = 50
# What people read for a role, from least to most.
WORDS = {
    Role.NONE: "nothing",
    Role.VIEWER: "read",
    Role.EDITOR: "edit",
    Role.APPROVER: "edit and approve",
    Role.ADMIN: "everything",
}


@blueprint.get(_PEOPLE)
@needs(Role.ADMIN, of="project")
def list_people(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List who may do what where."""
    return _page(project_key, environment_key)


@blueprint.post(_PEOPLE)
@needs(Role.ADMIN, of="project")
def set_role(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say what one person may do in the project or in one environment, or take it back."""
    form = request.form.to_dict()
    email = form.get("email", "")
    try:
        with transaction() as session:
            project = services.get_project(session, project_key)
            environment = None
            # No key of an environment is a star.
            if form.get("where", "*") != "*":
                environment = services.get_environment(session, project_key, form["where"])
            said = who_and_when()
            by: dict[str, Any] = {"by": said["actor"], "now": said["now"]}
            if form.get("role") != _UNSAID:
                role = service.parse_role(form.get("role", ""))
                budget = read_budget(form)
                service.set_role(session, project, environment, email, role, budget=budget, **by)
            else:
                service.remove_role(session, project, environment, email, **by)
    except FlagstoneError as error:
        return _page(project_key, environment_key, form=form, problem=error)
    return back_to(
        url_for("console.list_people", project_key=project_key, environment_key=environment_key)
    )


def _page(
    project_key: str,
    environment_key: str,
    *,
    form: dict[str, str] | None = None,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    words, after = (request.args.get(name, "").strip()[:254] for name in ("words", "after"))
    with reading() as session:
        place(session, project_key, environment_key)
        project = services.get_project(session, project_key)
        environments = services.list_environments(session, project_key)
        members = _sought(service.list_members(session, project), words)
        found = [each for each in members if each.user.email > after]
        left = member_allowances(session, found[:PAGE], environments)
    return show(
        "people.html",
        status=status_of(problem),
        rows=[_row(each, environments, left.get(each.user.email, {})) for each in found[:PAGE]],
        sought=words,
        after=after,
        more=found[PAGE - 1].user.email if len(found) > PAGE else None,
        many=bool(words) or len(members) > PAGE,
        environments=environments,
        words=WORDS,
        form=form or {},
        problem=problem,
    )


def _sought(members: Sequence[service.Member], words: str) -> list[service.Member]:
    """Give those whose address or name has these words, by address."""
    # Databases order addresses in their own ways; pages need one order.
    everybody = sorted(members, key=lambda each: each.user.email)
    wanted = words.casefold()
    return [
        each for each in everybody if wanted in f"{each.user.email}\n{each.user.name}".casefold()
    ]


def _row(
    member: service.Member, environments: list[Environment], left: Mapping[str, Allowance]
) -> dict[str, Any]:
    return {
        "user": member.user,
        "everywhere": Role(member.user.role),
        "role": member.role,
        "limits": budget_words(member.budgets.get(None)),
        "cells": [
            {
                "environment": each,
                "role": member.rights.in_environment(each.project_id, each.id or 0),
                "own": each.id in member.environments,
                "limits": budget_words(member.budgets.get(each.id)),
                "left": left[each.key].words if each.key in left else "",
            }
            for each in environments
        ],
    }
