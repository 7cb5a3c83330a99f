"""Stored policies: with which error rates is decided, tried before any plan may take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.contract.policy import BUILT_IN
from experiments.policies import services as policies
from experiments.policies.models import PolicyRow
from experiments.policies.views import (
    built_in_document,
    built_in_documents,
    policy_documents,
    version_document,
)
from flags import services
from web.api.blueprint import blueprint
from web.api.idempotency import idempotent
from web.api.render import WholeQuery, document, upon_expected
from web.api.shapes import POLICY, POLICY_WITH_HISTORY, list_of
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import NoBody, Query, read_body, read_object, read_query
from web.contract import Document, gives, takes
from web.transactions import reading, transaction

_ITEM = "/projects/<project_key>/policies/<policy_name>"
_VERBS: Mapping[str, Callable[..., PolicyRow]] = {
    "publish": policies.publish,
    "archive": partial(policies.set_archived, archived=True),
    "unarchive": partial(policies.set_archived, archived=False),
}
POLICY_DOCUMENT = Document("PolicyDocument", "A policy: with which error rates is decided.")


class ListQuery(WholeQuery):
    """Which policies: those in use, or those that were archived."""

    archived: bool = False


@blueprint.get("/projects/<project_key>/policies")
@needs(Role.VIEWER)
@takes(query=ListQuery)
@gives(list_of(POLICY))
def list_policies(project_key: str) -> ResponseReturnValue:
    """List built-in and stored policies, each with its operating characteristics."""
    query = read_query(ListQuery)
    with reading() as session:
        rows = policies.list_policies(session, project_key, archived=query.archived)
        stored = policy_documents(session, rows)
    return document(
        query.page([*([] if query.archived else built_in_documents()), *stored], "name")
    )


@blueprint.get(_ITEM)
@needs(Role.VIEWER)
@gives(POLICY_WITH_HISTORY, etag=True)
def get_policy(project_key: str, policy_name: str) -> ResponseReturnValue:
    """Return a policy with all its versions; its ETag is the newest one."""
    read_query(Query)
    with reading() as session:
        if policy_name in BUILT_IN:
            services.get_project(session, project_key)
            return document({**built_in_document(BUILT_IN[policy_name]), "history": []})
        row = policies.get_policy(session, project_key, policy_name)
        history = policies.policy_history(session, row)
        found = policies.trials(session, [row, *history])
        body = _whole(session, row)
        body["history"] = [version_document(each, found.get(each.rules_hash)) for each in history]
        return _answer(row, body)


@blueprint.put(_ITEM)
@needs(Role.EDITOR)
@takes(body=POLICY_DOCUMENT, if_match=True)
@gives(POLICY, 200, 201, etag=True)
def put_policy(project_key: str, policy_name: str) -> ResponseReturnValue:
    """Write a policy's next version, a draft: the body is its document."""
    body = read_object()
    with transaction() as session:
        row, is_new = policies.put_policy(
            session, project_key, policy_name, body, **upon_expected()
        )
        return _answer(row, _whole(session, row), status=201 if is_new else 200)


@blueprint.post(f"{_ITEM}/<any(publish, archive, unarchive):verb>")
@needs(Role.EDITOR)
@idempotent()
@takes(if_match=True)
@gives(POLICY, etag=True)
def change_policy(project_key: str, policy_name: str, verb: str) -> ResponseReturnValue:
    """Let plans take a draft that was tried; take a policy out of use for new plans, or back."""
    read_body(NoBody)
    with transaction() as session:
        row = _VERBS[verb](session, project_key, policy_name, **upon_expected())
        return _answer(row, _whole(session, row))


def _whole(session: Session, row: PolicyRow) -> dict[str, Any]:
    (body,) = policy_documents(session, [row])
    return body


def _answer(row: PolicyRow, body: dict[str, Any], *, status: int = 200) -> Response:
    # What is still being computed will change under the same version: nobody may keep it.
    waits = body["characteristics"] is None and not row.archived
    return document(body, status=status, etag=None if waits else row.version)
