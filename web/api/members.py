"""People who may sign in; for administrators."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field

from web.api.account import Email, NewPassword, user_document
from web.api.blueprint import blueprint
from web.api.filtered import filtered_by
from web.api.render import content_etag, document, expect_content
from web.api.shapes import PERSON, list_of
from web.auth import service
from web.auth.guard import current_caller, needs
from web.auth.models import User
from web.auth.roles import Role, RoleName
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.lists import PEOPLE
from web.transactions import now, reading, transaction

_PEOPLE = filtered_by(PEOPLE)
_ITEM = "/members/<int(max=2147483647):member_id>"
Text = Annotated[str, Field(max_length=1024)]


class MemberBody(Body):
    """A person to create."""

    email: Email
    password: NewPassword
    role: RoleName
    name: Text = ""


class MemberEdit(Body):
    """What to change about a person; what is left out stays."""

    role: RoleName | None = None
    disabled: bool | None = None
    password: NewPassword | None = None


@blueprint.get("/members")
@needs(Role.ADMIN)
@takes(query=_PEOPLE)
@gives(list_of(PERSON))
def list_members() -> ResponseReturnValue:
    """List everybody, by address."""
    query = read_query(_PEOPLE)
    current_caller().require_everywhere()
    with reading() as session:
        return document(query.page([user_document(u) for u in service.list_users(session)], "id"))


@blueprint.post("/members")
@needs(Role.ADMIN)
@takes(body=MemberBody)
@gives(PERSON, 201)
def create_member() -> ResponseReturnValue:
    """Create a person with a first password."""
    caller = current_caller()
    caller.require_everywhere()
    body = read_body(MemberBody)
    with transaction() as session:
        user = service.create_user(
            session,
            email=body.email,
            password=body.password,
            role=service.parse_role(body.role),
            name=body.name,
            by=caller.actor,
            now=now(),
        )
    return document(user_document(user), status=201)


@blueprint.get(_ITEM)
@needs(Role.ADMIN)
@gives(PERSON, etag=True)
def get_person(member_id: int) -> ResponseReturnValue:
    """Return a person; never the password."""
    read_query(Query)
    current_caller().require_everywhere()
    with reading() as session:
        return _answer(service.get_user(session, member_id))


@blueprint.patch(_ITEM)
@needs(Role.ADMIN)
@takes(body=MemberEdit, if_match=True)
@gives(PERSON, etag=True)
def change_member(member_id: int) -> ResponseReturnValue:
    """Change a role, shut a person out or in, give a new password; their sessions end."""
    caller = current_caller()
    caller.require_everywhere()
    body = read_body(MemberEdit)
    wanted = body.model_dump(exclude_unset=True, exclude={"password"})
    with transaction() as session:
        user = service.update_user(
            session,
            member_id,
            role=None if body.role is None else service.parse_role(body.role),
            disabled=body.disabled,
            password=body.password,
            by=caller.actor,
            expect=lambda found: expect_content(user_document(found), wanted),
        )
        return _answer(user)


def _answer(user: User) -> Response:
    shown = user_document(user)
    return document(shown, etag=content_etag(shown))
