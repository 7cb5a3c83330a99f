"""``POST /hooks/kill``: the door for alerts. Its secret opens this door only, and this only kills.

The secret is best sent as ``Authorization: Bearer fs_hook_…``; where a sender knows no headers it
may stand in the address, which proxies write into their logs (ours never do).
"""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Flask, current_app, request
from flask.typing import ResponseReturnValue

from web import transactions
from web.api.render import document
from web.auth.guard import guard, public
from web.auth.throttle import Throttle
from web.body import parse_object
from web.errors import TooManyRequestsError, UnauthenticatedError
from web.transactions import reading, transaction
from web.webhooks import kill_hooks
from web.webhooks.alerts import parse_alerts

CALLS_PER_MINUTE = 60
GUESSES_PER_MINUTE = 30
WINDOW_SECONDS = 60.0
_THROTTLES = "flagstone.hook_throttles"

blueprint = Blueprint("hooks", __name__, url_prefix="/hooks")
blueprint.before_request(guard)


def register(app: Flask) -> None:
    """Put the door into an application, with its counters."""
    app.extensions[_THROTTLES] = (
        Throttle(CALLS_PER_MINUTE, WINDOW_SECONDS),
        Throttle(GUESSES_PER_MINUTE, WINDOW_SECONDS),
    )
    app.register_blueprint(blueprint)


@blueprint.post("/kill")
@blueprint.post("/kill/<secret>")
@public
def kill(secret: str = "") -> ResponseReturnValue:
    """Kill what the hook was made for, if an alert fires that did not before."""
    now = transactions.now()
    with reading() as session:
        hook = kill_hooks.find_hook(session, secret or _bearer())
    by_hook, by_address = cast("tuple[Throttle, Throttle]", current_app.extensions[_THROTTLES])
    if hook is None:
        _count(by_address, request.remote_addr or "unknown")
        message = "the kill hook is unknown or revoked"
        raise UnauthenticatedError(message, hint="send Authorization: Bearer fs_hook_…")
    _count(by_hook, str(hook.id))
    alerts = parse_alerts(parse_object(request.get_data()))
    with transaction() as session:
        # Once more: it may have been revoked meanwhile.
        found = kill_hooks.find_hook(session, secret or _bearer())
        if found is None:
            raise UnauthenticatedError("the kill hook was revoked in this moment")
        outcome = kill_hooks.act(session, found, alerts, now=now)
    return document(
        {
            "killed": outcome.killed,
            "acted": outcome.acted,
            "repeated": outcome.repeated,
            "ignored": outcome.ignored,
        }
    )


def _bearer() -> str:
    scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
    return plain.strip() if scheme.lower() == "bearer" else ""


def _count(throttle: Throttle, key: str) -> None:
    wait = throttle.attempt(key, transactions.now().timestamp())
    if wait is not None:
        message = "too many requests to kill hooks"
        raise TooManyRequestsError(message, retry_after_seconds=wait)
