"""Kill hooks: addresses by which an alert may kill certain flags of an environment."""

from __future__ import annotations

from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field

from web.api.blueprint import blueprint
from web.api.filtered import filtered_by
from web.api.idempotency import idempotent
from web.api.render import document
from web.api.shapes import KILL_HOOK, NEW_KILL_HOOK, list_of
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.body import Body, read_body, read_query
from web.contract import gives, takes
from web.lists import KILL_HOOKS
from web.transactions import reading, transaction
from web.webhooks import kill_hooks
from web.webhooks.models import KillHook

_LIST = "/projects/<project_key>/environments/<environment_key>/kill-hooks"
_KILL_HOOKS = filtered_by(KILL_HOOKS)
Text = Annotated[str, Field(max_length=256)]


class KillHookBody(Body):
    """A kill hook to make: ``names`` are keys of flags, owners, or tags."""

    name: Annotated[str, Field(max_length=1024)]
    scope: Annotated[str, Field(max_length=64, json_schema_extra={"enum": kill_hooks.SCOPES})]
    names: Annotated[list[Text], Field(max_length=kill_hooks.MOST_NAMES)]


@blueprint.get(_LIST)
@needs(Role.ADMIN)
@takes(query=_KILL_HOOKS)
@gives(list_of(KILL_HOOK))
def list_kill_hooks(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List an environment's kill hooks, newest first."""
    query = read_query(_KILL_HOOKS)
    with reading() as session:
        found = kill_hooks.list_hooks(session, project_key, environment_key)
    return document(query.page([_show(each) for each in found], "id"))


@blueprint.post(_LIST)
@needs(Role.ADMIN)
@idempotent(secret=True)
@takes(body=KillHookBody)
@gives(NEW_KILL_HOOK, 201)
def create_kill_hook(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Make a kill hook; its secret is shown this once."""
    body = read_body(KillHookBody)
    with transaction() as session:
        secret, made = kill_hooks.create_hook(
            session, project_key, environment_key, **body.model_dump(), **who_and_when()
        )
        return document({**_show(made), "secret": secret}, status=201)


@blueprint.post(f"{_LIST}/<int(max=2147483647):hook_id>/revoke")
@needs(Role.ADMIN)
@gives(KILL_HOOK)
def revoke_kill_hook(project_key: str, environment_key: str, hook_id: int) -> ResponseReturnValue:
    """Shut a kill hook for ever."""
    with transaction() as session:
        hook = kill_hooks.revoke_hook(
            session, project_key, environment_key, hook_id, **who_and_when()
        )
        return document(_show(hook))


def _show(hook: KillHook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "name": hook.name,
        "scope": hook.scope,
        "names": hook.names,
        "created_by": hook.created_by,
        "created_at": hook.created_at,
        "revoked_at": hook.revoked_at,
        "used_at": hook.used_at,
    }
