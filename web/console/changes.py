"""Changes that wait: what, who asks, who approved; edit, approve, decline, take back, apply."""

from __future__ import annotations

from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.people.flag_work import standings
from flags import approvals, change_requests
from flags.diff import differences
from flags.errors import FlagstoneError, InvalidInputError
from flags.models import ChangeRequest, Environment, Project
from flags.predictions import predictions_of
from flags.request_rows import EDITABLE, OPEN, STATES, WAITING, find
from web.auth import service
from web.auth.guard import needs, who_and_when, writing
from web.auth.roles import Role
from web.auth.scope import require_for_request, role_for_request
from web.console.base import (
    LARGEST_NUMBER,
    back_to,
    before_number,
    blueprint,
    place,
    seen_version,
    show,
    status_of,
)
from web.transactions import now, reading, transaction

PAGE = 50
_SHOWN = 3
_CHANGES = "/projects/<project_key>/environments/<environment_key>/changes"


@blueprint.get(_CHANGES)
@needs(Role.VIEWER)
def list_changes(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List an environment's changes: those that wait, or those in one state."""
    return _page(project_key, environment_key)


@blueprint.post(f"{_CHANGES}/<int(max={LARGEST_NUMBER}):change_id>/<any(approve, decline):verb>")
@needs(Role.APPROVER, of="somewhere")
def judge_change(
    project_key: str, environment_key: str, change_id: int, verb: str
) -> ResponseReturnValue:
    """Approve what the page showed, or say no."""
    comment = request.form.get("comment", "")[:2000]
    try:
        with transaction() as session:
            require_for_request(session, project_key, change_id)
            if verb == "approve":
                change_requests.approve(
                    session,
                    project_key,
                    change_id,
                    request.form.get("content_hash", ""),
                    by=writing(session),
                    now=now(),
                    comment=comment,
                )
            else:
                change_requests.decline(
                    session, project_key, change_id, comment=comment, **who_and_when()
                )
    except FlagstoneError as error:
        return _page(project_key, environment_key, problem=error)
    return _back(project_key, environment_key, change_id)


@blueprint.post(f"{_CHANGES}/<int(max={LARGEST_NUMBER}):change_id>/<any(withdraw, apply):verb>")
@needs(Role.EDITOR, of="somewhere")
def move_change(
    project_key: str, environment_key: str, change_id: int, verb: str
) -> ResponseReturnValue:
    """Take a change back, or apply what was approved."""
    try:
        with transaction() as session:
            require_for_request(session, project_key, change_id)
            if verb == "withdraw":
                change_requests.withdraw(
                    session,
                    project_key,
                    change_id,
                    by=writing(session),
                    now=now(),
                    may_any=role_for_request(session, project_key, change_id).covers(Role.ADMIN),
                )
            else:
                change_requests.apply(session, project_key, change_id, **who_and_when())
    except FlagstoneError as error:
        return _page(project_key, environment_key, problem=error)
    return _back(project_key, environment_key, change_id)


@blueprint.post(f"{_CHANGES}/<int(max={LARGEST_NUMBER}):change_id>/edit")
@needs(Role.EDITOR, of="somewhere")
def edit_change(project_key: str, environment_key: str, change_id: int) -> ResponseReturnValue:
    """Give a change another reason or time; with neither it is renewed as things stand."""
    form = request.form
    # A browser's field for a time knows no zone; its label says UTC.
    at = {"at": f"{form['at'].strip()}Z"} if form.get("at", "").strip() else {}
    try:
        with transaction() as session:
            require_for_request(session, project_key, change_id)
            change_requests.edit(
                session,
                project_key,
                change_id,
                {"comment": form.get("comment", "")[:2000], **at},
                by=writing(session),
                now=now(),
                expected_version=seen_version(),
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, problem=error)
    return _back(project_key, environment_key, change_id)


@blueprint.post(f"{_CHANGES}/protection")
@needs(Role.ADMIN)
def protect_environment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say how many people must approve a change."""
    try:
        text = request.form.get("approvals_needed", "")
        if not (text.isascii() and text.isdigit() and len(text) < 3):
            message = "a number of people is needed"
            raise InvalidInputError(message, field="approvals_needed", hint="0 for nobody")
        with transaction() as session:
            approvals.protect(
                session, project_key, environment_key, needed=int(text), **who_and_when()
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, problem=error)
    return _back(project_key, environment_key, None)


def _back(project_key: str, environment_key: str, change_id: int | None) -> ResponseReturnValue:
    # A change that is over is no longer among those that wait: the page is asked to show it.
    return back_to(
        url_for(
            "console.list_changes",
            project_key=project_key,
            environment_key=environment_key,
            done=change_id,
        )
    )


def _page(
    project_key: str, environment_key: str, *, problem: FlagstoneError | None = None
) -> ResponseReturnValue:
    state = request.args.get("state") or None
    before = before_number()
    states = (state,) if state in STATES else STATES if state == "all" else WAITING
    with reading() as session:
        environment = place(session, project_key, environment_key)
        found = find(
            session,
            project_key,
            environment_id=environment.id,
            states=states,
            before_id=before,
            limit=PAGE + 1,
        )
        done = request.args.get("done", type=int)
        news = None
        if done is not None and 0 < done <= LARGEST_NUMBER:
            row = session.get(ChangeRequest, done)
            if row is not None and row.environment_id == environment.id:
                news = row
        mine = writing(session).names()
        shown = found[:PAGE]
        keys = {key for each in shown if each.state in WAITING for key in each.preview["after"]}
        watched = {
            key: each.experiment.key
            for key, each in standings(
                session, project_key, environment_key, sorted(keys), now=now()
            ).items()
            if each.experiment is not None
        }
        approvers = _approvers(session, environment) if any(map(_is_open, shown)) else {}
        moved = predictions_of(session, [(each.environment_id, _revision(each)) for each in shown])
        items = [
            {
                **_item(each, mine),
                "approvers": _may_approve(each, approvers),
                "watched": [key for key in each.preview["after"] if key in watched],
                "watchers": sorted(
                    {watched[key] for key in each.preview["after"] if key in watched}
                ),
                "moved": moved.get((each.environment_id, _revision(each) or 0)),
            }
            for each in shown
        ]
    return show(
        "changes.html",
        status=status_of(problem),
        items=items,
        news=news,
        more=found[PAGE - 1].id if len(found) > PAGE else None,
        before=before,
        state=state,
        states=STATES,
        most=approvals.MOST_APPROVALS,
        problem=problem,
        project_key=project_key,
        environment_key=environment_key,
    )


def _item(change: ChangeRequest, mine: set[str]) -> dict[str, Any]:
    flags = list(change.preview["after"])
    return {
        "row": change,
        "flags": flags[:_SHOWN],
        "fields": _fields(change.preview),
        "more_flags": max(len(flags) - _SHOWN, 0),
        "mine": bool(mine & set(change.writers)),
        "needed": max(change.asks, change.preview["approvals_needed"]),
        "waits": change.state in WAITING,
        "editable": change.state in EDITABLE,
        "verdict": change.preview.get("verdict_sentence"),
    }


def _is_open(change: ChangeRequest) -> bool:
    return change.state == OPEN


def _revision(change: ChangeRequest) -> int | None:
    """Give the revision that a change made, if it was applied."""
    return None if change.outcome is None else change.outcome.get("revision")


def _approvers(session: Session, environment: Environment) -> dict[str, str]:
    """Give who may approve changes of an environment: names by how approvals name them."""
    project = session.get_one(Project, environment.project_id)
    return {
        f"user:{each.user.email}": each.user.name or each.user.email
        for each in service.list_members(session, project)
        if not each.user.disabled
        and each.rights.in_environment(environment.project_id, environment.id or 0).covers(
            Role.APPROVER
        )
    }


def _may_approve(change: ChangeRequest, approvers: dict[str, str]) -> list[str]:
    """Name those whose approval counts: not who wrote it, nor who has given it."""
    given = {each["by"] for each in change.approvals}
    return sorted(
        name for by, name in approvers.items() if by not in change.writers and by not in given
    )


def _fields(preview: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Give the fields that differ, by flag and segment, before and after; the first few things."""
    things = [
        (key, preview["before"].get(key), after) for key, after in preview["after"].items()
    ] + [
        (f"segment {key}", preview["segments_before"].get(key), after)
        for key, after in preview["segments_after"].items()
    ]
    return [
        (name, *differences(before or {}, after or {})) for name, before, after in things[:_SHOWN]
    ]
