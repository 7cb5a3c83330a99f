"""What protects a browser: headers, proof that a request came from our own page, rate limits."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from web import transactions
from web.auth.settings import SIGNING_SECRET, get_setting, signing_secret
from web.auth.throttle import Throttle, UnknownAccounts
from web.errors import ForgeryError, TooManyAttemptsError

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
STRICT_TRANSPORT_SECURITY = "max-age=31536000"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
CSRF_LIFETIME_SECONDS = 24 * 3600
_ANONYMOUS = "nobody"

ATTEMPTS_PER_ADDRESS = 30
ATTEMPTS_PER_ACCOUNT = 10
ATTEMPT_WINDOW_SECONDS = 300.0
_SIGNING = "flagstone.signing_secret"
_THROTTLES = "flagstone.throttles"
_UNKNOWN = "flagstone.unknown_accounts"


def register(app: Flask) -> None:
    """Put the headers on every answer, and give the application its counters."""
    app.extensions[_THROTTLES] = (
        Throttle(ATTEMPTS_PER_ADDRESS, ATTEMPT_WINDOW_SECONDS),
        Throttle(ATTEMPTS_PER_ACCOUNT, ATTEMPT_WINDOW_SECONDS),
    )
    app.extensions[_UNKNOWN] = UnknownAccounts()
    app.after_request(_add_headers)


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY)
    # Assets say themselves how long they last; everything else is somebody's private state.
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def count_attempt(account: str) -> None:
    """Count an attempt to sign in or to set up; refuse it beyond the limits.

    Parameters
    ----------
    account : str
        Who the caller claims to be, or what is attempted (``"setup"``).
    """
    by_address, by_account = cast("tuple[Throttle, Throttle]", current_app.extensions[_THROTTLES])
    now = transactions.now().timestamp()
    address = request.remote_addr or "unknown"
    for throttle, key in (
        (by_address, address),
        (by_account, f"{address} {account.strip().lower()[:254]}"),
    ):
        wait = throttle.attempt(key, now)
        if wait is not None:
            message = "too many attempts from this address"
            raise TooManyAttemptsError(message, retry_after_seconds=wait)


def unknown_accounts() -> UnknownAccounts:
    """Return the application's memory of failures of addresses that no account has."""
    return cast("UnknownAccounts", current_app.extensions[_UNKNOWN])


def csrf_token() -> str:
    """Return a signed token for a form of the present session (or of nobody, before sign-in)."""
    return _serializer().dumps(_session_of_caller())


def check_same_site() -> None:
    """Refuse an unsafe request that a browser did not send from one of our own pages.

    ``Sec-Fetch-Site`` and ``Origin``, where present, must say so. Besides, a form must carry our
    signed token (field ``csrf_token`` or header ``X-CSRF-Token``); a JSON body needs none if the
    browser vouches for its origin, since no foreign form can send one.
    """
    if request.method in SAFE_METHODS:
        return
    vouched = _browser_vouches()
    if vouched and request.mimetype == "application/json":
        return
    given = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD) or ""
    if not _is_our_token(given):
        message = "the form's token is missing, too old, or not of this session"
        raise ForgeryError(message, field=CSRF_FIELD, hint="load the page again and repeat")


def check_origin() -> None:
    """Refuse a request that a browser says came from another site; programs say nothing."""
    if request.method not in SAFE_METHODS:
        _browser_vouches()


def _browser_vouches() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None and site not in {"same-origin", "none"}:
        message = f"the request comes from another site (Sec-Fetch-Site: {site[:40]})"
        raise ForgeryError(message, field="Sec-Fetch-Site")
    if origin is not None and not _is_our_origin(origin):
        message = "the request comes from another site (Origin)"
        hint = "a proxy in front must pass the Host header on unchanged"
        raise ForgeryError(message, field="Origin", hint=hint)
    return site is not None or origin is not None


def _is_our_origin(origin: str) -> bool:
    # Host and port only: behind a proxy that ends TLS, our own scheme is not the browser's.
    try:
        parts = urlsplit(origin)
        given = (parts.hostname, parts.port)
        ours = urlsplit(f"//{request.host}")
        here = (ours.hostname, ours.port)
    except ValueError:
        return False
    default = {"https": 443, "http": 80}.get(parts.scheme)
    if default is None or given[0] is None:
        return False
    return (given[0], given[1] or default) == (here[0], here[1] or default)


def _session_of_caller() -> str:
    caller = g.get("caller")
    return _ANONYMOUS if caller is None or caller.session_id is None else str(caller.session_id)


def _is_our_token(given: str) -> bool:
    try:
        return bool(
            _serializer().loads(given, max_age=CSRF_LIFETIME_SECONDS) == _session_of_caller()
        )
    except BadSignature:
        return False


def signer(purpose: str) -> URLSafeTimedSerializer:
    """Return what signs and reads texts of one purpose with the service's secret."""
    return URLSafeTimedSerializer(signing_key(), salt=purpose)


def signing_key() -> str:
    """Return the service's secret, which never leaves it."""
    secret = current_app.extensions.get(_SIGNING)
    if secret is None:
        with transactions.reading() as session:
            secret = get_setting(session, SIGNING_SECRET)
        if secret is None:
            with transactions.transaction() as session:
                secret = signing_secret(session)
        current_app.extensions[_SIGNING] = secret
    return str(secret)


def _serializer() -> URLSafeTimedSerializer:
    return signer("flagstone-form")
