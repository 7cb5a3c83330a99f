"""Errors as pages: what happened, what to do, and a way back."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from web.console.base import show
from web.problems import Problem

UNAUTHORIZED = 401


def render_problem(problem: Problem) -> ResponseReturnValue:
    """Show a problem; somebody who is not signed in is asked to, and comes back."""
    if problem.status == UNAUTHORIZED:
        if request.headers.get("HX-Request") == "true":
            # A fragment must not swallow the sign-in page: the whole page goes there.
            return "", 401, {"HX-Redirect": url_for("console.login")}
        wanted = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return redirect(url_for("console.login", next=wanted))
    return show("problem.html", status=problem.status, problem=problem, back=_way_back())


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
