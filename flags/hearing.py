"""Whether anybody calls at all: the newest sign of life in an environment."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from flags.models import SampledContext, SdkInstance


@dataclass(frozen=True, slots=True)
class Heard:
    """A sign of life: when, and from whom in words."""

    at: dt.datetime
    who: str


def last_heard(session: Session, environment_id: int) -> Heard | None:
    """Give the newest sign of life of SDKs and of evaluation requests; None if there is none.

    An SDK says that it is there with its first heartbeat; a request by the context that it sends.
    """
    instance = session.exec(
        select(SdkInstance)
        .where(SdkInstance.environment_id == environment_id)
        .order_by(col(SdkInstance.seen_at).desc(), col(SdkInstance.id))
        .limit(1)
    ).first()
    seen_at = session.exec(
        select(func.max(SampledContext.seen_at)).where(
            SampledContext.environment_id == environment_id
        )
    ).one()
    signs = [] if seen_at is None else [Heard(seen_at, "an evaluation request")]
    if instance is not None:
        runtime = f" on {instance.runtime}" if instance.runtime else ""
        signs.append(Heard(instance.seen_at, f"{instance.sdk}{runtime}"))
    return max(signs, key=lambda sign: sign.at, default=None)
