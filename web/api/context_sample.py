"""The sample of contexts that previews count over: how large it is, and whether it is kept."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field

from flags.context_samples import Sample
from flags.revisions import lock_environment
from flags.sampling import get_sample, switch_sample
from web.api.blueprint import blueprint
from web.api.render import content_etag, document, etag_of, expect_content
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
@gives(CONTEXT_SAMPLE, etag=True)
def get_context_sample(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say how large and how old the sample is; its contexts are never shown."""
    read_query(Query)
    with reading() as session:
        return _answer(get_sample(session, project_key, environment_key, now=now()))


@blueprint.put(_SAMPLE)
@needs(Role.ADMIN)
@takes(body=SampleBody, if_match=True)
@gives(CONTEXT_SAMPLE, etag=True)
def switch_context_sample(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Keep a sample or keep none; to switch it off forgets what was kept."""
    body = read_body(SampleBody)
    with transaction() as session:
        environment = lock_environment(session, project_key, environment_key)
        expect_content({"on": environment.sample_contexts}, {"on": body.on})
        sample = switch_sample(
            session,
            project_key,
            environment_key,
            on=body.on,
            comment=body.comment,
            **who_and_when(),
        )
        return _answer(sample)


def _answer(sample: Sample) -> Response:
    shown = sample.document()
    return document(shown, etag=etag_of(content_etag({"on": shown["on"]}), shown))
