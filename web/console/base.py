"""The console's blueprint: where a page is, what its frame knows, and where one goes from there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from flags import notices, services
from flags.errors import FlagstoneError, NotFoundError
from flags.models import Environment, Project
from web.auth import service
from web.auth.caller import Caller
from web.auth.guard import current_caller, find_caller, guard, needs, public
from web.auth.roles import Role
from web.console.navigation import endpoint_of, menu
from web.console.paths import FlagKeyConverter
from web.problems import problem_of
from web.security import csrf_token
from web.transactions import now, reading

WEB = Path(__file__).resolve().parents[1]
# No database holds more; a larger number in an address would be an error of its own.
LARGEST_NUMBER = 2**31 - 1

blueprint = Blueprint("console", __name__, template_folder=str(WEB / "templates"))
blueprint.before_request(guard)


@blueprint.record_once
def _know_flag_keys(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["flag_key"] = FlagKeyConverter


def wants_fragment() -> bool:
    """Tell whether htmx asks for a piece of the page (a restored history entry wants it whole)."""
    return (
        request.headers.get("HX-Request") == "true"
        and request.headers.get("HX-History-Restore-Request") != "true"
        and request.headers.get("HX-Boosted") != "true"
    )


def show(template: str, *, status: int = 200, **values: Any) -> ResponseReturnValue:
    """Render a page."""
    response = Response(render_template(template, **values), status, content_type="text/html")
    response.headers["Vary"] = "HX-Request"
    return response


def attachment(name: str, text: str, content_type: str) -> Response:
    """Give a text as a file to keep."""
    response = Response(text, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def status_of(problem: FlagstoneError | None) -> int:
    """Give the status of a page that carries a problem, or none."""
    return 200 if problem is None else problem_of(problem).status


def unchanged(version: str) -> bool:
    """Tell whether a page that refreshes itself shows this version already.

    The version is good for a minute: a page that says "3 s ago" must not say so for hours.
    """
    return wants_fragment() and request.args.get("seen") == version


def version_of(*parts: object) -> str:
    """Name what a page shows, so that it is drawn anew only when there is something new."""
    minute = int(now().timestamp() // 60)
    return "-".join(str(part) for part in (*parts, minute))


def place(session: Session, project_key: str, environment_key: str) -> Environment:
    """Find where a page is, and remember it for the page's frame."""
    project = services.get_project(session, project_key)
    environments = services.list_environments(session, project_key)
    environment = services.get_environment(session, project_key, environment_key)
    g.place = {
        "project": project,
        "environment": environment,
        "environments": environments,
        "projects": _projects(session),
        "unread": 0 if wants_fragment() else _unread(session, project, environments),
    }
    return environment


def _unread(session: Session, project: Project, environments: list[Environment]) -> int:
    """Count the news that the caller has not read, for the frame of every page."""
    return notices.count_unread(
        session,
        project,
        current_caller().actor,
        environments=[each.key for each in environments],
    )


def _projects(session: Session) -> list[Project]:
    """Give the projects that the caller may see."""
    rights = current_caller().rights
    return [
        each
        for each in services.list_projects(session)
        if rights.highest_in(each.id or 0).covers(Role.VIEWER)
    ]


def before_number() -> int | None:
    """Read ``before``: where the page of a list ends that is asked for, newest first."""
    before = request.args.get("before", type=int)
    return None if before is None else min(max(before, 0), LARGEST_NUMBER)


def seen_version(field: str = "version") -> int | None:
    """Read which version of a thing whoever sent the form saw; none if the form does not say."""
    text = request.form.get(field, "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def back_to(location: str) -> ResponseReturnValue:
    """Send the browser on after a form, so that a reload repeats nothing."""
    return redirect(location, code=303)


@blueprint.get("/")
@public
def home() -> ResponseReturnValue:
    """Lead to the first page that makes sense: set-up, sign-in, the first flag, or today."""
    with reading() as session:
        if not service.is_set_up(session):
            return redirect(url_for("console.setup"))
        if find_caller() is None:
            return redirect(url_for("console.login"))
        projects = _projects(session)
        # Where no flag is yet, the list of flags says how to begin.
        begun = bool(projects) and services.count_flags(session, projects[0].key) > 0
    tab = "today" if begun else ""
    return _enter_project(projects[0].key, tab=tab) if projects else show("empty.html")


@blueprint.get("/switch")
@needs(Role.VIEWER)
def switch() -> ResponseReturnValue:
    """Go to another environment (``project/environment``) or project, to the same kind of page."""
    project_key, _, environment_key = request.args.get("to", "").partition("/")
    tab = request.args.get("tab", "")
    if project_key not in _keys_of_projects():
        message = f"there is no project {project_key[:80]!r}"
        raise NotFoundError(message, field="project")
    return _enter_project(project_key, environment_key, tab)


def _keys_of_projects() -> set[str]:
    with reading() as session:
        return {each.key for each in _projects(session)}


def _enter_project(
    project_key: str, environment_key: str = "", tab: str = ""
) -> ResponseReturnValue:
    with reading() as session:
        environments = services.list_environments(session, project_key)
    if not environments:
        return show("empty.html")
    known = {each.key for each in environments}
    return redirect(
        url_for(
            endpoint_of(tab),
            project_key=project_key,
            environment_key=environment_key if environment_key in known else environments[0].key,
        )
    )


@blueprint.app_context_processor
def _frame() -> dict[str, Any]:
    caller = g.get("caller")
    here, in_project = _roles_here(caller)
    return {
        "csrf_token": csrf_token,
        "caller": caller,
        "may_edit": here.covers(Role.EDITOR),
        "may_approve": here.covers(Role.APPROVER),
        "may_administer": here.covers(Role.ADMIN),
        # What belongs to no environment: metrics, policies, keys, people.
        "may_edit_project": in_project.covers(Role.EDITOR),
        "may_administer_project": in_project.covers(Role.ADMIN),
        "menu": menu(here, in_project),
        "place": g.get("place"),
        "theme": _theme(),
        "now": now(),
    }


def _roles_here(caller: Caller | None) -> tuple[Role, Role]:
    """Give the caller's roles in the environment of the page, and in its project."""
    where = g.get("place")
    if caller is None:
        return Role.NONE, Role.NONE
    if where is None:
        return caller.role, caller.role
    project_id = where["project"].id
    return (
        caller.rights.in_environment(project_id, where["environment"].id),
        caller.rights.in_project(project_id),
    )


def _theme() -> str:
    chosen = request.cookies.get("fs_theme", "auto")
    return chosen if chosen in {"light", "dark"} else "auto"
