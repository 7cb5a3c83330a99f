"""What somebody gets, and why: of one flag or of all, now or at a past instant, anywhere.

The API and the console answer alike, since both ask here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from flags import services
from flags.errors import NotFoundError
from flags.models import Environment
from flags.revisions import revision_in_force, unpack
from flagstone.engine import compile_flag_set, explain, parse_flag_set


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks for what: ``flag`` is None for all of them; ``at`` and ``now`` are instants.

    Of all flags only the first ``most_explained`` are explained, if ``explained`` asks for it.
    """

    flag: str | None
    context: dict[str, Any]
    at: dt.datetime
    now: dt.datetime
    explained: bool = False
    most_explained: int | None = None


def answer(session: Session, environment: Environment, asked: Question) -> dict[str, Any]:
    """Evaluate as the SDKs do with the flag set that was in force then.

    Returns
    -------
    dict
        ``revision`` and since when it was in force (``published_at``), and ``items``: a result for
        each flag, by key.

    Raises
    ------
    NotFoundError
        If the environment had no revision yet, or no such flag.
    """
    assert environment.id is not None
    revision = revision_in_force(session, environment.id, asked.at, now=asked.now)
    flag_set = parse_flag_set(unpack(revision), strict=False)
    if asked.flag is not None and asked.flag not in flag_set.flags:
        raise NotFoundError(
            f"there is no flag {asked.flag!r} in revision {revision.number} of {environment.key!r}",
            field="flag",
            hint="callers got their own default then",
        )
    compiled = compile_flag_set(flag_set)
    seconds = asked.at.timestamp()
    items = []
    keys = sorted(flag_set.flags) if asked.flag is None else [asked.flag]
    most = len(keys) if asked.most_explained is None else asked.most_explained
    for place, key in enumerate(keys):
        result = compiled.evaluate(key, asked.context, seconds).to_document()
        if asked.explained and place < most:
            explanation = explain(flag_set, key, asked.context, seconds)
            result["explanation"] = {**explanation.to_document(), "text": explanation.to_text()}
        items.append(result)
    return {"revision": revision.number, "published_at": revision.created_at, "items": items}


def answer_everywhere(session: Session, project_key: str, asked: Question) -> list[dict[str, Any]]:
    """Answer in every environment of a project, side by side.

    Where there is no answer ``problem`` says why, and ``items`` is empty.
    """
    found = []
    for environment in services.list_environments(session, project_key):
        here: dict[str, Any] = {"environment": environment.key, "problem": None}
        try:
            here |= answer(session, environment, asked)
        except NotFoundError as error:
            here |= {"problem": error.message, "revision": None, "published_at": None, "items": []}
        found.append(here)
    return found
