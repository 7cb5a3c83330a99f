"""Webhooks: who is told what, what came of each message, and what alerts may kill."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, cast

from flask import current_app, request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from flags import notices
from flags.errors import FlagstoneError, InvalidInputError
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import (
    LARGEST_NUMBER,
    back_to,
    before_number,
    blueprint,
    place,
    show,
    status_of,
)
from web.settings import Settings
from web.transactions import now, reading, transaction
from web.webhooks import services
from web.webhooks.models import Webhook
from web.webhooks.networks import Network

PAGE = 50
_ALL = "/projects/<project_key>/environments/<environment_key>/webhooks"
_ONE = f"{_ALL}/<int(max={LARGEST_NUMBER}):webhook_id>"
_HOURS = {"1": 1, "24": 24, "168": 168}
# Groups of kinds, in the words of whoever chooses among them.
GROUPS = {
    "flag": "flags: made, changed, killed, to be removed",
    "approval": "approvals: asked for, given, declined",
    "schedule": "scheduled changes: carried out, or not",
    "experiment": "experiments: verdicts, alarms, steps",
    "project": "keys, protection, metrics and other settings",
    "webhook": "webhooks that were disabled",
}
_PLURALS = {group: "settings" if group == "project" else f"{group}s" for group in GROUPS}


@blueprint.get(_ALL)
@needs(Role.ADMIN, of="project")
def list_webhooks(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the project's webhooks."""
    return _page(project_key, environment_key)


@blueprint.post(_ALL)
@needs(Role.ADMIN, of="project")
def create_webhook(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Make a webhook and show its secret, this once."""
    try:
        with transaction() as session:
            secret, made = services.create_webhook(
                session, project_key, **_given(), allowed=_networks(), **who_and_when()
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, problem=error, form=request.form.to_dict())
    return _one(project_key, environment_key, made.id or 0, secret=secret)


@blueprint.get(_ONE)
@needs(Role.ADMIN, of="project")
def show_webhook(project_key: str, environment_key: str, webhook_id: int) -> ResponseReturnValue:
    """Show one webhook with its log."""
    return _one(project_key, environment_key, webhook_id)


@blueprint.post(f"{_ONE}/edit")
@needs(Role.ADMIN, of="project")
def edit_webhook(project_key: str, environment_key: str, webhook_id: int) -> ResponseReturnValue:
    """Change a webhook."""

    def write(session: Session) -> str:
        services.update_webhook(
            session, project_key, webhook_id, _given(), allowed=_networks(), **who_and_when()
        )
        return "It is changed."

    return _done(project_key, environment_key, webhook_id, write)


@blueprint.post(f"{_ONE}/<any(enable, disable, test, replay):verb>")
@needs(Role.ADMIN, of="project")
def move_webhook(
    project_key: str, environment_key: str, webhook_id: int, verb: str
) -> ResponseReturnValue:
    """Enable or disable a webhook, send it a test, or everything since a time again."""

    def write(session: Session) -> str:
        if verb == "test":
            services.try_webhook(session, project_key, webhook_id, **who_and_when())
            return "A test is on its way."
        if verb == "replay":
            return _replay(session, project_key, webhook_id)
        given = {"enabled": verb == "enable"}
        services.update_webhook(session, project_key, webhook_id, given, **who_and_when())
        return f"It is {verb}d."

    return _done(project_key, environment_key, webhook_id, write)


@blueprint.post(f"{_ONE}/rotate")
@needs(Role.ADMIN, of="project")
def rotate_webhook(project_key: str, environment_key: str, webhook_id: int) -> ResponseReturnValue:
    """Give a webhook a new secret and show it, this once."""
    with transaction() as session:
        secret, _ = services.rotate_secret(session, project_key, webhook_id, **who_and_when())
    return _one(project_key, environment_key, webhook_id, secret=secret)


@blueprint.post(f"{_ONE}/delete")
@needs(Role.ADMIN, of="project")
def delete_webhook(project_key: str, environment_key: str, webhook_id: int) -> ResponseReturnValue:
    """Take a webhook away, with its log."""
    with transaction() as session:
        services.delete_webhook(session, project_key, webhook_id, **who_and_when())
    return back_to(
        url_for("console.list_webhooks", project_key=project_key, environment_key=environment_key)
    )


@blueprint.post(f"{_ONE}/deliveries/<int(max={LARGEST_NUMBER}):delivery_id>/replay")
@needs(Role.ADMIN, of="project")
def replay_delivery(
    project_key: str, environment_key: str, webhook_id: int, delivery_id: int
) -> ResponseReturnValue:
    """Send one message again."""

    def write(session: Session) -> str:
        services.replay_delivery(session, project_key, webhook_id, delivery_id, now=now())
        return "The message is on its way again."

    return _done(project_key, environment_key, webhook_id, write)


def _replay(session: Session, project_key: str, webhook_id: int) -> str:
    hours = _HOURS.get(request.form.get("hours", ""))
    if hours is None:
        raise InvalidInputError("since when?", field="hours", hint=", ".join(_HOURS))
    count = services.replay_since(
        session,
        project_key,
        webhook_id,
        now() - dt.timedelta(hours=hours),
        only_failed="only_failed" in request.form,
        now=now(),
    )
    return f"{count} message{'' if count == 1 else 's'} are on their way."


def _given() -> dict[str, Any]:
    form = request.form
    return {
        "name": form.get("name", ""),
        "url": form.get("url", ""),
        "form": form.get("form", "full"),
        "environments": [each for each in (form.get("only", ""),) if each not in {"", "*"}],
        "kinds": form.getlist("kinds"),
    }


def _networks() -> tuple[Network, ...]:
    return cast("Settings", current_app.extensions["flagstone.settings"]).webhook_networks


def _done(
    project_key: str, environment_key: str, webhook_id: int, write: Callable[[Session], str]
) -> ResponseReturnValue:
    try:
        with transaction() as session:
            news = write(session)
    except FlagstoneError as error:
        return _one(project_key, environment_key, webhook_id, problem=error)
    return _one(project_key, environment_key, webhook_id, news=news)


def _page(
    project_key: str,
    environment_key: str,
    *,
    form: dict[str, str] | None = None,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
        found = services.list_webhooks(session, project_key)
    return show(
        "webhooks/list.html",
        status=status_of(problem),
        webhooks=found,
        host_of=services.host_of,
        of=_of,
        groups=GROUPS,
        form=form or {},
        chosen=request.form.getlist("kinds"),
        problem=problem,
        project_key=project_key,
        environment_key=environment_key,
    )


def _one(
    project_key: str,
    environment_key: str,
    webhook_id: int,
    *,
    secret: str | None = None,
    news: str | None = None,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    before = before_number()
    with reading() as session:
        place(session, project_key, environment_key)
        webhook = services.get_webhook(session, project_key, webhook_id)
        found = services.list_deliveries(session, webhook, before_id=before, limit=PAGE + 1)
    return show(
        "webhooks/page.html",
        status=status_of(problem),
        webhook=webhook,
        receiver=services.host_of(webhook),
        of=_of(webhook),
        groups=GROUPS,
        kinds=notices.KINDS,
        log=found[:PAGE],
        more=found[PAGE - 1].delivery.id if len(found) > PAGE else None,
        before=before,
        secret=secret,
        news=news,
        problem=problem,
        project_key=project_key,
        environment_key=environment_key,
    )


def _of(webhook: Webhook) -> str:
    """Say of what a webhook is, in words."""
    kinds = ", ".join(_PLURALS.get(each, each) for each in webhook.kinds) or "everything"
    places = f" in {', '.join(webhook.environments)}" if webhook.environments else ""
    return kinds + places
