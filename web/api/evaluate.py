"""What does this user see, and why; now or as of a past time."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from flags import services
from flags.errors import NotFoundError
from flags.revisions import load_flag_set, revision_at
from flagstone.engine import EvaluationDetails, compile_flag_set, explain, parse_flag_set
from web.api.blueprint import blueprint
from web.api.render import document
from web.api.shapes import EVALUATION
from web.api.times import Instant, parse_instant
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Body, read_body
from web.contract import gives, takes
from web.transactions import now, reading


class EvaluateBody(Body):
    """One flag or all of them, for a context, now or at a time, with or without the reasons."""

    flag: Annotated[str, Field(max_length=256)] | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    at: Instant | None = None
    explain: bool = False


@blueprint.post("/projects/<project_key>/environments/<environment_key>/evaluate")
@needs(Role.VIEWER)
@takes(body=EvaluateBody)
@gives(EVALUATION)
def evaluate(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Evaluate as the SDKs do; a past ``at`` takes the revision that was in force then."""
    body = read_body(EvaluateBody)
    moment = now() if body.at is None else parse_instant(body.at, field="at")
    with reading() as session:
        flag_set_document = _flag_set_at(session, project_key, environment_key, moment)
    flag_set = parse_flag_set(flag_set_document, strict=False)
    if body.flag is not None and body.flag not in flag_set.flags:
        message = f"there is no flag {body.flag!r} in this revision"
        raise NotFoundError(message, field="flag")
    compiled = compile_flag_set(flag_set)
    at = moment.timestamp()
    results = []
    for key in sorted(flag_set.flags) if body.flag is None else [body.flag]:
        result = _show(compiled.evaluate(key, body.context, at))
        if body.explain:
            explanation = explain(flag_set, key, body.context, at)
            result["explanation"] = {**explanation.to_document(), "text": explanation.to_text()}
        results.append(result)
    head = {"revision": flag_set_document["version"], "at": moment}
    return document({**results[0], **head} if body.flag is not None else {"items": results, **head})


def _flag_set_at(
    session: Session, project_key: str, environment_key: str, moment: dt.datetime
) -> dict[str, Any]:
    environment = services.get_environment(session, project_key, environment_key)
    assert environment.id is not None
    number = None
    if moment < now():
        number = revision_at(session, environment.id, moment).number
    return load_flag_set(session, environment.id, number)


def _show(details: EvaluationDetails) -> dict[str, Any]:
    return {
        "flag": details.flag_key,
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason.value,
        "on": details.on,
        "rule": details.rule_id,
        "error_code": None if details.error_code is None else details.error_code.value,
        "error_message": details.error_message,
        "metadata": dict(details.metadata),
    }
