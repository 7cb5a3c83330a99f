"""What is left of the caller's own budget."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session

from flags.allowances import Allowance, allowances
from flags.budgets import principal_of
from flags.models import Environment
from web.auth.guard import current_caller
from web.transactions import now


def own_allowances(session: Session, environments: Sequence[Environment]) -> dict[str, Allowance]:
    """Return what the caller may still move, by environment; nothing where nothing limits."""
    principal = principal_of(str(current_caller().actor))
    return allowances(session, [principal], environments, now()).get(principal, {})
