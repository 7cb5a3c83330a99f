"""What is left of budgets: of the caller's own, and of keys and people that are managed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from sqlmodel import Session

from flags.allowances import Allowance, allowances
from flags.granted import principal_of
from flags.models import Environment
from web.auth.guard import current_caller
from web.auth.members import Member
from web.transactions import now

Left = dict[str, Allowance]
NameT = TypeVar("NameT")


def own_allowances(session: Session, environments: Sequence[Environment]) -> Left:
    """Return what the caller may still move, by environment; nothing where nothing limits."""
    principal = principal_of(str(current_caller().actor))
    return allowances(session, [principal], environments, now()).get(principal, {})


def key_allowances(
    session: Session, limited: Iterable[int], environments: Sequence[Environment]
) -> dict[int, Left]:
    """Return what is left to each of the keys that have a budget, by number and environment."""
    return _left(session, {f"token:{number}": number for number in limited}, environments)


def member_allowances(
    session: Session, members: Collection[Member], environments: Sequence[Environment]
) -> dict[str, Left]:
    """Return what is left to each of the people who have a budget, by address and environment."""
    limited = [each.user.email for each in members if each.budgets]
    return _left(session, {f"user:{email}": email for email in limited}, environments)


def _left(
    session: Session, names: Mapping[str, NameT], environments: Sequence[Environment]
) -> dict[NameT, Left]:
    if not names:
        return {}
    left = allowances(session, names, environments, now())
    return {name: left.get(principal, {}) for principal, name in names.items()}
