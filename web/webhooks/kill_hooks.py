"""Kill hooks: an alert kills the flags that its hook was made for, and can do nothing else."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.audit import append
from flags.changes import apply_change, parse_change
from flags.errors import InvalidInputError, NotFoundError
from flags.models import Environment, FlagEnvironment, FlagRow, Project
from flags.plain import MAX_INSTRUCTIONS
from flags.revisions import lock_environment, lock_environments
from flags.services import get_environment, get_flag
from web.auth.tokens import hash_token
from web.webhooks.alerts import SAME_FOR, Alert
from web.webhooks.models import HookAlert, KillHook
from web.webhooks.services import check_title

SCOPES = ("flags", "owner", "tag")
MOST_NAMES = 50
_SHAPE = re.compile(r"fs_hook_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the alerts of one request did."""

    killed: list[str] = field(default_factory=list)
    acted: int = 0
    repeated: int = 0
    ignored: int = 0


def create_hook(
    session: Session,
    project_key: str,
    environment_key: str,
    *,
    name: str,
    scope: str,
    names: Sequence[str],
    actor: Actor,
    now: dt.datetime,
) -> tuple[str, KillHook]:
    """Make a kill hook; the first of the pair is its secret, which is not shown again.

    Parameters
    ----------
    scope : str
        ``flags``: those with these keys; ``owner``, ``tag``: all that have one of these owners or
        tags when the alert comes (the flag's metadata ``tags``, separated by commas).
    """
    environment = get_environment(session, project_key, environment_key)
    if scope not in SCOPES:
        raise InvalidInputError(
            f"there is no scope {scope[:40]!r}", field="scope", hint=", ".join(SCOPES)
        )
    wanted = list(dict.fromkeys(each.strip() for each in names if each.strip()))
    if not 0 < len(wanted) <= MOST_NAMES:
        message = f"1 to {MOST_NAMES} names are needed of what it may kill"
        raise InvalidInputError(message, field="names")
    for index, key in enumerate(wanted if scope == "flags" else ()):
        try:
            get_flag(session, project_key, key)
        except NotFoundError as error:
            raise InvalidInputError(error.message, field=f"names[{index}]") from None
    plain = f"fs_hook_{secrets.token_urlsafe(32)}"
    assert environment.id is not None
    hook = KillHook(
        environment_id=environment.id,
        name=check_title(name),
        secret_hash=hash_token(plain),
        scope=scope,
        names=wanted,
        created_by=str(actor),
        created_at=now,
    )
    session.add(hook)
    session.flush()
    _audit(session, environment, hook, "create_kill_hook", actor, now)
    return plain, hook


def list_hooks(
    session: Session,
    project_key: str,
    environment_key: str,
    *,
    before_id: int | None = None,
    limit: int | None = None,
) -> list[KillHook]:
    """Give an environment's kill hooks, newest first, revoked ones included."""
    environment = get_environment(session, project_key, environment_key)
    query = select(KillHook).where(KillHook.environment_id == environment.id)
    if before_id is not None:
        query = query.where(col(KillHook.id) < before_id)
    return list(session.exec(query.order_by(col(KillHook.id).desc()).limit(limit)))


def revoke_hook(
    session: Session,
    project_key: str,
    environment_key: str,
    hook_id: int,
    *,
    actor: Actor,
    now: dt.datetime,
) -> KillHook:
    """Shut a kill hook for ever; a second time changes nothing."""
    environment = get_environment(session, project_key, environment_key)
    hook = session.get(KillHook, hook_id)
    if hook is None or hook.environment_id != environment.id:
        raise NotFoundError(f"there is no kill hook {hook_id}")
    if hook.revoked_at is None:
        hook.revoked_at = now
        session.add(hook)
        session.flush()
        _audit(session, environment, hook, "revoke_kill_hook", actor, now)
    return hook


def find_hook(session: Session, plain: str) -> KillHook | None:
    """Give the hook with that secret, if there is one and it is not revoked."""
    if not _SHAPE.fullmatch(plain):
        return None
    # Found by its hash: how long that takes says nothing about the secret.
    query = select(KillHook).where(KillHook.secret_hash == hash_token(plain))
    hook = session.exec(query).one_or_none()
    return hook if hook is not None and hook.revoked_at is None else None


def act(session: Session, hook: KillHook, alerts: Sequence[Alert], *, now: dt.datetime) -> Outcome:
    """Kill what the hook is for, if one of the alerts fires that did not before.

    An alert acts once: whoever lifts the kill is not overruled by its next repetition.
    """
    environment = session.get_one(Environment, hook.environment_id)
    project = session.get_one(Project, environment.project_id)
    # First: two requests with one alert come one after the other.
    lock_environment(session, project.key, environment.key)
    assert hook.id is not None
    firing = [each for each in alerts if each.firing]
    new = []
    for alert in firing:
        known = session.get(HookAlert, (hook.id, alert.fingerprint), populate_existing=True)
        is_new = known is None or (not alert.lasting and now - known.seen_at > SAME_FOR)
        if known is None:
            known = HookAlert(
                hook_id=hook.id,
                fingerprint=alert.fingerprint,
                at=now,
                seen_at=now,
                words=alert.words,
                killed=[],
            )
        known.seen_at = now
        session.add(known)
        session.flush()
        if is_new:
            new.append((alert, known))
    ignored, repeated = len(alerts) - len(firing), len(firing) - len(new)
    if not new:
        return Outcome(ignored=ignored, repeated=repeated)
    words = "; ".join(dict.fromkeys(alert.words for alert, _ in new))
    killed = _kill(session, project, environment, hook, words, now)
    for _, row in new:
        row.at, row.killed = now, killed
        session.add(row)
    hook.used_at = now
    session.add(hook)
    return Outcome(killed, len(new), repeated, ignored)


def actor_of(hook: KillHook) -> Actor:
    """Give how the audit names a hook; its number tells namesakes apart."""
    return Actor("hook", f"{hook.name}#{hook.id}")


def _kill(
    session: Session,
    project: Project,
    environment: Environment,
    hook: KillHook,
    words: str,
    now: dt.datetime,
) -> list[str]:
    keys = list(_targets(session, environment, hook))
    for first in range(0, len(keys), MAX_INSTRUCTIONS):
        some = keys[first : first + MAX_INSTRUCTIONS]
        change = parse_change(
            {
                "comment": f"alert: {words}"[:1000],
                "instructions": [{"do": "kill", "flag": key} for key in some],
            }
        )
        apply_change(session, project.key, environment.key, change, actor=actor_of(hook), now=now)
    return keys


def _targets(session: Session, environment: Environment, hook: KillHook) -> Iterator[str]:
    rows = session.exec(
        select(FlagRow, FlagEnvironment)
        .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
        .where(FlagEnvironment.environment_id == environment.id, col(FlagRow.archived).is_(False))
        .order_by(col(FlagRow.key))
    )
    names = set(hook.names)
    for flag, here in rows:
        has = {
            "flags": {flag.key},
            "owner": {flag.owner},
            "tag": tags_of(flag.flag_metadata),
        }[hook.scope]
        if names & has and not here.state["killed"]:
            yield flag.key


def tags_of(metadata: dict[str, object]) -> set[str]:
    """Give a flag's tags: its metadata ``tags``, separated by commas."""
    return {each.strip() for each in str(metadata.get("tags", "")).split(",")} - {""}


def _audit(
    session: Session,
    environment: Environment,
    hook: KillHook,
    action: str,
    actor: Actor,
    now: dt.datetime,
) -> None:
    what = {"name": hook.name, "environment": environment.key, hook.scope: hook.names}
    # In the environment's chain: who may not know of the environment may not read of its hooks.
    lock_environments(session, [hook.environment_id])
    append(
        session,
        project_id=environment.project_id,
        environment_id=hook.environment_id,
        actor=actor,
        action=action,
        resource=f"kill_hook:{hook.id}",
        before=what if action == "revoke_kill_hook" else None,
        after=what if action == "create_kill_hook" else None,
        now=now,
    )
