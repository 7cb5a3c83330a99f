"""Who is asking, found once per request: a ``usr`` key in a header, or a browser's session.

Every view says what it needs with :func:`needs` or :func:`public`; one that says neither is shut.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, cast

from flask import Response, current_app, g, request
from sqlmodel import Session

from flags.actor import Actor
from flags.errors import NotAllowedError
from flags.request_rows import Writing
from flags.services import get_project
from web.auth import service
from web.auth.caller import Caller
from web.auth.login import hash_session_id
from web.auth.models import User
from web.auth.roles import Role
from web.errors import UnauthenticatedError
from web.security import check_origin, check_same_site, count_attempt, unknown_accounts
from web.transactions import current_database, now, reading, transaction

SESSION_COOKIE = "fs_session"
_NEEDS = "flagstone_needs"

ViewT = TypeVar("ViewT", bound=Callable[..., Any])


def needs(role: Role) -> Callable[[ViewT], ViewT]:
    """Open a view to callers of that role or above."""

    def mark(view: ViewT) -> ViewT:
        setattr(view, _NEEDS, role)
        return view

    return mark


def public(view: ViewT) -> ViewT:
    """Open a view to everybody."""
    setattr(view, _NEEDS, None)
    return view


def needed_role(view: Callable[..., Any]) -> Role | None:
    """Return what a view needs, None for a public one; raise ``LookupError`` if it does not say."""
    try:
        return cast("Role | None", getattr(view, _NEEDS))
    except AttributeError:
        message = f"{view!r} says neither needs(…) nor public"
        raise LookupError(message) from None


def guard() -> None:
    """Refuse the request unless its caller may use the view (a ``before_request`` function)."""
    if request.endpoint is None:
        return
    needed = needed_role(current_app.view_functions[request.endpoint])
    if needed is None:
        check_origin()
        return
    caller = current_caller()
    if caller.session_id is not None:
        check_same_site()
    project_key = (request.view_args or {}).get("project_key")
    if project_key is not None and caller.project_id is not None:
        with reading() as session:
            caller.require_project(get_project(session, project_key).id, project_key)
    caller.require(needed)


def current_caller() -> Caller:
    """Return who is asking.

    Raises
    ------
    UnauthenticatedError
        Nobody is: no key and no session, or one that is wrong, revoked or over.
    NotAllowedError
        A server's or client's key was used, which opens the data plane only.
    """
    caller = find_caller()
    if caller is None:
        message = "nobody is signed in"
        hint = "send Authorization: Bearer fs_usr_…, or sign in"
        raise UnauthenticatedError(message, hint=hint)
    return caller


class WhoAndWhen(TypedDict):
    """What every service that writes asks for."""

    actor: Actor
    now: dt.datetime


def who_and_when() -> WhoAndWhen:
    """Return who is asking and the time of the request, as a service takes them.

    Raises
    ------
    UnauthenticatedError, NotAllowedError
        As :func:`current_caller`.
    """
    return {"actor": current_caller().actor, "now": now()}


def writing(session: Session) -> Writing:
    """Return who writes a change that others will approve, and the person behind a key."""
    caller = current_caller()
    if caller.token_id is None:
        return Writing(caller.actor)
    return Writing(caller.actor, service.person_behind(session, caller.token_id))


def find_caller() -> Caller | None:
    """Return who is asking, or None; a key that is given must be good."""
    if "caller" not in g:
        header = request.headers.get("Authorization")
        g.caller = _by_session() if header is None else _by_key(header)
    return cast("Caller | None", g.caller)


def _by_key(header: str) -> Caller:
    scheme, _, plain = header.partition(" ")
    hint = "send Authorization: Bearer fs_usr_…"
    if scheme.lower() != "bearer":
        message = "the Authorization header is not of the form Bearer …"
        raise UnauthenticatedError(message, field="Authorization", hint=hint)
    with reading() as session:
        token = service.find_token(session, plain.strip(), now=now())
    if token is None:
        message = "the key is unknown, revoked or over"
        raise UnauthenticatedError(message, field="Authorization", hint=hint)
    if token.kind != service.TokenKind.USER:
        message = f"a fs_{token.kind}_ key opens the data plane only, not this API"
        raise NotAllowedError(message, field="Authorization", hint=hint)
    return Caller.of_token(token)


def _by_session() -> Caller | None:
    plain = request.cookies.get(SESSION_COOKIE)
    if not plain:
        return None
    with reading() as session:
        user = service.find_session(session, plain, now=now())
    # Forms are tied to the hash: the cookie's own value never appears in a page.
    return None if user is None else Caller.of_user(user, hash_session_id(plain))


def sign_in(email: str, password: str) -> tuple[User, str]:
    """Check the password and open a new session; the second of the pair is for :func:`set_cookie`.

    A session that the browser already had is ended: nobody can be made to use one that somebody
    else knows.
    """
    count_attempt(email)
    user = _authenticate(email, password)
    with transaction() as session:
        end_present_session()
        return user, service.start_session(session, user, now=now())


def change_password(current: str, new: str) -> tuple[User, str]:
    """Give the signed-in person a new password; all their sessions end, and a new one begins."""
    caller = current_caller()
    if caller.user_id is None:
        message = "a key has no password"
        raise NotAllowedError(message, hint="sign in")
    count_attempt(caller.actor.name)
    _authenticate(caller.actor.name, current)
    with transaction() as session:
        user = service.update_user(session, caller.user_id, password=new, by=caller.actor)
        return user, service.start_session(session, user, now=now())


def _authenticate(email: str, password: str) -> User:
    return service.authenticate(
        current_database(), email, password, unknown=unknown_accounts(), now=now()
    )


def end_present_session() -> None:
    """End the browser's session, if it has one."""
    plain = request.cookies.get(SESSION_COOKIE)
    if plain:
        with transaction() as session:
            service.end_session(session, plain)


def set_cookie(response: Response, session_id: str) -> None:
    """Give the browser its session; no script can read it, no other site can use it."""
    response.set_cookie(
        SESSION_COOKIE,
        session_id,
        max_age=service.SESSION_LIFETIME,
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
        path="/",
    )


def clear_cookie(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(
        SESSION_COOKIE, httponly=True, samesite="Lax", secure=request.is_secure, path="/"
    )
