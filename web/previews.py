"""What proves that a change was previewed: a token bound to its content, its base and its caller.

Signed with the service's secret and good for a quarter of an hour. It is no right of its own: a
budget may ask for it before a change is applied (:mod:`flags.budgets`), nothing else does.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Any

from itsdangerous import BadSignature, SignatureExpired
from pydantic import Field

from flags.canonical import canonical_bytes, digest
from flags.errors import InvalidInputError
from flags.instructions import Change
from web.auth.guard import current_caller
from web.security import signer

LIFETIME_SECONDS = 900
# As a caller sends it back.
PreviewToken = Annotated[str, Field(max_length=1024)]
_AGAIN = "preview it again, and send the preview_token of the answer"


def preview_token(project_key: str, environment_key: str, change: Change, revision: int) -> str:
    """Return the token for a preview that was made on a revision."""
    return seal_preview(_content(project_key, environment_key, change), revision)


def previewed_revision(project_key: str, environment_key: str, change: Change) -> int | None:
    """Return the revision on which the caller previewed this very change; ``None`` without a token.

    Raises
    ------
    InvalidInputError
        As :func:`open_preview`.
    """
    if change.preview_token is None:
        return None
    return int(open_preview(change.preview_token, _content(project_key, environment_key, change)))


def seal_preview(content: list[Any], base: Any) -> str:
    """Return the token for a preview of ``content``, which was made on ``base``."""
    bound = [_digest(content), base, current_caller().principal]
    return signer("flagstone-preview").dumps(bound)


def open_preview(token: str, content: list[Any]) -> Any:
    """Return on which base the caller previewed this very content.

    Raises
    ------
    InvalidInputError
        If the token is not ours, too old, another caller's, or of another change.
    """
    try:
        sealed, base, principal = signer("flagstone-preview").loads(token, max_age=LIFETIME_SECONDS)
    except SignatureExpired:
        message = "this preview is too old"
        raise InvalidInputError(message, field="preview_token", hint=_AGAIN) from None
    except (BadSignature, ValueError):
        message = "this is no preview token"
        raise InvalidInputError(message, field="preview_token", hint=_AGAIN) from None
    if principal != current_caller().principal:
        message = "somebody else previewed this"
        raise InvalidInputError(message, field="preview_token", hint=_AGAIN)
    if not hmac.compare_digest(str(sealed), _digest(content)):
        message = "this is not the change that was previewed"
        raise InvalidInputError(message, field="preview_token", hint=_AGAIN)
    return base


def _digest(content: list[Any]) -> str:
    return digest(canonical_bytes(content))


def _content(project_key: str, environment_key: str, change: Change) -> list[Any]:
    instructions = [each.model_dump(mode="json", by_alias=True) for each in change.instructions]
    return [project_key, environment_key, instructions]
