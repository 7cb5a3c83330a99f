"""What a receiver gets: the notice in plain words and for programs, or as Slack takes it."""

from __future__ import annotations

import datetime as dt
from urllib.parse import quote

import orjson

from flags.models import Notice

FORMS = ("full", "slack")
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def body_of(notice: Notice, project_key: str, *, form: str, public_url: str) -> bytes:
    """Give the bytes to send and to sign.

    Parameters
    ----------
    form : str
        ``full``, or ``slack``: nothing but the text, which Slack and what imitates it accept.
    public_url : str
        Where browsers reach the service; without it links are paths.
    """
    link = link_to(notice, project_key, public_url)
    text = _text(notice, link)
    if form == "slack":
        return orjson.dumps({"text": text})
    return orjson.dumps(
        {
            "type": notice.kind,
            "timestamp": _instant(notice.at),
            "text": text,
            "data": {
                "id": notice.message_id,
                "project": project_key,
                "environment": notice.environments[0] if notice.environments else None,
                "environments": notice.environments,
                "actor": notice.actor,
                "resource": notice.resource,
                "sentence": notice.sentence,
                "reason": notice.reason,
                "link": link,
                **notice.facts,
            },
        }
    )


def path_of(notice: Notice, project_key: str) -> str:
    """Give the console's page about what happened."""
    kind, _, key = notice.resource.partition(":")
    if not notice.environments:
        return "/"
    here = f"/projects/{quote(project_key)}/environments/{quote(notice.environments[0])}"
    if kind == "flag":
        return f"{here}/flags/{quote(key, safe='/')}"
    if kind == "experiment":
        return f"{here}/experiments/{quote(key, safe='')}"
    if kind == "cleanup":
        return f"{here}/cleanup"
    if kind == "change":
        return f"{here}/changes?done={quote(key)}"
    return f"{here}/audit"


def link_to(notice: Notice, project_key: str, public_url: str) -> str:
    """Give the address of :func:`path_of`, whole where the service knows its own."""
    return public_url.rstrip("/") + path_of(notice, project_key)


def _text(notice: Notice, link: str) -> str:
    # What people typed must not mention a whole channel, nor look like a link of ours.
    words = notice.sentence.translate(_SLACK)
    if notice.reason and notice.reason not in notice.sentence:
        words += f"\nWhy: {notice.reason.translate(_SLACK)}"
    return f"{words}\n{link.translate(_SLACK)}" if link.startswith("http") else words


def _instant(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
