"""Flags, segments, and the one way to change them."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from flags import change_requests, services
from flags.budgets import Spending
from flags.changes import Change, ChangeResult, apply_change, parse_change, preview_change
from flags.drafts import FlagDraft
from flags.errors import InvalidInputError
from flags.filters import MAX_FILTER_LENGTH
from flags.plain import MAX_COMMENT_LENGTH
from flags.services import FlagInEnvironment, FlagView, SegmentView
from web.api.audit import HistoryQuery, entry_page
from web.api.blueprint import blueprint
from web.api.changes import request_document
from web.api.filtered import filtered_by
from web.api.idempotency import idempotent
from web.api.render import Expected, PageQuery, document, expected, page, with_revisions
from web.api.shapes import AUDIT_ENTRY, CHANGED, FLAG, PUBLISHED_FLAG, SEGMENT, WAITING, list_of
from web.auth.allowed import own_allowances
from web.auth.guard import current_caller, needs, who_and_when, writing
from web.auth.roles import Role
from web.auth.scope import may_override, require_for_change
from web.body import Body, Query, read_body, read_object, read_query
from web.contract import Document, gives, takes, waits
from web.flag_search import search_flags
from web.lists import SEGMENTS
from web.previews import PreviewToken, preview_token, previewed_revision
from web.transactions import now, reading, transaction

_SEGMENTS = filtered_by(SEGMENTS)
_INSTRUCTION_BY_VERB = {"on": "turn_on", "off": "turn_off", "kill": "kill", "unkill": "unkill"}
_IN_ENVIRONMENT = "/projects/<project_key>/flags/<path:flag_key>/environments/<environment_key>"
FLAG_DRAFT = Document(
    "FlagDraft",
    "A flag to make; boolean, with the variants on and off, unless it says otherwise.",
    FlagDraft,
    {"properties": {"comment": {"type": "string", "maxLength": MAX_COMMENT_LENGTH}}},
)
FILTER = 'Such as owner:me state:ramping changed:<1d -is:archived "new page".'
CHANGE = Document(
    "Change",
    "Instructions that are done together or not at all. A flag beside them stands for every "
    "instruction that names none.",
    Change,
    {"properties": {"flag": {"type": "string"}}, "required": ["environment"]},
)


class FlagQuery(PageQuery):
    """Which flags, by the filter language; archived ones or not; one environment or all."""

    filter: Annotated[str, Field(max_length=MAX_FILTER_LENGTH, description=FILTER)] = ""
    archived: bool = False
    environment: Annotated[str, Field(max_length=64)] | None = None


class SwitchBody(Body):
    """Why; whether only to say what would happen, and the token that such a preview gave."""

    comment: Annotated[str, Field(max_length=2000)] = ""
    mode: Literal["preview", "apply"] = "apply"
    override: Annotated[str, Field(max_length=MAX_COMMENT_LENGTH)] = ""
    preview_token: PreviewToken | None = None


@blueprint.get("/projects/<project_key>/flags")
@needs(Role.VIEWER)
@takes(query=FlagQuery)
@gives(list_of(FLAG))
def list_flags(project_key: str) -> ResponseReturnValue:
    """List flags, by key unless ``sort:changed`` is asked for, a page at a time."""
    query = read_query(FlagQuery)
    with reading() as session:
        if query.environment is not None:
            services.get_environment(session, project_key, query.environment)
        found = search_flags(
            session,
            project_key,
            query.filter,
            environment_key=query.environment,
            archived=query.archived,
            shown_in=query.environment,
            after=query.after(),
            limit=query.limit,
        )
    items = [_flag(view, only=query.environment) for view in found.flags]
    return document(page(items, found.next_after))


@blueprint.post("/projects/<project_key>/flags")
@needs(Role.EDITOR)
@idempotent()
@takes(body=FLAG_DRAFT)
@gives(FLAG, 201, etag=True)
@waits
def create_flag(project_key: str) -> ResponseReturnValue:
    """Create a flag, off in every environment."""
    draft = read_object()
    comment = draft.pop("comment", "")
    if not isinstance(comment, str):
        message = "a comment is a string"
        raise InvalidInputError(message, field="comment")
    with transaction() as session:
        view = services.create_flag(session, project_key, draft, comment=comment, **who_and_when())
        answer = document(_flag(view), status=201, etag=_etag(view))
        return with_revisions(answer, session, project_key, view.environments)


@blueprint.get("/projects/<project_key>/flags/<path:flag_key>")
@needs(Role.VIEWER)
@gives(FLAG, etag=True)
def get_flag(project_key: str, flag_key: str) -> ResponseReturnValue:
    """Return a flag with its state in every environment."""
    read_query(Query)
    with reading() as session:
        view = services.get_flag(session, project_key, flag_key)
    return document(_flag(view), etag=_etag(view))


@blueprint.get(_IN_ENVIRONMENT)
@needs(Role.VIEWER)
@gives(PUBLISHED_FLAG, etag=True)
def get_flag_in_environment(
    project_key: str, flag_key: str, environment_key: str
) -> ResponseReturnValue:
    """Return a flag as it is published in one environment, and the sentence that says it."""
    read_query(Query)
    with reading() as session:
        services.get_environment(session, project_key, environment_key)
        view = services.get_flag(session, project_key, flag_key)
    here = view.environments[environment_key]
    body = {**here.document, **_standing(here), "name": view.name, "archived": view.archived}
    return document(body, etag=f"v{here.version}")


@blueprint.post(f"{_IN_ENVIRONMENT}/<any(on, off, kill, unkill):verb>")
@needs(Role.EDITOR)
@idempotent()
@takes(body=SwitchBody, if_match="flag")
@gives(CHANGED, etag=True)
@waits
def switch_flag(
    project_key: str, flag_key: str, environment_key: str, verb: str
) -> ResponseReturnValue:
    """Turn a flag on or off, kill it, or lift the kill: one change, the same answer."""
    said = read_body(SwitchBody).model_dump()
    instruction = {"do": _INSTRUCTION_BY_VERB[verb], "flag": flag_key}
    change = parse_change({**said, "instructions": [instruction]})
    return carry_out(project_key, environment_key, change)


@blueprint.get("/projects/<project_key>/flags/<path:flag_key>/history")
@needs(Role.VIEWER)
@takes(query=HistoryQuery)
@gives(list_of(AUDIT_ENTRY))
def get_history(project_key: str, flag_key: str) -> ResponseReturnValue:
    """List what was done to a flag, newest first."""
    query = read_query(HistoryQuery)
    with reading() as session:
        services.get_flag(session, project_key, flag_key)
        entries = services.flag_history(
            session,
            project_key,
            flag_key,
            environment_key=query.environment,
            before_id=query.after_number(),
            limit=query.limit + 1,
        )
        return document(entry_page(session, entries, query.limit))


@blueprint.post("/projects/<project_key>/changes")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(body=CHANGE, if_match="flag")
@gives(CHANGED, etag=True)
@gives(WAITING, 201, etag=True)
@waits
def change_flags(project_key: str) -> ResponseReturnValue:
    """Preview, apply, ask for or schedule a list of instructions: all of them or none."""
    change = parse_change(read_object())
    if change.environment is None:
        message = "a change needs its environment"
        raise InvalidInputError(message, field="environment", hint='such as "production"')
    return carry_out(project_key, change.environment, change)


def carry_out(project_key: str, environment_key: str, change: Change) -> ResponseReturnValue:
    """Do with a change what its mode says, and answer."""
    with reading() as session:
        require_for_change(session, project_key, environment_key, change)
    if change.mode == "preview":
        wanted = expected()
        if wanted.flag_version is not None:
            message = "a preview is of the whole environment"
            hint = "send the environment's ETag"
            raise InvalidInputError(message, field="If-Match", hint=hint)
        with reading() as session:
            result = preview_change(
                session,
                project_key,
                environment_key,
                change,
                now=now(),
                expected_version=wanted.revision,
                spending=Spending({str(current_caller().actor)}),
            )
            budgets = _budgets(session, project_key, result)
        token = preview_token(project_key, environment_key, change, result.revision_number)
        more = {"preview_token": token, **({"budgets": budgets} if budgets else {})}
        return _changed(result, environment_key, "preview", **more)
    if change.mode in {"request", "schedule"}:
        return _submit(project_key, environment_key, change)
    return _apply(project_key, environment_key, change)


@blueprint.get("/projects/<project_key>/environments/<environment_key>/segments")
@needs(Role.VIEWER)
@takes(query=_SEGMENTS)
@gives(list_of(SEGMENT))
def list_segments(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List an environment's segments by key."""
    query = read_query(_SEGMENTS)
    with reading() as session:
        segments = services.list_segments(session, project_key, environment_key)
    return document(query.page([_segment(s) for s in segments]))


@blueprint.get("/projects/<project_key>/environments/<environment_key>/segments/<segment_key>")
@needs(Role.VIEWER)
@gives(SEGMENT, etag=True)
def get_segment(project_key: str, environment_key: str, segment_key: str) -> ResponseReturnValue:
    """Return a segment."""
    read_query(Query)
    with reading() as session:
        segment = services.get_segment(session, project_key, environment_key, segment_key)
    return document(_segment(segment), etag=segment.version)


def _submit(project_key: str, environment_key: str, change: Change) -> ResponseReturnValue:
    wanted = expected()
    with transaction() as session:
        made = change_requests.submit(
            session,
            project_key,
            environment_key,
            change,
            by=writing(session),
            now=now(),
            previewed=previewed_revision(project_key, environment_key, change),
            expected_version=wanted.revision,
            expected_flag_versions=_of_flags(wanted, change),
        )
        answer = document({"mode": change.mode, **request_document(session, made)}, status=201)
        answer.set_etag(str(made.version))
        answer.headers["Location"] = f"/api/v1/projects/{project_key}/changes/{made.id}"
        return answer


def _of_flags(wanted: Expected, change: Change) -> dict[str, int] | None:
    keys = {getattr(each, "flag", None) for each in change.instructions}
    return wanted.of_flags([key for key in keys if key is not None] if None not in keys else [])


def _apply(project_key: str, environment_key: str, change: Change) -> ResponseReturnValue:
    wanted = expected()
    with transaction() as session:
        result = apply_change(
            session,
            project_key,
            environment_key,
            change,
            expected_version=wanted.revision,
            expected_flag_versions=_of_flags(wanted, change),
            spending=Spending(
                {str(current_caller().actor)},
                previewed=previewed_revision(project_key, environment_key, change),
            ),
            may_override=may_override(session, project_key, environment_key, change),
            **who_and_when(),
        )
        answer = _changed(result, environment_key, "apply")
        return with_revisions(answer, session, project_key, result.published, first=environment_key)


def _budgets(session: Session, project_key: str, result: ChangeResult) -> dict[str, dict[str, Any]]:
    """Say what a change would use of the caller's budgets, and what is left of them now."""
    if not result.quotes:
        return {}
    mine = own_allowances(session, services.list_environments(session, project_key))
    return {
        each.environment: {**mine[each.environment].document(), **each.document()}
        for each in result.quotes
        if each.environment in mine
    }


def _changed(result: ChangeResult, environment_key: str, mode: str, **more: Any) -> Response:
    body = {
        "mode": mode,
        "environment": environment_key,
        "changed": result.changed,
        "sentence": result.sentence,
        "revision": result.revision_number,
        "published": result.published,
        "before": result.before,
        "after": result.after,
        "segments_before": result.segments_before,
        "segments_after": result.segments_after,
    }
    if result.effect is not None:
        elsewhere = {key: each.document() for key, each in result.elsewhere.items()}
        body |= {**result.effect.document(), "elsewhere": elsewhere}
    if mode == "preview":
        body["approvals"] = {"needed": result.approvals_needed}
        body |= more
        body["blocked_by"] = [each.document() for each in result.blocked_by]
    return document(body, etag=result.revision_number)


def _flag(view: FlagView, *, only: str | None = None) -> dict[str, Any]:
    return {
        "key": view.key,
        "type": view.type,
        "name": view.name,
        "description": view.description,
        "owner": view.owner,
        "client": view.client,
        "archived": view.archived,
        "expires": view.expires,
        "kind": view.kind,
        "metadata": view.metadata,
        "variants": view.variants,
        "created_at": view.created_at,
        "environments": {
            key: {**here.state, **_standing(here)}
            for key, here in view.environments.items()
            if only in {None, key}
        },
    }


def _standing(here: FlagInEnvironment) -> dict[str, Any]:
    return {
        "environment": here.environment,
        "version": here.version,
        "updated_at": here.updated_at,
        "state_word": here.state_word,
        "sentence": here.sentence,
    }


def _etag(view: FlagView) -> str:
    versions = [view.version, *(here.version for here in view.environments.values())]
    return hashlib.sha256(repr(versions).encode()).hexdigest()[:16]


def _segment(segment: SegmentView) -> dict[str, Any]:
    return {
        "key": segment.key,
        "name": segment.name,
        "condition": segment.condition,
        "created_at": segment.created_at,
        "version": segment.version,
    }
