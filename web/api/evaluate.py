"""What does this user see, and why; now or as of a past time."""

from __future__ import annotations

from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field

from flags import services
from web.api.blueprint import blueprint
from web.api.render import document
from web.api.shapes import EVALUATED_EVERYWHERE, EVALUATION
from web.api.times import Instant, parse_instant
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Body, read_body
from web.contract import gives, takes
from web.evaluation import Question, answer, answer_everywhere
from web.transactions import now, reading


class EvaluateBody(Body):
    """One flag or all of them, for a context, now or at a time, with or without the reasons."""

    flag: Annotated[str, Field(max_length=256)] | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    at: Instant | None = None
    explain: bool = False

    def question(self) -> Question:
        """Return what is asked."""
        at = now() if self.at is None else parse_instant(self.at, field="at")
        return Question(self.flag, self.context, at, now(), self.explain)


@blueprint.post("/projects/<project_key>/environments/<environment_key>/evaluate")
@needs(Role.VIEWER)
@takes(body=EvaluateBody)
@gives(EVALUATION)
def evaluate(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Evaluate as the SDKs do; a past ``at`` takes the revision that was in force then."""
    asked = read_body(EvaluateBody).question()
    with reading() as session:
        environment = services.get_environment(session, project_key, environment_key)
        found = answer(session, environment, asked)
    items = found.pop("items")
    head = {**found, "at": asked.at}
    return document({**items[0], **head} if asked.flag is not None else {"items": items, **head})


@blueprint.post("/projects/<project_key>/evaluate")
@needs(Role.VIEWER)
@takes(body=EvaluateBody)
@gives(EVALUATED_EVERYWHERE)
def evaluate_everywhere(project_key: str) -> ResponseReturnValue:
    """Evaluate in every environment, side by side, now or at a past time."""
    asked = read_body(EvaluateBody).question()
    with reading() as session:
        found = answer_everywhere(session, project_key, asked)
    return document({"at": asked.at, "environments": found})
