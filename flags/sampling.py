"""Whether an environment keeps a sample of the contexts that it saw, and what is in it."""

from __future__ import annotations

import datetime as dt

from sqlmodel import Session

from flags.actor import Actor
from flags.audit import append
from flags.context_samples import Sample, clear, load_sample
from flags.revisions import lock_environment
from flags.services import get_environment


def get_sample(
    session: Session, project_key: str, environment_key: str, *, now: dt.datetime
) -> Sample:
    """Return the contexts that an environment saw lately."""
    environment = get_environment(session, project_key, environment_key)
    assert environment.id is not None
    return load_sample(session, environment.id, now=now)


def switch_sample(
    session: Session,
    project_key: str,
    environment_key: str,
    *,
    on: bool,
    actor: Actor,
    now: dt.datetime,
    comment: str = "",
) -> Sample:
    """Keep a sample from now on, or keep none: what was kept goes at once."""
    environment = lock_environment(session, project_key, environment_key)
    assert environment.id is not None
    if environment.sample_contexts is not on:
        append(
            session,
            project_id=environment.project_id,
            environment_id=environment.id,
            actor=actor,
            action="switch_context_sample",
            resource=f"environment:{environment_key}",
            before={"sample_contexts": environment.sample_contexts},
            after={"sample_contexts": on},
            comment=comment,
            now=now,
        )
        environment.sample_contexts = on
        session.flush()
    if not on:
        clear(session, environment.id)
    return load_sample(session, environment.id, now=now)
