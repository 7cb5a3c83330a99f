"""Set-up of the first administrator, sign-in and sign-out."""

from __future__ import annotations

import unicodedata

from flask import Response, make_response, request, url_for
from flask.typing import ResponseReturnValue

from flags.errors import FlagstoneError, InvalidInputError
from web.auth import service
from web.auth.guard import (
    clear_cookie,
    end_present_session,
    find_caller,
    needs,
    public,
    set_cookie,
    sign_in,
)
from web.auth.roles import Role
from web.console.base import back_to, blueprint, show, status_of
from web.console.paths import own_path
from web.console.single_sign_on import ways
from web.security import check_same_site, count_attempt
from web.transactions import now, reading, transaction


@blueprint.get("/setup")
@public
def setup() -> ResponseReturnValue:
    """Ask for the first administrator."""
    with reading() as session:
        if service.is_set_up(session):
            return back_to(url_for("console.login"))
    return show("setup.html", form={"code": request.args.get("code", "")}, problem=None)


@blueprint.post("/setup")
@public
def complete_setup() -> ResponseReturnValue:
    """Create the first administrator and project, and sign in."""
    check_same_site()
    form = {name: request.form.get(name, "") for name in ("code", "email", "project", "password")}
    try:
        count_attempt("setup")
        if form["password"] != request.form.get("password_again", ""):
            message = "the two passwords differ"
            raise InvalidInputError(message, field="password_again")
        first = service.FirstRun(
            email=form["email"],
            password=form["password"],
            project_key=_key_of(form["project"]),
            project_name=form["project"].strip() or "Default",
        )
        with transaction() as session:
            user = service.complete_setup(session, form["code"], first, now=now())
            end_present_session()
            session_id = service.start_session(session, user, now=now())
    except FlagstoneError as error:
        form.pop("password")
        return show("setup.html", status=status_of(error), form=form, problem=error)
    return _enter(session_id, "/")


def _key_of(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.strip().lower())
    letters = [c for c in plain if not unicodedata.combining(c)]
    words = "".join(c if c.isascii() and c.isalnum() else "-" for c in letters)
    return "-".join(part for part in words.split("-") if part)[:64] or "default"


@blueprint.get("/login")
@public
def login() -> ResponseReturnValue:
    """Ask who it is."""
    with reading() as session:
        if not service.is_set_up(session):
            return back_to(url_for("console.setup"))
    if find_caller() is not None:
        return back_to("/")
    following = own_path(request.args.get("next"))
    return show("login.html", email="", problem=None, next=following, **ways())


@blueprint.post("/login")
@public
def do_login() -> ResponseReturnValue:
    """Check the password and open a session."""
    check_same_site()
    email = request.form.get("email", "")
    following = own_path(request.form.get("next"))
    try:
        _user, session_id = sign_in(email, request.form.get("password", ""))
    except FlagstoneError as error:
        return show(
            "login.html",
            status=status_of(error),
            email=email,
            problem=error,
            next=following,
            **ways(),
        )
    return _enter(session_id, following)


@blueprint.post("/logout")
@needs(Role.VIEWER)
def logout() -> ResponseReturnValue:
    """End the session."""
    end_present_session()
    response = make_response(back_to(url_for("console.login")))
    clear_cookie(response)
    return response


def _enter(session_id: str, location: str) -> Response:
    response = make_response(back_to(location))
    set_cookie(response, session_id)
    return response
