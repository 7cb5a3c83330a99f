"""A project as files: read whole, and made like them in one transaction."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from flags.changes import Change
from flags.errors import InvalidInputError
from flags.files import read_tree
from flags.plain import MAX_COMMENT_LENGTH
from flags.trees import TreeOutcome, Wish, apply_tree, export_tree
from web.api.blueprint import blueprint
from web.api.changes import request_document
from web.api.idempotency import idempotent
from web.api.render import document, with_revisions
from web.api.shapes import FILES, FILES_APPLIED
from web.auth.guard import needs, who_and_when, writing
from web.auth.roles import Role
from web.auth.scope import may_override, require_for_change
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes, waits
from web.previews import PreviewToken, open_preview, seal_preview
from web.transactions import reading, transaction

_FILES = "/projects/<project_key>/files"


class FilesBody(Body):
    """Flags and segments by key, as ``GET …/files`` gives them, and what to do with them."""

    flags: dict[str, Any] = Field(default_factory=dict)
    segments: dict[str, Any] = Field(default_factory=dict)
    mode: Literal["preview", "apply", "request"] = "preview"
    prune: bool = Field(default=False, description="Archive and remove what is not named.")
    environments: list[str] | None = Field(default=None, description="In these alone.")
    base: dict[str, int] = Field(
        default_factory=dict, description="Revisions that the environments must still be at."
    )
    comment: Annotated[str, Field(max_length=MAX_COMMENT_LENGTH)] = ""
    override: Annotated[str, Field(max_length=MAX_COMMENT_LENGTH)] = ""
    preview_token: PreviewToken | None = None


@blueprint.get(_FILES)
@needs(Role.VIEWER)
@gives(FILES)
def export_files(project_key: str) -> ResponseReturnValue:
    """Return every flag and segment as its file, and the revision of each environment."""
    read_query(Query)
    with reading() as session:
        return document(export_tree(session, project_key))


@blueprint.post(f"{_FILES}/import")
@needs(Role.EDITOR)
@idempotent()
@takes(body=FilesBody)
@gives(FILES_APPLIED)
@gives(FILES_APPLIED, 201)
@waits
def apply_files(project_key: str) -> ResponseReturnValue:
    """Preview, apply or ask for files: one change for each environment that differs, all or none.

    New flags are made by a request too: they are off everywhere until a change is approved.
    """
    body = read_body(FilesBody)
    if body.override and body.mode == "request":
        message = "only what is applied at once can override a rule"
        raise InvalidInputError(message, field="override", hint="leave it out")
    tree = read_tree(body.flags, body.segments)
    content = [project_key, "files", body.flags, body.segments, body.prune, body.environments]
    wish = Wish(
        comment=body.comment or "From files",
        override=body.override,
        prune=body.prune,
        only=body.environments,
        base=body.base,
    )
    token = body.preview_token
    with transaction() as session:
        outcome = apply_tree(
            session,
            project_key,
            tree,
            wish,
            preview=body.mode == "preview",
            allowed=_allowed(session, project_key),
            by=writing(session) if body.mode == "request" else None,
            previewed=None if token is None else open_preview(token, content),
            **who_and_when(),
        )
        told = _told(outcome, body.mode)
        if body.mode == "preview":
            told["preview_token"] = seal_preview(content, outcome.base)
            return document(told)
        if body.mode == "request":
            told["changes"] = [request_document(session, each) for each in outcome.requests]
        answer = document(told, status=201 if outcome.requests else 200)
        if outcome.requests:
            return answer
        return with_revisions(
            answer, session, project_key, outcome.published or body.environments or outcome.base
        )


def _allowed(session: Session, project_key: str) -> Any:
    def allowed(environment_key: str, change: Change) -> bool:
        require_for_change(session, project_key, environment_key, change)
        return may_override(session, project_key, environment_key, change)

    return allowed


def _told(outcome: TreeOutcome, mode: str) -> dict[str, Any]:
    environments = {}
    for key, told in outcome.previews.items():
        result = outcome.results.get(key, told)
        effect = told.effect
        environments[key] = {
            "sentence": told.sentence,
            "revision": result.revision_number,
            "flags": list(told.after),
            "segments": list(told.segments_after),
            "verdict": None if effect is None else effect.verdict,
            "verdict_sentence": "" if effect is None else effect.sentence,
            "approvals": {"needed": told.approvals_needed},
            "blocked_by": [each.document() for each in told.blocked_by],
        }
    return {
        "mode": mode,
        "changed": outcome.changed,
        "created": outcome.created,
        "published": outcome.published,
        "environments": environments,
    }
