"""What a stored policy says: its rules in full, and what it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader, sha256_of
from experiments.contract.policy import BUILT_IN, Policy, check_schedule, parse_policy
from experiments.errors import PlanError
from flags.errors import StateError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,55}")
# What a policy of a plan's own is called that has no name.
_NO_NAME = "inline"
_MAX_TEXT = 2_000


@dataclass(frozen=True)
class StoredPolicy:
    """Rules with a name, and what they are for (may be empty)."""

    policy: Policy
    description: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """Give the table that plans copy; `parse_policy` reads it back."""
        return self.policy.to_document()


def rules_hash(document: Mapping[str, Any]) -> str:
    """Hash the rules of a policy's table, whatever it is called."""
    return sha256_of({field: value for field, value in document.items() if field != "name"})


def refuse_built_in(name: str) -> None:
    """Refuse to write a built-in policy.

    Raises
    ------
    StateError
        If ``name`` is one.
    """
    if name in BUILT_IN:
        raise StateError(
            f"{name!r} is built in and stays as it is", hint="store yours under another name"
        )


def parse_stored(name: str, document: Mapping[str, Any]) -> StoredPolicy:
    """Read a policy from its document: a plan's table, and ``description``.

    What it does not say is as in ``proof-28d``.

    Raises
    ------
    PlanError
        At the first fault, with field and hint.
    """
    if not _NAME.fullmatch(name) or name == _NO_NAME:
        raise PlanError(
            f"{name!r} is no name of a policy",
            field="name",
            hint="1 to 56 of a-z, 0-9, dot, dash and underscore, a letter or digit first; "
            f"not {_NO_NAME}",
        )
    reader = Reader(document)
    if reader.text("name", name) != name:
        raise reader.fault("name", "is another one", "leave it out: the address says it")
    description = reader.take("description", "")
    if not isinstance(description, str) or len(description) > _MAX_TEXT:
        raise reader.fault("description", f"must be a text of at most {_MAX_TEXT} characters", None)
    rules = {field: value for field, value in document.items() if field != "description"}
    policy = parse_policy({**rules, "name": name}, "")
    try:
        check_schedule(policy, policy.horizon_seconds)
    except PlanError as error:
        # Here the policy is the whole document.
        message, field = error.message.removeprefix("policy."), error.field or ""
        raise PlanError(message, field=field.removeprefix("policy."), hint=error.hint) from None
    return StoredPolicy(policy, description.strip())
