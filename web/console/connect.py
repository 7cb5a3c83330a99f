"""How code gets its first answer: snippets with the real address, and an ear for the first call."""

from __future__ import annotations

from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from flags import services
from flags.errors import NotFoundError
from flags.hearing import Heard, last_heard
from flags.models import Environment
from flags.services import FlagView
from web.auth import service as auth
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import blueprint, place, show, wants_fragment
from web.transactions import our_address, reading

_GETTERS = {
    "boolean": ("get_boolean", "False"),
    "string": ("get_string", '"…"'),
    "integer": ("get_integer", "0"),
    "float": ("get_float", "0.0"),
    "object": ("get_object", "{}"),
}
_EXAMPLE = ("my-flag", "boolean")


@blueprint.get("/projects/<project_key>/environments/<environment_key>/connect")
@needs(Role.VIEWER)
def show_connection(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Show how to call, and whether somebody has."""
    with reading() as session:
        environment = place(session, project_key, environment_key)
        flag = _flag(session, project_key, request.args.get("flag", ""))
        values = snippet(session, environment, flag)
    return show(
        "_listen.html" if wants_fragment() else "connect.html",
        project_key=project_key,
        environment_key=environment_key,
        **values,
    )


def snippet(session: Session, environment: Environment, flag: FlagView | None) -> dict[str, Any]:
    """Give what the snippets and the ear need for a flag, or for one that is made up."""
    key, kind = _EXAMPLE if flag is None else (flag.key, flag.type)
    getter, otherwise = _GETTERS[kind]
    return {
        "heard": heard(session, environment),
        "snippet_flag": key,
        "getter": getter,
        "otherwise": otherwise,
        "base": our_address(),
    }


def heard(session: Session, environment: Environment) -> Heard | None:
    """Give the newest sign that anybody calls in an environment."""
    signs = [last_heard(session, environment.id or 0)]
    used = auth.last_used_key(session, environment.id or 0)
    if used is not None:
        signs.append(Heard(used[1], f"the key {used[0]}"))
    known = [sign for sign in signs if sign is not None]
    return max(known, key=lambda sign: sign.at, default=None)


def _flag(session: Session, project_key: str, key: str) -> FlagView | None:
    if key:
        try:
            return services.get_flag(session, project_key, key)
        except NotFoundError:
            return None
    flags = services.list_flags(session, project_key, limit=1)
    return flags[0] if flags else None
