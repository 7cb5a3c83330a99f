"""Who serves a revision by now: live after a change, and as a page of its own."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from flags.receipts import receipt_of
from flags.revisions import get_revision
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import LARGEST_NUMBER, blueprint, place, show, wants_fragment
from web.transactions import now, reading

_SOON = dt.timedelta(minutes=2)


@blueprint.get(
    "/projects/<project_key>/environments/<environment_key>"
    f"/receipts/<int(max={LARGEST_NUMBER}):number>"
)
@needs(Role.VIEWER)
def show_receipt(project_key: str, environment_key: str, number: int) -> ResponseReturnValue:
    """Say which instances serve a revision, and name those that do not."""
    with reading() as session:
        environment = place(session, project_key, environment_key)
        revision = get_revision(session, environment.id or 0, number)
        receipt = receipt_of(session, environment.id or 0, number, now=now())
    fragment = wants_fragment()
    values: dict[str, Any] = {
        "receipt": receipt,
        # On the page that names everybody, there is nowhere else to lead.
        "whole": not fragment or request.args.get("whole") == "yes",
        # What has not arrived after minutes is not going to arrive within the second.
        "slow": now() - revision.created_at > _SOON,
        "revision": revision,
        "project_key": project_key,
        "environment_key": environment_key,
    }
    return show("_receipt.html" if fragment else "receipt.html", **values)
