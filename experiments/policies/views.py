"""Stored and built-in policies as the API, the CLI and the console show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session

from experiments.contract.policy import BUILT_IN, PROOF_28D, Policy
from experiments.policies.models import PolicyRow, PolicyVersion
from experiments.policies.services import published_versions, trials
from experiments.policies.standard import PROOF_28D_TRIAL
from experiments.policies.words import sentence, warnings

Document = dict[str, Any]

CHECKING, CHECKED, REFUSED = "checking", "checked", "refused"
PUBLISHED, ARCHIVED, BUILTIN = "published", "archived", "built_in"

_USES = {
    "proof-28d": "For experiments that name no policy: daily looks, proofs at whole weeks.",
    "release-1d": "For releases that name no policy: looks every minute at first.",
}


def state_of(row: PolicyRow | PolicyVersion, trial: Mapping[str, Any] | None) -> str:
    """Say where a policy stands: a draft is being checked, was checked, or was refused."""
    if row.archived:
        return ARCHIVED
    if row.published:
        return PUBLISHED
    if trial is None:
        return CHECKING
    return REFUSED if "reason" in trial else CHECKED


def policy_documents(session: Session, rows: Sequence[PolicyRow]) -> list[Document]:
    """Give stored policies: their rules, what they do, and which version plans take."""
    found, published = trials(session, rows), published_versions(session, rows)
    return [
        policy_document(row, found.get(row.rules_hash), published.get(row.id or 0)) for row in rows
    ]


def policy_document(
    row: PolicyRow, trial: Mapping[str, Any] | None, published_version: int | None
) -> Document:
    """Give one stored policy."""
    return {
        "name": row.name,
        "description": row.description,
        "state": state_of(row, trial),
        "built_in": False,
        "archived": row.archived,
        "version": row.version,
        "published_version": published_version,
        "document": row.document,
        "characteristics": characteristics(trial),
        "created_at": row.created_at,
        "changed_at": row.changed_at,
    }


def built_in_document(policy: Policy) -> Document:
    """Give a built-in policy in the same form."""
    tried = PROOF_28D_TRIAL if policy == PROOF_28D else None
    return {
        "name": policy.name,
        "description": _USES[policy.name],
        "state": BUILTIN,
        "built_in": True,
        "archived": False,
        "version": None,
        "published_version": None,
        "document": policy.to_document(),
        # Releases claim no value: in a world of MDEs a policy for them has nothing to show.
        "characteristics": characteristics(tried),
        "created_at": None,
        "changed_at": None,
    }


def built_in_documents() -> list[Document]:
    """Give all built-in policies."""
    return [built_in_document(policy) for policy in BUILT_IN.values()]


def characteristics(trial: Mapping[str, Any] | None) -> Document | None:
    """Give what was found in trying, with its words; ``None`` while it is being computed."""
    if trial is None:
        return None
    if "reason" in trial:
        return dict(trial)
    return {**trial, "sentence": sentence(trial), "warnings": list(warnings(trial))}


def version_document(version: PolicyVersion, trial: Mapping[str, Any] | None) -> Document:
    """Give one version of a stored policy."""
    return {
        "version": version.version,
        "at": version.at,
        "actor": version.actor,
        "state": state_of(version, trial),
        "description": version.description,
        "document": version.document,
        "characteristics": characteristics(trial),
    }
