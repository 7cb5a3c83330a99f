"""Take back what one entry of the audit says."""

from __future__ import annotations

from typing import Annotated

from flask.typing import ResponseReturnValue
from pydantic import Field

from flags import services
from flags.audit import get_entry, written_together
from flags.changes import parse_change
from flags.errors import NotInvertibleError
from flags.plain import MAX_COMMENT_LENGTH
from web.api.blueprint import blueprint
from web.api.flags import carry_out
from web.api.idempotency import idempotent
from web.api.shapes import CHANGED, WAITING
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Body, read_body
from web.contract import gives, takes, waits
from web.previews import PreviewToken
from web.transactions import reading


class UndoBody(Body):
    """How: only previewed unless ``mode`` says otherwise, alone or with all its change did."""

    mode: Annotated[str, Field(max_length=16)] = "preview"
    comment: Annotated[str, Field(max_length=MAX_COMMENT_LENGTH)] = ""
    together: bool = False
    at: Annotated[str, Field(max_length=64)] | None = None
    override: Annotated[str, Field(max_length=MAX_COMMENT_LENGTH)] = ""
    preview_token: PreviewToken | None = None


@blueprint.post("/projects/<project_key>/audit/<int(max=2147483647):entry_id>/undo")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(body=UndoBody, if_match=True)
@gives(CHANGED, etag=True)
@gives(WAITING, 201, etag=True)
@waits
def undo_entry(project_key: str, entry_id: int) -> ResponseReturnValue:
    """Preview, apply, ask for or schedule the inverse of an entry.

    409 names the fields that were changed since.
    """
    body = read_body(UndoBody)
    with reading() as session:
        project = services.get_project(session, project_key)
        assert project.id is not None
        entry = get_entry(session, project.id, entry_id)
        if entry.environment_id is None:
            message = f"entry {entry_id} ({entry.action} of {entry.resource}) cannot be undone"
            hint = "only changes of flags and segments can"
            raise NotInvertibleError(message, field="entry_id", hint=hint)
        environment = services.get_environment_by_id(session, entry.environment_id)
        entries = written_together(session, entry) if body.together else [entry]
    change = parse_change(
        {
            "mode": body.mode,
            "at": body.at,
            "override": body.override,
            "preview_token": body.preview_token,
            "comment": body.comment or f"Undo of entry {entry_id}",
            "instructions": [{"do": "undo", "entry": each.id} for each in entries],
        }
    )
    return carry_out(project_key, environment.key, change)
