"""Sign in with an account elsewhere: to the issuer and back."""

from __future__ import annotations

from typing import Any, cast

from flask import Flask, Response, current_app, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature

from flags.errors import FlagstoneError, NotFoundError
from web.auth import service
from web.auth.guard import end_present_session, public, set_cookie
from web.auth.identities import person_of
from web.auth.oidc import Attempt, Provider
from web.auth.oidc_settings import OidcSettings
from web.console.base import back_to, blueprint, show, status_of
from web.console.paths import own_path
from web.errors import SignInRefusedError
from web.security import count_attempt, signer
from web.settings import Settings
from web.transactions import now, our_address, transaction

ATTEMPT_COOKIE = "fs_sign_in"
ATTEMPT_SECONDS = 600
_PROVIDER = "flagstone.oidc_provider"
_PATH = "/login/oidc"


def settings_of(app: Flask) -> Settings:
    """Return how this installation runs."""
    return cast("Settings", app.extensions["flagstone.settings"])


@blueprint.get(_PATH)
@public
def begin_single_sign_on() -> ResponseReturnValue:
    """Send the browser to the issuer."""
    following = own_path(request.args.get("next"))
    try:
        count_attempt("single sign-on")
        provider = _provider()
        address, attempt = provider.begin(_redirect_uri(), following, now().timestamp())
    except NotFoundError:
        raise
    except FlagstoneError as error:
        return refused(error, following)
    response = redirect(address)
    response.set_cookie(
        ATTEMPT_COOKIE,
        signer("flagstone-sign-in").dumps(attempt.document()),
        max_age=ATTEMPT_SECONDS,
        httponly=True,
        # Lax: the issuer sends the browser back from another site.
        samesite="Lax",
        secure=request.is_secure,
        path=_PATH,
    )
    return cast("Response", response)


@blueprint.get(f"{_PATH}/callback")
@public
def finish_single_sign_on() -> ResponseReturnValue:
    """Take the issuer's answer, and open a session for the person."""
    following = "/"
    try:
        count_attempt("single sign-on")
        provider = _provider()
        attempt = _attempt()
        following = own_path(attempt.following)
        # No transaction is open while the issuer is asked.
        moment = now()
        identity = provider.finish(
            _redirect_uri(), request.args.to_dict(), attempt, moment.timestamp()
        )
        with transaction() as session:
            user = person_of(session, identity, provider.settings, now=moment)
            # Never the session that the browser already had: somebody may know that one.
            end_present_session()
            session_id = service.start_session(session, user, now=moment)
    except NotFoundError:
        raise
    except FlagstoneError as error:
        return refused(error, following)
    response = make_response(back_to(following))
    set_cookie(response, session_id)
    return _without_attempt(response)


def refused(error: FlagstoneError, following: str) -> Response:
    """Show the sign-in page with what went wrong."""
    page = show(
        "login.html", status=status_of(error), email="", problem=error, next=following, **ways()
    )
    return _without_attempt(make_response(page))


def ways() -> dict[str, Any]:
    """Return what the sign-in page offers."""
    settings = settings_of(current_app)
    return {
        "password_login": settings.password_login,
        "single_sign_on": None if settings.oidc is None else settings.oidc.label,
    }


def _without_attempt(response: Response) -> Response:
    response.delete_cookie(
        ATTEMPT_COOKIE, httponly=True, samesite="Lax", secure=request.is_secure, path=_PATH
    )
    return response


def _attempt() -> Attempt:
    text = request.cookies.get(ATTEMPT_COOKIE, "")
    try:
        found = signer("flagstone-sign-in").loads(text, max_age=ATTEMPT_SECONDS)
        return Attempt.read(found)
    except (BadSignature, KeyError, TypeError):
        message = "this browser has not asked to sign in, or too long ago"
        raise SignInRefusedError(message) from None


def _provider() -> Provider:
    settings: OidcSettings | None = settings_of(current_app).oidc
    if settings is None:
        message = "there is no single sign-on here"
        raise NotFoundError(message, hint="FLAGSTONE_OIDC_ISSUER says where people sign in")
    provider = current_app.extensions.setdefault(_PROVIDER, Provider(settings))
    return cast("Provider", provider)


def _redirect_uri() -> str:
    return our_address() + url_for("console.finish_single_sign_on")
