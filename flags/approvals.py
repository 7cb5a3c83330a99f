"""Which changes must be approved by somebody else, and by how many people.

The environment says how many (``approvals_needed``); a change of what a flag is everywhere needs
what the strictest environment asks that it changes. To kill a flag or to turn it off only takes a
feature away: that never waits for anybody, but it needs a reason.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from sqlmodel import Session, select

from flags.actor import Actor
from flags.audit import append
from flags.errors import InvalidInputError, NeedsApprovalError, NotFoundError
from flags.instructions import PROTECTIVE, Change
from flags.models import Environment
from flags.revisions import lock_environment

MOST_APPROVALS = 5
MOST_HOURS = 24 * 90


def is_protective(change: Change) -> bool:
    """Tell whether a change only takes features away."""
    return all(isinstance(each, PROTECTIVE) for each in change.instructions)


def approvals_needed(change: Change, environments: Iterable[Environment]) -> int:
    """Give how many people other than its authors must approve a change.

    Parameters
    ----------
    environments : iterable of Environment
        Those in which readers will see something else.
    """
    if is_protective(change):
        return 0
    return max((each.approvals_needed for each in environments), default=0)


def check_approvals(change: Change, environments: Iterable[Environment], approvals: int) -> None:
    """Refuse a change that not enough people have approved.

    Raises
    ------
    NeedsApprovalError
        If more approvals are needed than there are.
    InvalidInputError
        If it needs none because it is protective, and does not say why it is done.
    """
    strictest = _strictest(environments)
    if strictest.approvals_needed == 0 or not is_protective(change):
        require_approvals(
            [strictest],
            approvals,
            hint="ask for it: send the same change with the mode request",
        )
    elif not change.comment.strip():
        raise InvalidInputError(
            f"in {strictest.key!r}, to kill a flag or to turn it off needs a reason",
            field="comment",
            hint="say why in a few words",
        )


def require_approvals(environments: Iterable[Environment], approvals: int, *, hint: str) -> None:
    """Refuse what changes environments that want more approvals than there are.

    Raises
    ------
    NeedsApprovalError
        With the ``hint``.
    """
    strictest = _strictest(environments)
    needed = strictest.approvals_needed
    if approvals < needed:
        people = "another person" if needed == 1 else f"{needed} other people"
        so_far = f" ({approvals} of {needed} so far)" if approvals else ""
        raise NeedsApprovalError(
            f"a change of {strictest.key!r} must be approved by {people} first{so_far}", hint=hint
        )


def protect(
    session: Session,
    project_key: str,
    environment_key: str,
    *,
    production: bool | None = None,
    needed: int | None = None,
    after: str | None = None,
    after_hours: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> Environment:
    """Say how careful an environment is; what is left out stays.

    Parameters
    ----------
    production : bool, optional
        Whether it is marked as production.
    needed : int, optional
        How many people other than its author must approve a change, 0 to ``MOST_APPROVALS``.
    after : str, optional
        In which environment what serves more must be on first (:mod:`flags.staging`); empty: none.
    after_hours : int, optional
        For how many hours, 0 to ``MOST_HOURS``.
    """
    if needed is not None and not 0 <= needed <= MOST_APPROVALS:
        raise InvalidInputError(
            f"from 0 to {MOST_APPROVALS} approvals can be asked for", field="approvals_needed"
        )
    if after_hours is not None and not 0 <= after_hours <= MOST_HOURS:
        raise InvalidInputError(f"from 0 to {MOST_HOURS} hours", field="after_hours")
    environment = lock_environment(session, project_key, environment_key)
    before = _protection(environment)
    if after is not None:
        environment.after = _checked_after(session, environment, after)
    if after_hours is not None:
        environment.after_hours = after_hours
    if production is not None:
        environment.production = production
    if needed is not None:
        environment.approvals_needed = needed
    now_so = _protection(environment)
    if now_so != before:
        session.add(environment)
        session.flush()
        append(
            session,
            project_id=environment.project_id,
            environment_id=environment.id,
            actor=actor,
            action="protect_environment",
            resource=f"environment:{environment.key}",
            before={name: before[name] for name in before if before[name] != now_so[name]},
            after={name: now_so[name] for name in now_so if before[name] != now_so[name]},
            now=now,
        )
    return environment


def _checked_after(session: Session, environment: Environment, after: str) -> str | None:
    found = {
        each.key: each.after
        for each in session.exec(
            select(Environment).where(Environment.project_id == environment.project_id)
        )
    }
    if not after:
        return None
    if after not in found:
        raise NotFoundError(f"there is no environment {after!r}", field="after")
    way = [environment.key]
    here: str | None = after
    while here is not None:
        way.append(here)
        if here == environment.key:
            raise InvalidInputError(
                f"each would wait for the other: {' → '.join(way)}", field="after"
            )
        here = found[here]
    return after


def _protection(environment: Environment) -> dict[str, bool | int | str | None]:
    return {
        "production": environment.production,
        "approvals_needed": environment.approvals_needed,
        "after": environment.after,
        "after_hours": environment.after_hours,
    }


def _strictest(environments: Iterable[Environment]) -> Environment:
    return max(environments, key=lambda each: each.approvals_needed)
