"""A flag set from another product, or from a file, into an environment."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field

from flags.errors import InvalidInputError
from flags.imports import ImportOutcome, import_flag_set
from web.api.blueprint import blueprint
from web.api.idempotency import idempotent
from web.api.render import document, expected, with_revisions
from web.api.shapes import IMPORTED
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.body import Query, read_object, read_query
from web.contract import Document, gives, takes, waits
from web.previews import PreviewToken, open_preview, seal_preview
from web.transactions import reading, transaction

FLAG_SET = Document("FlagSet", "A flag set, as SDKs read it or as an importer writes it.")


class ImportQuery(Query):
    """Whether only to say what would happen, and why it is done."""

    preview: bool = False
    comment: Annotated[str, Field(max_length=2000)] = ""
    preview_token: PreviewToken | None = None


@blueprint.post("/projects/<project_key>/environments/<environment_key>/import")
@needs(Role.EDITOR)
@idempotent()
@takes(query=ImportQuery, body=FLAG_SET, if_match=True)
@gives(IMPORTED, etag=True)
@waits
def import_flags(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Preview or apply a flag set: what of it can come, in one revision."""
    query = read_query(ImportQuery)
    flag_set = read_object()
    wanted = expected()
    if wanted.flag_version is not None:
        message = "an import is of the whole environment"
        hint = "send the environment's ETag"
        raise InvalidInputError(message, field="If-Match", hint=hint)
    content = [project_key, environment_key, "import", flag_set]
    previewed = None
    if query.preview_token is not None:
        previewed = int(open_preview(query.preview_token, content))
    with reading() if query.preview else transaction() as session:
        outcome = import_flag_set(
            session,
            project_key,
            environment_key,
            flag_set,
            preview=query.preview,
            comment=query.comment,
            expected_version=wanted.revision,
            previewed=previewed,
            **who_and_when(),
        )
        if query.preview:
            token = seal_preview(content, outcome.revision_number)
            return _done(outcome, environment_key, "preview", preview_token=token)
        answer = _done(outcome, environment_key, "apply")
        return with_revisions(
            answer, session, project_key, outcome.published, first=environment_key
        )


def _done(outcome: ImportOutcome, environment_key: str, mode: str, **more: str) -> Response:
    body = {
        "mode": mode,
        "environment": environment_key,
        "changed": outcome.changed,
        "created": outcome.created,
        "updated": outcome.updated,
        "unchanged": outcome.unchanged,
        "refused": [{"name": name, "reason": why} for name, why in outcome.refused.items()],
        "sentences": outcome.sentences,
        "revision": outcome.revision_number,
        "published": outcome.published,
        "before": outcome.before,
        "after": outcome.after,
        "segments_before": outcome.segments_before,
        "segments_after": outcome.segments_after,
        **more,
    }
    if outcome.effect is not None:
        body |= outcome.effect.document()
    return document(body, etag=outcome.revision_number)
