"""Alerts as monitoring systems send them: which one, whether it fires, and in what words.

Read are Alertmanager's and Grafana's lists of ``alerts``, a monitor of Datadog (a custom payload
with ``alert_transition``), and anything that has a ``title``, ``alert``, ``message`` or ``text``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flags.errors import InvalidInputError

MOST_ALERTS = 100
# An alert that does not say when it began is the same one for so long after it was last sent.
SAME_FOR = dt.timedelta(hours=1)
_LONGEST = 500
_FIRING = frozenset({"firing", "alerting", "triggered", "re-triggered", "critical", "error"})
_WORDS = ("title", "alert", "message", "text", "event_title", "body")
_NAMES = ("alert_cycle_key", "fingerprint", "aggreg_key", "alert_id", "id")
_BEGUN = ("startsAt", "starts_at")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert.

    Parameters
    ----------
    fingerprint : str
        The same whenever it is sent again; another one when it fires anew.
    lasting : bool
        Whether the fingerprint alone tells one firing from the next.
    firing : bool
        Whether it fires; else it is over, and there is nothing to do.
    words : str
        What it says.
    """

    fingerprint: str
    lasting: bool
    firing: bool
    words: str


def parse_alerts(document: Mapping[str, Any]) -> list[Alert]:
    """Read the alerts of a request.

    Raises
    ------
    InvalidInputError
        If no alert can be found in it.
    """
    listed = document.get("alerts")
    if isinstance(listed, list):
        if len(listed) > MOST_ALERTS:
            message = f"more than {MOST_ALERTS} alerts in one request"
            raise InvalidInputError(message, field="alerts", hint="group them otherwise")
        if not all(isinstance(each, Mapping) for each in listed):
            raise InvalidInputError("an alert is a JSON object", field="alerts")
        return [_listed(each) for each in listed]
    return [_single(document)]


def _listed(alert: Mapping[str, Any]) -> Alert:
    labels, notes = _mapping(alert, "labels"), _mapping(alert, "annotations")
    said = [labels.get("alertname"), notes.get("summary") or notes.get("description")]
    words = _plain(": ".join(str(each) for each in said if each) or "an alert")
    began = str(alert.get("startsAt") or "")
    name = str(alert.get("fingerprint") or sorted((str(k), str(v)) for k, v in labels.items()))
    return Alert(_hash(name, began), bool(began), _fires(alert.get("status")), words)


def _single(document: Mapping[str, Any]) -> Alert:
    said = next((str(document[each]) for each in _WORDS if document.get(each)), "")
    if not said:
        raise InvalidInputError(
            "there is no alert in this request",
            field="alert",
            hint='send {"alert": "what is wrong"}, or what Alertmanager or Grafana sends',
        )
    began = next((str(document[each]) for each in _BEGUN if document.get(each)), "")
    name = next((str(document[each]) for each in _NAMES if document.get(each)), "")
    status = document.get("alert_transition", document.get("status", "firing"))
    lasting = bool(began) or "alert_cycle_key" in document
    return Alert(_hash(name or said, began), lasting, _fires(status), _plain(said))


def _mapping(alert: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = alert.get(name)
    return found if isinstance(found, Mapping) else {}


def _fires(status: object) -> bool:
    return str(status).strip().lower() in _FIRING


def _plain(text: str) -> str:
    """Give words in one line, without characters that do something to a reader."""
    kept = "".join(each if each.isprintable() else " " for each in text[: 4 * _LONGEST])
    return " ".join(kept.split())[:_LONGEST] or "an alert"


def _hash(name: str, began: str) -> str:
    return hashlib.sha256(f"{name}\0{began}".encode("utf-8", "replace")).hexdigest()
