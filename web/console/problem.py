"""Errors as pages: what happened, what to do, and a way back."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from flask import g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from flags.errors import FlagstoneError
from web.auth.guard import find_caller
from web.console.base import place, show
from web.problems import Problem
from web.transactions import reading

UNAUTHORIZED = 401
SERVER_ERROR = 500


def render_problem(problem: Problem) -> ResponseReturnValue:
    """Show a problem; somebody who is not signed in is asked to, and comes back."""
    # A header that is no good will not be any better after signing in.
    if problem.status == UNAUTHORIZED and "Authorization" not in request.headers:
        return _ask_to_sign_in()
    if problem.status < SERVER_ERROR:
        _remember_place()
    return show("problem.html", status=problem.status, problem=problem, back=_way_back())


def _ask_to_sign_in() -> ResponseReturnValue:
    if request.headers.get("HX-Request") == "true":
        # A fragment must not swallow the sign-in page: the whole page goes there.
        wanted = urlsplit(request.headers.get("HX-Current-URL", "")).path or "/"
        return "", UNAUTHORIZED, {"HX-Redirect": url_for("console.login", next=wanted)}
    wanted = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return redirect(url_for("console.login", next=wanted))


def _remember_place() -> None:
    """Give the page of a problem the frame of the project in which it happened."""
    where = request.view_args or {}
    if "place" in g or not {"project_key", "environment_key"} <= set(where):
        return
    with contextlib.suppress(FlagstoneError), reading() as session:
        caller = find_caller()
        if caller is not None and caller.project_id is None:
            place(session, where["project_key"], where["environment_key"])


def _way_back() -> str:
    """Give the page of ours that the visitor came from, else the front page."""
    try:
        came_from = urlsplit(request.referrer or "")
    except ValueError:
        return "/"
    if came_from.netloc != request.host or not came_from.path.startswith("/"):
        return "/"
    if came_from.path.startswith("//"):
        return "/"
    return came_from.path + (f"?{came_from.query}" if came_from.query else "")
