"""The sample of contexts that previews count over: how large it is, and whether it is kept."""

from __future__ import annotations

from typing import Annotated

from flask.typing import ResponseReturnValue
from pydantic import Field

from flags.sampling import get_sample, switch_sample
from web.api.blueprint import blueprint
from web.api.render import document
from web.api.shapes import CONTEXT_SAMPLE
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.transactions import now, reading, transaction

_SAMPLE = "/projects/<project_key>/environments/<environment_key>/context-sample"


class SampleBody(Body):
    """Whether to keep a sample."""

    on: bool
    comment: Annotated[str, Field(max_length=2000)] = ""


@blueprint.get(_SAMPLE)
@needs(Role.VIEWER)
@gives(CONTEXT_SAMPLE)
def get_context_sample(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say how large and how old the sample is; its contexts are never shown."""
    read_query(Query)
    with reading() as session:
        sample = get_sample(session, project_key, environment_key, now=now())
    return document(sample.document())


@blueprint.put(_SAMPLE)
@needs(Role.ADMIN)
@takes(body=SampleBody)
@gives(CONTEXT_SAMPLE)
def switch_context_sample(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Keep a sample or keep none; to switch it off forgets what was kept."""
    body = read_body(SampleBody)
    with transaction() as session:
        sample = switch_sample(
            session,
            project_key,
            environment_key,
            on=body.on,
            comment=body.comment,
            **who_and_when(),
        )
    return document(sample.document())
