"""One flag: what it does, since when it is killed, and every change as one instruction."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.people.finding import Wanted, find_experiments
from flags import change_requests, changes, request_rows, services
from flags.approvals import is_protective
from flags.budgets import Spending
from flags.diff import differences
from flags.errors import FlagstoneError, OverBudgetError
from flags.models import AuditEntry, Environment
from flags.predictions import PARTS, predictions_of
from flags.ranges import read_split
from flags.receipts import receipt_of
from flags.words import describe_condition
from web.auth.guard import current_caller, needs, who_and_when, writing
from web.auth.roles import Role
from web.auth.scope import may_override, require_for_change
from web.console.base import (
    back_to,
    blueprint,
    place,
    seen_version,
    show,
    status_of,
    unchanged,
    version_of,
    wants_fragment,
)
from web.console.connect import snippet
from web.console.done import just_done, page_after
from web.console.effects import shown_effect
from web.console.flag_parts import LADDER, editable, parts_of
from web.console.forms import OPERATORS, field_of, instructions_of, manner_of
from web.lifecycles import lifecycles
from web.previews import preview_token, previewed_revision
from web.transactions import now, reading, transaction

_HISTORY = 30
# A kill is among the newest entries, unless a killed flag was edited very often since.
_DEEP_HISTORY = 1000
_ALARMS_FOR = dt.timedelta(days=7)
_NOT_RESENT = frozenset({"csrf_token", "comment", "preview", "version", "mode", "at", "override"})
_PLACE = "/projects/<project_key>/environments/<environment_key>"


@blueprint.get(f"{_PLACE}/flags/<flag_key:flag_key>")
@needs(Role.VIEWER)
def show_flag(project_key: str, environment_key: str, flag_key: str) -> ResponseReturnValue:
    """Show what a flag does, its switches and its history."""
    return _page(project_key, environment_key, flag_key)


@blueprint.post(f"{_PLACE}/do/<flag_key:flag_key>/<any(change, kill):verb>")
@needs(Role.EDITOR)
def change_flag(
    project_key: str, environment_key: str, flag_key: str, verb: str
) -> ResponseReturnValue:
    """Apply or preview one instruction. A kill has an address of its own, and its own threads."""
    form = request.form.to_dict()
    if verb == "kill":
        form["do"] = "kill"
    here = (project_key, environment_key)
    try:
        change = _change(*here, flag_key, form)
        with reading() as session:
            require_for_change(session, *here, change)
        if change.mode != "apply":
            return _wait(*here, flag_key, change)
        guarded = _needs_approval(*here) and not is_protective(change)
        if form.get("preview") or guarded or (verb != "kill" and not change.comment.strip()):
            with reading() as session:
                place(session, *here)
                preview = changes.preview_change(session, *here, change, now=now())
                unexplained = guarded or services.get_environment(session, *here).production
            form["preview_token"] = preview_token(*here, change, preview.revision_number)
            # Production asks why. A kill does not wait for words.
            if form.get("preview") or (unexplained and preview.changed):
                return _page(*here, flag_key, preview=preview, form=form)
        with transaction() as session:
            result = changes.apply_change(
                session,
                *here,
                change,
                expected_flag_versions=_seen(flag_key),
                spending=Spending(
                    {str(current_caller().actor)}, previewed=previewed_revision(*here, change)
                ),
                may_override=may_override(session, *here, change),
                **who_and_when(),
            )
    except OverBudgetError as error:
        if error.field != "preview_token":
            return _page(*here, flag_key, problem=error, form=form)
        return _preview_first(*here, flag_key, change, form)
    except FlagstoneError as error:
        return _page(*here, flag_key, problem=error, form=form)
    done = result.revision_number if result.changed else 0
    return page_after(*here, flag_key, form, done)


def _preview_first(
    project_key: str,
    environment_key: str,
    flag_key: str,
    change: changes.Change,
    form: dict[str, str],
) -> ResponseReturnValue:
    """Show the preview that a budget asks for; its form carries the proof that it was shown."""
    here = (project_key, environment_key)
    with reading() as session:
        place(session, *here)
        preview = changes.preview_change(session, *here, change, now=now())
    form["preview_token"] = preview_token(*here, change, preview.revision_number)
    return _page(*here, flag_key, preview=preview, form=form)


def _change(
    project_key: str, environment_key: str, flag_key: str, form: dict[str, str]
) -> changes.Change:
    document: dict[str, Any] = {}
    if form.get("do") == "remove_targets":
        with reading() as session:
            services.get_environment(session, project_key, environment_key)
            flag = services.get_flag(session, project_key, flag_key)
            document = flag.environments[environment_key].document
    instructions = instructions_of(form, document)
    if form.get("turn_on") == "yes":
        # Launching an idle flag is one step for people: on, and only for these.
        instructions.append({"do": "turn_on"})
    return changes.parse_change(
        {
            **manner_of(form),
            "flag": flag_key,
            "preview_token": form.get("preview_token") or None,
            "instructions": instructions,
        }
    )


def _needs_approval(project_key: str, environment_key: str) -> bool:
    with reading() as session:
        return services.get_environment(session, project_key, environment_key).approvals_needed > 0


def _wait(
    project_key: str,
    environment_key: str,
    flag_key: str,
    change: changes.Change,
) -> ResponseReturnValue:
    """Keep a change for others to approve, or for its time, and show it among those that wait."""
    with transaction() as session:
        made = change_requests.submit(
            session,
            project_key,
            environment_key,
            change,
            by=writing(session),
            now=now(),
            previewed=previewed_revision(project_key, environment_key, change),
            expected_flag_versions=_seen(flag_key),
        )
    return back_to(
        url_for(
            "console.list_changes",
            project_key=project_key,
            environment_key=environment_key,
            _anchor=f"change-{made.id}",
        )
    )


def _seen(flag_key: str) -> dict[str, int] | None:
    """Give the version of the flag whose preview the caller agreed to."""
    version = seen_version()
    return None if version is None else {flag_key: version}


def _page(
    project_key: str,
    environment_key: str,
    flag_key: str,
    *,
    problem: FlagstoneError | None = None,
    preview: changes.ChangeResult | None = None,
    form: dict[str, str] | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        environment = place(session, project_key, environment_key)
        environment_id = environment.id
        environments = services.list_environments(session, project_key)
        flag = services.get_flag(session, project_key, flag_key)
        here = flag.environments[environment_key]
        unheard = snippet(session, environment, flag)
        history = _history(session, project_key, environment_key, flag_key, _HISTORY)
        killed = _kill_of(history)
        if here.document["killed"] and killed is None:
            killed = _kill_of(
                _history(session, project_key, environment_key, flag_key, _DEEP_HISTORY)
            )
        experiments = [
            each
            for each in find_experiments(session, project_key, Wanted(environment_key, [flag_key]))
            if each.started_at is not None
        ]
        waiting = request_rows.find(
            session,
            project_key,
            environment_id=environment_id,
            states=request_rows.WAITING,
            flag_key=flag_key,
        )
        predictions = predictions_of(
            session, [(each.environment_id, each.revision) for each in history]
        )
        alarm = next(
            (
                each
                for each in sorted(predictions.values(), key=lambda one: -one.revision)
                if each.state == PARTS and now() - each.at < _ALARMS_FOR
            ),
            None,
        )
        news = just_done(history)
        receipt = None
        if isinstance(news, AuditEntry) and news.revision is not None and environment_id:
            receipt = receipt_of(session, environment_id, news.revision, now=now())
    newest = history[0].id if history else 0
    version = version_of(newest, flag.version, *(each.version for each in experiments))
    version = "-".join([version, *(f"{each.id}.{each.version}" for each in waiting)])
    if unchanged(version):
        return "", 204
    with reading() as session:
        lifecycle = lifecycles(session, project_key, [flag], now=now())[flag_key]
    return show(
        "flags/_body.html" if wants_fragment() else "flags/page.html",
        status=status_of(problem),
        flag=flag,
        lifecycle=lifecycle,
        here=here,
        **unheard,
        **parts_of(
            flag,
            environments,
            environment_key,
            history,
            waiting,
            experiments,
            editable_in=_editable_in(environments),
            now=now(),
        ),
        rules=[_rule(rule) for rule in here.document["rules"]],
        history=history,
        predictions=predictions,
        alarm=alarm,
        more_history=len(history) == _HISTORY,
        killed=killed if here.document["killed"] else None,
        experiments=experiments,
        waiting=waiting,
        operators=OPERATORS,
        shares=LADDER,
        version=version,
        live=problem is None and preview is None,
        problem=problem,
        wrong=None if problem is None else field_of(problem.field),
        preview=preview,
        preview_fields=_preview_fields(preview, flag_key),
        effect=None if preview is None or preview.effect is None else shown_effect(preview.effect),
        elsewhere={} if preview is None else preview.elsewhere,
        resent={k: v for k, v in (form or {}).items() if k not in _NOT_RESENT},
        news=news,
        receipt=receipt,
        form=form or {},
        project_key=project_key,
        environment_key=environment_key,
    )


def _editable_in(environments: list[Environment]) -> set[str]:
    rights = current_caller().rights
    return {
        each.key
        for each in environments
        if rights.in_environment(each.project_id, each.id or 0).covers(Role.EDITOR)
    }


def _history(
    session: Session, project_key: str, environment_key: str, flag_key: str, limit: int
) -> list[AuditEntry]:
    return services.flag_history(
        session, project_key, flag_key, environment_key=environment_key, limit=limit
    )


def _kill_of(history: list[AuditEntry]) -> AuditEntry | None:
    """Find what killed the flag: an instruction, or going back to a revision that was killed."""
    for entry in history:
        if isinstance(entry.after, dict) and entry.after.get("killed") is True:
            return entry
    return None


def _preview_fields(
    preview: changes.ChangeResult | None, flag_key: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    if preview is None:
        return {}, {}
    return differences(preview.before.get(flag_key) or {}, preview.after.get(flag_key) or {})


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Give a rule as its page shows it: who, what, and how far it reaches."""
    serve = rule["serve"]
    shown: dict[str, Any] = {
        "id": rule["id"],
        "track": rule.get("track", False),
        "start": rule.get("start"),
        "end": rule.get("end"),
        "who": "everybody" if rule["when"] is True else f"users {describe_condition(rule['when'])}",
        "variant": serve if isinstance(serve, str) else None,
        "arms": [],
        "coverage": None,
        "edit": editable(rule),
    }
    if isinstance(serve, dict):
        split = serve["split"]
        shown["arms"] = [
            {
                "variant": arm["variant"],
                "share": sum(end - start for start, end in arm["ranges"]) / split["of"],
            }
            for arm in split["to"]
        ]
        known = read_split(split)
        shown["coverage"] = None if known is None else known[1]
    return shown
