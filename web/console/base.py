"""The console's blueprint: what every page knows, how values are written, and the static files."""

from __future__ import annotations

import datetime as dt
import functools
import gzip
import hashlib
import json
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlmodel import Session

from flags import services
from flags.models import Environment, Project
from web.auth import service
from web.auth.guard import find_caller, guard, public
from web.auth.roles import Role
from web.security import csrf_token
from web.transactions import now, reading

_WEB = Path(__file__).resolve().parents[1]
_STATIC = _WEB / "static"
_FOR_EVER = "public, max-age=31536000, immutable"
_DAY_SECONDS = 86400

blueprint = Blueprint("console", __name__, template_folder=str(_WEB / "templates"))
blueprint.before_request(guard)


@functools.lru_cache(maxsize=64)
def _asset(name: str) -> tuple[bytes, bytes, str, str] | None:
    """Read a static file once: its bytes, the same compressed, its type, and its version."""
    path = (_STATIC / name).resolve()
    if not path.is_relative_to(_STATIC) or not path.is_file():
        return None
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    version = hashlib.sha256(content).hexdigest()[:12]
    return content, gzip.compress(content, 9, mtime=0), kind, version


@blueprint.get("/static/<path:name>")
@public
def static(name: str) -> ResponseReturnValue:
    """Serve a file of ours; with its version in the address it never changes."""
    asset = _asset(name)
    if asset is None:
        abort(404)
    content, compressed, kind, version = asset
    response = Response(content, content_type=kind)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response = Response(compressed, content_type=kind)
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    fixed = request.args.get("v") == version
    response.headers["Cache-Control"] = _FOR_EVER if fixed else "no-cache"
    response.set_etag(version)
    return response.make_conditional(request)


def asset_url(name: str) -> str:
    """Address of a static file with its version, so that browsers may keep it for ever."""
    asset = _asset(name)
    return url_for("console.static", name=name, v=None if asset is None else asset[3])


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


def place(session: Session, project_key: str, environment_key: str) -> Environment:
    """Find where a page is, and remember it for the page's frame."""
    project = services.get_project(session, project_key)
    environment = services.get_environment(session, project_key, environment_key)
    remember_place(session, project, environment)
    return environment


def remember_place(session: Session, project: Project, environment: Environment) -> None:
    """Give the frame of the page its project, and what one can switch to."""
    g.place = {
        "project": project,
        "environment": environment,
        "environments": services.list_environments(session, project.key),
        "projects": services.list_projects(session),
    }


def back_to(location: str) -> ResponseReturnValue:
    """Send the browser on after a form, so that a reload repeats nothing."""
    return redirect(location, code=303)


@blueprint.get("/")
@public
def home() -> ResponseReturnValue:
    """Lead to the first page that makes sense: set-up, sign-in, or the flags."""
    with reading() as session:
        if not service.is_set_up(session):
            return redirect(url_for("console.setup"))
        if find_caller() is None:
            return redirect(url_for("console.login"))
        projects = services.list_projects(session)
        if not projects:
            return show("empty.html")
        project = projects[0]
        environments = services.list_environments(session, project.key)
    return redirect(
        url_for(
            "console.list_flags",
            project_key=project.key,
            environment_key=environments[0].key,
        )
    )


@blueprint.app_context_processor
def _frame() -> dict[str, Any]:
    caller = g.get("caller")
    role = caller.role if caller is not None else None
    return {
        "asset_url": asset_url,
        "csrf_token": csrf_token,
        "caller": caller,
        "may_edit": role is not None and role.covers(Role.EDITOR),
        "may_administer": role is not None and role.covers(Role.ADMIN),
        "place": g.get("place"),
        "theme": _theme(),
        "now": now(),
    }


def _theme() -> str:
    chosen = request.cookies.get("fs_theme", "auto")
    return chosen if chosen in {"light", "dark"} else "auto"


@blueprint.app_template_filter("ago")
def ago(moment: dt.datetime | None) -> Markup:
    """Write a time as people say it, with the exact one a hover away."""
    if moment is None:
        return Markup("–")
    exact = moment.astimezone(dt.UTC)
    seconds = (now() - exact).total_seconds()
    if abs(seconds) < 5:
        words = "just now"
    elif seconds < 0:
        words = f"in {_span(-seconds)}"
    else:
        words = f"{_span(seconds)} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(timespec="seconds"), f"{exact:%Y-%m-%d %H:%M:%S} UTC", words
    )


def _span(seconds: float) -> str:
    for unit, size in (("day", _DAY_SECONDS), ("h", 3600), ("min", 60)):
        if seconds >= size:
            count = int(seconds // size)
            plural = "s" if unit == "day" and count != 1 else ""
            return f"{count} {unit}{plural}"
    return f"{int(seconds)} s"


@blueprint.app_template_filter("value")
def value_words(value: Any) -> str:
    """Write a flag's value as JSON."""
    return json.dumps(value, ensure_ascii=False)


@blueprint.app_template_filter("query")
def query_string(values: dict[str, Any]) -> str:
    """Write the query part of an address."""
    return urlencode({name: value for name, value in values.items() if value})
