"""Who is asking, found once per request: a ``usr`` key in a header, or a browser's session.

Every view says what it needs with :func:`needs` or :func:`public`; one that says neither is shut.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypedDict, TypeVar, cast

from flask import Response, current_app, g, request
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.errors import NotAllowedError, NotFoundError
from flags.models import Environment
from flags.request_rows import Writing
from flags.services import get_environment, get_environment_by_id, get_project
from web.auth import service
from web.auth.caller import Caller, refuse_unless
from web.auth.login import hash_session_id
from web.auth.members import rights_of
from web.auth.models import User
from web.auth.roles import Role
from web.auth.uses import note_use
from web.errors import UnauthenticatedError
from web.security import check_origin, check_same_site, count_attempt, unknown_accounts
from web.transactions import current_database, hide, leave_open, now, reading, settle, transaction

SESSION_COOKIE = "fs_session"
_NEEDS = "flagstone_needs"
_OF = "flagstone_needs_of"

ViewT = TypeVar("ViewT", bound=Callable[..., Any])


def needs(
    role: Role, *, of: Literal["path", "project", "somewhere"] = "path"
) -> Callable[[ViewT], ViewT]:
    """Open a view to callers of that role or above.

    Parameters
    ----------
    of : {"path", "project", "somewhere"}
        Where they must have it: in the environment that the path names, or else in its project;
        in the project, although the path names an environment; or in any environment of the
        project, because the view finds out by itself which one it is about. Such a view calls
        :func:`require_in`, and what it writes is not kept until it has.
    """

    def mark(view: ViewT) -> ViewT:
        setattr(view, _NEEDS, role)
        setattr(view, _OF, of)
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
    where = request.view_args or {}
    if "project_key" not in where:
        caller.require(needed)
        return
    with reading() as session:
        _enter(session, caller, where["project_key"])
        of = getattr(current_app.view_functions[request.endpoint], _OF)
        environment_key = where.get("environment_key")
        if environment_key is not None:
            # The environment of the path is there and seen, whatever the role is asked of.
            environment = get_environment(session, where["project_key"], environment_key)
            if of == "path":
                _require(caller, environment, needed)
    if of == "somewhere":
        refuse_unless(caller.rights.highest_in(g.project_id), needed)
        leave_open()
    elif of == "project" or environment_key is None:
        refuse_unless(caller.rights.in_project(g.project_id), needed, "this project")


def _enter(session: Session, caller: Caller, project_key: str) -> None:
    """Refuse a project that the caller may not know of; hide such environments of it."""
    project_id = get_project(session, project_key).id
    caller.require_project(project_id, project_key)
    assert project_id is not None
    g.project_id = project_id
    if caller.rights.may_hide:
        every = session.exec(select(col(Environment.project_id), col(Environment.id)))
        hidden = caller.rights.hidden((p, e) for p, e in every if e is not None)
        hide(session, hidden)


def _require(caller: Caller, environment: Environment, needed: Role) -> None:
    assert environment.id is not None
    role = caller.rights.in_environment(environment.project_id, environment.id)
    if role is Role.NONE:
        project_key = (request.view_args or {}).get("project_key")
        message = f"there is no environment {environment.key!r} in project {project_key!r}"
        raise NotFoundError(message, field="environment")
    refuse_unless(role, needed, environment.key)


def require_in(session: Session, environments: Iterable[Environment | int]) -> None:
    """Refuse unless the caller has the role that the view needs in each of the environments.

    Parameters
    ----------
    environments : iterable of Environment or int
        What the view found that it is about, or their ids.

    Raises
    ------
    NotFoundError
        If the caller may not know of one of them.
    NotAllowedError
        If the role there is too low.
    """
    for each in environments:
        environment = get_environment_by_id(session, each) if isinstance(each, int) else each
        _require(current_caller(), environment, needed_here())
    settle()


def needed_here() -> Role:
    """Return what the view of this request needs."""
    assert request.endpoint is not None
    needed = needed_role(current_app.view_functions[request.endpoint])
    assert needed is not None
    return needed


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
    note_use(token.secret_hash)
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
        if user is None:
            return None
        # Forms are tied to the hash: the cookie's own value never appears in a page.
        return Caller.of_user(user, hash_session_id(plain), rights_of(session, user))


def sign_in(email: str, password: str) -> tuple[User, str]:
    """Check the password and open a new session; the second of the pair is for :func:`set_cookie`.

    A session that the browser already had is ended: nobody can be made to use one that somebody
    else knows.
    """
    if not current_app.extensions["flagstone.settings"].password_login:
        message = "nobody signs in with a password here"
        raise NotAllowedError(message, hint="use single sign-on on the sign-in page")
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
