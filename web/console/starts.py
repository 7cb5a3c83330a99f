"""Three flags to begin with, each made by one click and ready for its one next step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from flags import changes, services
from flags.errors import FlagstoneError, InvalidInputError
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint
from web.transactions import transaction

_PLACE = "/projects/<project_key>/environments/<environment_key>"
_SWITCH = {"off": {"value": False, "on": False}, "on": {"value": True, "on": True}}
_PART = {"serve": {"split": {"weights": {"on": 1}, "coverage": 0.1}}}


@dataclass(frozen=True)
class Start:
    """A template of a flag.

    ``default`` is what everybody gets once it is on, beside the ``rules`` of the environment that
    it is made in; it begins switched off.
    """

    name: str
    title: str
    says: str
    key: str
    default: str
    rules: tuple[dict[str, Any], ...] = field(default=())


STARTS = (
    Start(
        "switch",
        "Switch a feature on",
        "Off for everybody; Turn on gives it to everybody at once.",
        "new-feature",
        "on",
    ),
    Start(
        "rollout",
        "Roll a change out step by step",
        "Turn on gives it to 10 %; each Next step to more.",
        "new-checkout",
        "off",
        (_PART,),
    ),
    Start(
        "brake",
        "Keep an emergency brake",
        "On for everybody; Kill takes it from everybody within seconds.",
        "search-suggestions",
        "on",
    ),
)
_BY_NAME = {each.name: each for each in STARTS}


@blueprint.post(f"{_PLACE}/start-flag")
@needs(Role.EDITOR, of="project")
def start_flag(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Make a flag from a template, and lead to its page."""
    start = _BY_NAME.get(request.form.get("template", ""))
    if start is None:
        message = "there is no such template"
        raise InvalidInputError(message, field="template", hint=", ".join(_BY_NAME))
    key = request.form.get("key", "").strip() or start.key
    try:
        _make(project_key, environment_key, start, key)
    except FlagstoneError:
        # The long form says what is wrong with the key, and how to mend it.
        return back_to(_address("new_flag", project_key, environment_key, key=key))
    return back_to(_address("show_flag", project_key, environment_key, flag_key=key))


def _address(view: str, project_key: str, environment_key: str, **more: Any) -> str:
    return url_for(
        f"console.{view}", project_key=project_key, environment_key=environment_key, **more
    )


def _make(project_key: str, environment_key: str, start: Start, key: str) -> None:
    draft = {
        "key": key,
        "description": start.title,
        "owner": current_caller().actor.name,
        "variants": _SWITCH,
        "default": start.default,
        "off": "off",
    }
    with transaction() as session:
        environment = services.get_environment(session, project_key, environment_key)
        services.create_flag(session, project_key, draft, **who_and_when())
        # Where others must approve, the author asks them with the first rule.
        role = current_caller().rights.in_environment(environment.project_id, environment.id or 0)
        if start.rules and not environment.approvals_needed and role.covers(Role.EDITOR):
            document = {
                "flag": key,
                "comment": f"made from the template “{start.title}”",
                "instructions": [{"do": "add_rule", "rule": rule} for rule in start.rules],
            }
            change = changes.parse_change(document)
            changes.apply_change(session, project_key, environment_key, change, **who_and_when())
