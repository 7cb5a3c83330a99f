"""Flags: the list as a work queue, one flag's page, and every change as one instruction."""

from __future__ import annotations

import json
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from experiments import services as experiment_services
from flags import changes, services
from flags.errors import FlagstoneError, InvalidInputError, NotFoundError
from flags.ranges import read_split
from flags.revisions import get_revision
from flags.words import describe_condition
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show, wants_fragment
from web.console.forms import FLAG_TYPES, OPERATORS, flag_draft, instruction_of
from web.transactions import now, reading, transaction

PAGE = 50
_HISTORY = 30
_PLACE = "/projects/<project_key>/environments/<environment_key>"


@blueprint.get(f"{_PLACE}/flags")
@needs(Role.VIEWER)
def list_flags(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List flags: what each does here, and how it stands elsewhere."""
    search = request.args.get("filter", "").strip()[:200]
    after = request.args.get("after")
    with reading() as session:
        place(session, project_key, environment_key)
        found = services.list_flags(
            session, project_key, search=search, after=after, limit=PAGE + 1
        )
        running = {
            each.flag_key: each
            for each in experiment_services.list_experiments(
                session, project_key, environment_key=environment_key
            )
            if each.ended_at is None and each.started_at is not None
        }
    flags = found[:PAGE]
    values: dict[str, Any] = {
        "flags": flags,
        "search": search,
        "after": after,
        "running": running,
        "more": flags[-1].key if len(found) > PAGE else None,
        "environment_key": environment_key,
        "project_key": project_key,
    }
    return show("flags/_rows.html" if wants_fragment() else "flags/list.html", **values)


@blueprint.get(f"{_PLACE}/new-flag")
@needs(Role.EDITOR)
def new_flag(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask for a flag."""
    form = {"type": "boolean", "key": request.args.get("key", "")}
    with reading() as session:
        place(session, project_key, environment_key)
    return show("flags/new.html", form=form, problem=None, types=FLAG_TYPES)


@blueprint.post(f"{_PLACE}/new-flag")
@needs(Role.EDITOR)
def create_flag(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Create a flag; it is off everywhere."""
    form = request.form.to_dict()
    try:
        with transaction() as session:
            draft = flag_draft(form)
            services.create_flag(
                session, project_key, draft, actor=current_caller().actor, now=now()
            )
    except FlagstoneError as error:
        with reading() as session:
            place(session, project_key, environment_key)
        return show("flags/new.html", status=400, form=form, problem=error, types=FLAG_TYPES)
    return back_to(_address(project_key, environment_key, str(draft["key"])))


@blueprint.get(f"{_PLACE}/flags/<path:flag_key>")
@needs(Role.VIEWER)
def show_flag(project_key: str, environment_key: str, flag_key: str) -> ResponseReturnValue:
    """Show what a flag does, its switches and its history."""
    return _page(project_key, environment_key, flag_key)


@blueprint.post(f"{_PLACE}/do/<path:flag_key>/<any(change, kill):verb>")
@needs(Role.EDITOR)
def change_flag(
    project_key: str, environment_key: str, flag_key: str, verb: str
) -> ResponseReturnValue:
    """Apply one instruction. A kill has an address of its own, and threads of its own."""
    form = request.form.to_dict()
    try:
        instruction = {"do": "kill"} if verb == "kill" else instruction_of(form)
        change = changes.parse_change(
            {
                "comment": form.get("comment", ""),
                "instructions": [{"flag": flag_key, **instruction}],
            }
        )
        with transaction() as session:
            changes.apply_change(
                session,
                project_key,
                environment_key,
                change,
                actor=current_caller().actor,
                now=now(),
            )
    except FlagstoneError as error:
        if isinstance(error, NotFoundError):
            raise
        return _page(project_key, environment_key, flag_key, problem=error, form=form)
    return back_to(_address(project_key, environment_key, flag_key))


@blueprint.get(f"{_PLACE}/revisions/<int:number>")
@needs(Role.VIEWER)
def show_revision(project_key: str, environment_key: str, number: int) -> ResponseReturnValue:
    """Show the flag set as it was published then."""
    with reading() as session:
        environment = place(session, project_key, environment_key)
        revision = get_revision(session, environment.id or 0, number)
        document = json.loads(_inflate(revision.flag_set))
    return show("flags/revision.html", revision=revision, document=document)


def _inflate(stored: bytes) -> bytes:
    import zlib

    return zlib.decompress(stored)


def _address(project_key: str, environment_key: str, flag_key: str) -> str:
    return url_for(
        "console.show_flag",
        project_key=project_key,
        environment_key=environment_key,
        flag_key=flag_key,
    )


def _page(
    project_key: str,
    environment_key: str,
    flag_key: str,
    *,
    problem: FlagstoneError | None = None,
    form: dict[str, str] | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
        flag = services.get_flag(session, project_key, flag_key)
        history = services.flag_history(
            session, project_key, flag_key, environment_key=environment_key, limit=_HISTORY
        )
        under_experiment = [
            each
            for each in experiment_services.list_experiments(
                session, project_key, environment_key=environment_key, flag_key=flag_key
            )
            if each.started_at is not None
        ]
    here = flag.environments.get(environment_key)
    if here is None:
        message = f"flag {flag_key!r} is archived"
        raise InvalidInputError(message, field="flag", hint="restore it over the API")
    return show(
        "flags/page.html",
        status=200 if problem is None else 400,
        flag=flag,
        here=here,
        rules=[_rule(rule) for rule in here.document["rules"]],
        history=history,
        experiments=under_experiment,
        operators=OPERATORS,
        problem=problem,
        form=form or {},
        project_key=project_key,
        environment_key=environment_key,
        etag=here.version,
    )


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
