"""From the name of a stored policy in a plan to its whole table, once, when the plan is drafted."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, select

from experiments.contract.document import Reader
from experiments.contract.policy import BUILT_IN, parse_policy
from experiments.policies.models import PolicyRow, PolicyVersion
from experiments.policies.services import find_policy, list_policies, newest_published
from flags.services import get_project

Document = Mapping[str, Any]


def complete_policy(session: Session, project_key: str, document: Document) -> Document:
    """Copy the stored policy that a plan names into the plan.

    Raises
    ------
    PlanError
        If it is not there, or not published; if the plan says again what the policy says.
    """
    said = document.get("policy") if isinstance(document, Mapping) else None
    name = said.get("name") if isinstance(said, Mapping) else said
    if not isinstance(name, str) or name in BUILT_IN:
        # Whatever it is, the plan's reader knows it, or says what is wrong.
        return document
    project_id = get_project(session, project_key).id
    assert project_id is not None
    reader = Reader(document)
    row = find_policy(session, project_id, name)
    if isinstance(said, Mapping):
        _check_own(session, reader, said, row)
        return document
    if row is None:
        raise reader.fault(
            "policy",
            f"is {name!r}, which is neither built in nor stored",
            _near(session, project_key, name),
        )
    if row.archived:
        raise reader.fault(
            "policy", f"is {name!r}, which is archived", "take another, or bring it back"
        )
    taken = _version(session, reader, row)
    return {**document, "policy": taken.document, "policy_version": taken.version}


def newer_policy(session: Session, project_id: int, plan: Document) -> dict[str, Any] | None:
    """Tell whether the stored policy of a plan has other rules by now, or is archived.

    Returns
    -------
    dict, optional
        ``policy``, ``version`` (that was copied), ``newest`` and whether it is ``archived``.
    """
    if "policy_version" not in plan:
        return None
    name = plan["policy"]["name"]
    row = find_policy(session, project_id, name)
    newest = None if row is None else newest_published(session, row)
    if row is None or newest is None or (newest.document == plan["policy"] and not row.archived):
        return None
    return {
        "policy": name,
        "version": plan["policy_version"],
        "newest": newest.version,
        "archived": row.archived,
    }


def _check_own(session: Session, reader: Reader, table: Document, row: PolicyRow | None) -> None:
    """Refuse a table under the name of a stored policy, unless it is the very one."""
    if not reader.has("policy_version"):
        if row is None:
            return
    elif row is not None:
        kept = _kept(session, row, reader.integer("policy_version", least=1))
        # A plan that was read out of the service may come back as it was.
        same = kept is not None and parse_policy(table).to_document() == kept.document
        if kept is not None and kept.published and same:
            return
    if row is None:
        raise reader.fault("policy_version", "belongs to no stored policy", "leave it out")
    raise reader.fault(
        "policy",
        f"is said by the stored policy {row.name!r} already",
        f'write policy = "{row.name}", or give yours a name of its own',
    )


def _version(session: Session, reader: Reader, row: PolicyRow) -> PolicyVersion:
    newest = newest_published(session, row)
    if newest is None:
        raise reader.fault(
            "policy",
            f"is {row.name!r}, which is a draft",
            f"flagstone policies publish {row.name}",
        )
    version = reader.integer("policy_version", newest.version, least=1)
    found = newest if version == newest.version else _kept(session, row, version)
    if found is None or not found.published:
        what = "which never was" if found is None else "a draft"
        raise reader.fault(
            "policy_version", f"is {version}, {what}", f"the newest is {newest.version}"
        )
    return found


def _kept(session: Session, row: PolicyRow, version: int) -> PolicyVersion | None:
    query = select(PolicyVersion).where(
        PolicyVersion.policy_id == row.id, PolicyVersion.version == version
    )
    return session.exec(query).one_or_none()


def _near(session: Session, project_key: str, name: str) -> str:
    known = [*BUILT_IN, *(row.name for row in list_policies(session, project_key))]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else "flagstone policies list"
