"""Stored policies: what each does beside the house's own, before any plan may take it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.contract.policy import BUILT_IN
from experiments.policies import services as policies
from experiments.policies.models import PolicyRow
from experiments.policies.standard import PROOF_28D_TRIAL
from experiments.policies.text import as_toml, differences
from experiments.policies.views import (
    built_in_document,
    built_in_documents,
    policy_documents,
    version_document,
)
from experiments.policies.words import COUNTS, ENDS, counted, ended, per_thousand, rests_on
from flags.errors import FlagstoneError, InvalidInputError
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import (
    back_to,
    blueprint,
    place,
    seen_version,
    show,
    status_of,
    unchanged,
    version_of,
    wants_fragment,
)
from web.console.forms import field_in
from web.console.policy_form import RARE, document_of, form_of
from web.transactions import reading, transaction

_PLACE = "/projects/<project_key>/environments/<environment_key>"
_ITEM = f"{_PLACE}/policies/<policy_name>"
_VERBS: Mapping[str, Callable[..., PolicyRow]] = {
    "publish": policies.publish,
    "archive": partial(policies.set_archived, archived=True),
    "unarchive": partial(policies.set_archived, archived=False),
}

TEMPLATE = """name = "ours-14d"
description = "Two weeks for changes that many people meet."
horizon = "14d"                    # prove_by of plans that name none
alpha_ship = 0.025                 # chance to ship a change that does nothing, one test alone
alpha_harm = 0.025                 # chance to stop a change for harm that does none
# What is not said is as in proof-28d:
# alpha_guardrail = 0.025
# beta_futility = 0.10
# minimum = "7d"                   # nothing ships before
# ship_every = "7d"
# looks = [{every = "1h", until = "2d"}, {every = "1d"}]
# ramp = [{coverage = 0.1, hold = "1d"}, {coverage = 0.5, hold = "1d"}]
"""


@blueprint.get(f"{_PLACE}/policies")
@needs(Role.VIEWER)
def list_policies(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List built-in and stored policies by what they do to a thousand changes."""
    archived = request.args.get("archived") == "true"
    with reading() as session:
        place(session, project_key, environment_key)
        rows = policies.list_policies(session, project_key, archived=archived)
        stored = policy_documents(session, rows)
    return show(
        "policies/list.html",
        policies=[*([] if archived else built_in_documents()), *stored],
        archived=archived,
        per_thousand=per_thousand,
    )


@blueprint.get(f"{_PLACE}/new-policy")
@needs(Role.EDITOR, of="project")
def new_policy(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask for a policy."""
    with reading() as session:
        place(session, project_key, environment_key)
    return _editor(TEMPLATE, form_of({}))


@blueprint.post(f"{_PLACE}/new-policy")
@needs(Role.EDITOR, of="project")
def create_policy(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Write a new policy from the form, or from its text."""
    return _write(project_key, environment_key, None)


@blueprint.get(f"{_ITEM}/edit")
@needs(Role.EDITOR, of="project")
def edit_policy(project_key: str, environment_key: str, policy_name: str) -> ResponseReturnValue:
    """Ask for the next version of a policy."""
    with reading() as session:
        place(session, project_key, environment_key)
        row = policies.get_policy(session, project_key, policy_name)
        text = _text(row)
        form = {**form_of(row.document), "description": row.description}
        return _editor(text, form, name=row.name, version=row.version)


@blueprint.post(f"{_ITEM}/edit")
@needs(Role.EDITOR, of="project")
def write_policy(project_key: str, environment_key: str, policy_name: str) -> ResponseReturnValue:
    """Write the next version of a policy from the form, or from its text."""
    return _write(project_key, environment_key, policy_name)


@blueprint.get(_ITEM)
@needs(Role.VIEWER)
def show_policy(project_key: str, environment_key: str, policy_name: str) -> ResponseReturnValue:
    """Show a policy: what it does beside proof-28d, its rules, its versions."""
    return _page(project_key, environment_key, policy_name)


@blueprint.post(f"{_ITEM}/<any(publish, archive, unarchive):verb>")
@needs(Role.EDITOR, of="project")
def change_policy(
    project_key: str, environment_key: str, policy_name: str, verb: str
) -> ResponseReturnValue:
    """Let plans take a draft that was checked; take a policy out of use, or back."""
    change = _VERBS[verb]
    try:
        with transaction() as session:
            change(
                session, project_key, policy_name, expected_version=seen_version(), **who_and_when()
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, policy_name, problem=error)
    return back_to(_address(project_key, environment_key, policy_name))


def _page(
    project_key: str,
    environment_key: str,
    policy_name: str,
    *,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
        policy = _policy(session, project_key, policy_name)
    version = version_of(policy["version"], policy["state"])
    if unchanged(version):
        return "", 204
    found = policy["characteristics"]
    tried = found if found is not None and "reason" not in found else None
    return show(
        "policies/_body.html" if wants_fragment() else "policies/page.html",
        status=status_of(problem),
        policy=policy,
        version=version,
        problem=problem,
        tried=tried,
        counts=() if tried is None else [(each, *_beside(tried, each.key)) for each in COUNTS],
        ends=()
        if tried is None
        else [(what, ended(tried, key), ended(PROOF_28D_TRIAL, key)) for key, what in ENDS],
        rests_on=None if tried is None else rests_on(tried),
        differences=list(differences(policy["document"])),
        text=as_toml(policy["document"]),
        per_thousand=per_thousand,
    )


def _beside(tried: Mapping[str, Any], key: str) -> tuple[str, str]:
    return counted(tried[key]), counted(PROOF_28D_TRIAL[key])


def _policy(session: Session, project_key: str, policy_name: str) -> dict[str, Any]:
    if policy_name in BUILT_IN:
        return {**built_in_document(BUILT_IN[policy_name]), "history": []}
    row = policies.get_policy(session, project_key, policy_name)
    history = policies.policy_history(session, row)
    found = policies.trials(session, history)
    (policy,) = policy_documents(session, [row])
    versions = [version_document(each, found.get(each.rules_hash)) for each in history]
    return {**policy, "history": versions}


def _write(project_key: str, environment_key: str, name: str | None) -> ResponseReturnValue:
    form = None if "text" in request.form else request.form.to_dict()
    text = request.form.get("text", TEMPLATE).replace("\r\n", "\n")
    try:
        document = _read(text) if form is None else document_of(form)
        named = name or document.get("name")
        if not isinstance(named, str):
            message = "the policy has no name"
            raise InvalidInputError(message, field="name", hint='name = "ours-14d"')
        with transaction() as session:
            expected = seen_version()
            if name is None and _exists(session, project_key, named):
                raise InvalidInputError(
                    f"there is a policy {named!r} already",
                    field="name",
                    hint="write its next version on its own page, or take another name",
                )
            policies.put_policy(
                session, project_key, named, document, expected_version=expected, **who_and_when()
            )
    except FlagstoneError as error:
        with reading() as session:
            place(session, project_key, environment_key)
            if form is not None and name is not None:
                text = _text(policies.get_policy(session, project_key, name))
        version = request.form.get("version")
        return _editor(text, form, name=name, version=version, problem=error)
    return back_to(_address(project_key, environment_key, named))


def _read(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInputError(f"this is not TOML: {error}", field="text") from None


def _text(row: PolicyRow) -> str:
    return as_toml({"name": row.name, "description": row.description, **row.document})


def _exists(session: Session, project_key: str, name: str) -> bool:
    every = policies.list_policies(session, project_key, archived=None)
    return name in {row.name for row in every}


def _editor(
    text: str,
    form: dict[str, str] | None,
    *,
    name: str | None = None,
    version: int | str | None = None,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    return show(
        "policies/edit.html",
        status=status_of(problem),
        text=text,
        form=form,
        wrong=None if form is None or problem is None else field_in(form, problem.field),
        rare=RARE,
        name=name,
        version=version,
        problem=problem,
    )


def _address(project_key: str, environment_key: str, policy_name: str) -> str:
    return url_for(
        "console.show_policy",
        project_key=project_key,
        environment_key=environment_key,
        policy_name=policy_name,
    )
