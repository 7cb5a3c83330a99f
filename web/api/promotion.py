"""Environments compared, and flags promoted from one to another."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask.typing import ResponseReturnValue
from pydantic import Field

from flags.changes import parse_change
from flags.comparison import Difference, compare_environments
from flags.instructions import FlagKey, SegmentKey
from flags.plain import MAX_COMMENT_LENGTH, MAX_INSTRUCTIONS
from web.api.blueprint import blueprint
from web.api.flags import carry_out
from web.api.idempotency import idempotent
from web.api.render import PageQuery, document, page
from web.api.shapes import CHANGED, COMPARISON, WAITING
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Body, read_body, read_query
from web.contract import gives, takes, waits
from web.previews import PreviewToken
from web.transactions import reading

_ENVIRONMENT = "/projects/<project_key>/environments/<environment_key>"
_FLAG = "/projects/<project_key>/flags/<path:flag_key>/environments/<environment_key>"


class DiffQuery(PageQuery):
    """Compared with which environment; one flag or all; as if what stays were carried too."""

    to: Annotated[str, Field(max_length=64)]
    flag: Annotated[str, Field(max_length=256)] | None = None
    targets: bool = False
    segments: bool = False


class PromotionBody(Body):
    """Where to, and what is carried besides what a flag decides."""

    to: Annotated[str, Field(max_length=64)]
    targets: bool = False
    segments: bool = False
    mode: Literal["preview", "apply", "request", "schedule"] = "apply"
    comment: Annotated[str, Field(max_length=MAX_COMMENT_LENGTH)] = ""
    at: Annotated[str, Field(max_length=64)] | None = None
    override: Annotated[str, Field(max_length=MAX_COMMENT_LENGTH)] = ""
    preview_token: PreviewToken | None = None


class PromotionOfSeveral(PromotionBody):
    """Which flags and segments; everything, where none are named."""

    flags: Annotated[list[FlagKey], Field(max_length=MAX_INSTRUCTIONS)] | None = None
    only_segments: Annotated[list[SegmentKey], Field(max_length=MAX_INSTRUCTIONS)] | None = None


@blueprint.get(f"{_ENVIRONMENT}/diff")
@needs(Role.VIEWER)
@takes(query=DiffQuery)
@gives(COMPARISON)
def compare_two_environments(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say what differs in another environment, and what a promotion would make of it there."""
    query = read_query(DiffQuery)
    with reading() as session:
        found = compare_environments(
            session,
            project_key,
            environment_key,
            query.to,
            flag_key=query.flag,
            targets=query.targets,
            segments=query.segments,
        )
    after = query.after()
    left = [each for each in found.differences if after is None or _place(each) > after]
    shown = left[: query.limit]
    more = _place(shown[-1]) if len(left) > query.limit else None
    return document(
        {
            **page([_difference(each) for each in shown], more),
            "source": {"environment": found.source, "revision": found.source_revision},
            "target": {"environment": found.target, "revision": found.target_revision},
            "differ": len(found.differences),
            "same": {"flags": found.same_flags, "segments": found.same_segments},
        }
    )


@blueprint.post(f"{_FLAG}/promote")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(body=PromotionBody, if_match="flag")
@gives(CHANGED, etag=True)
@gives(WAITING, 201, etag=True)
@waits
def promote_flag(project_key: str, flag_key: str, environment_key: str) -> ResponseReturnValue:
    """Bring a flag in another environment to how it is here: one change there, in any mode."""
    body = read_body(PromotionBody)
    return _promote(project_key, environment_key, body, [{"flag": flag_key}])


@blueprint.post(f"{_ENVIRONMENT}/promote")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(body=PromotionOfSeveral, if_match=True)
@gives(CHANGED, etag=True)
@gives(WAITING, 201, etag=True)
@waits
def promote_environment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Bring flags and segments of another environment to how they are here, in one change."""
    body = read_body(PromotionOfSeveral)
    chosen: list[dict[str, str]] = [{"flag": key} for key in body.flags or ()]
    chosen += [{"segment": key} for key in body.only_segments or ()]
    whole = body.flags is None and body.only_segments is None
    return _promote(project_key, environment_key, body, [{}] if whole else chosen)


def _promote(
    project_key: str, source: str, body: PromotionBody, chosen: list[dict[str, str]]
) -> ResponseReturnValue:
    common = {"do": "promote", "source": source, "targets": body.targets, "segments": body.segments}
    change = parse_change(
        {
            "environment": body.to,
            "mode": body.mode,
            "at": body.at,
            "override": body.override,
            "preview_token": body.preview_token,
            "comment": body.comment or f"Promoted from {source}",
            "instructions": [{**common, **each} for each in chosen],
        }
    )
    return carry_out(project_key, body.to, change)


def _place(difference: Difference) -> str:
    # Flags stand before segments, and so do their kinds.
    return f"{difference.kind}:{difference.key}"


def _difference(difference: Difference) -> dict[str, Any]:
    return {**asdict(difference), "promotable": difference.promotable}
