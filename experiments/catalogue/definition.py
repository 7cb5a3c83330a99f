"""What an entry of the metric catalogue says: how a metric is read, who owns it, what it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader, format_duration
from experiments.contract.metric import Metric, read_metric
from experiments.contract.reference import FAILURE_DEMAND
from experiments.errors import PlanError

ROLE_FIELDS = ("role", "mde", "margin", "superiority_margin", "rare")
"""What a plan promises of a metric: never in the catalogue, always beside the reference."""

BESIDE = frozenset({"metric", "metric_version", "key", *ROLE_FIELDS})

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,55}")
_LONGEST_SECONDS = 366 * 86_400.0
_MAX_TEXT = 2_000


@dataclass(frozen=True)
class Entry:
    """One metric of the catalogue.

    Parameters
    ----------
    metric : Metric
        As a plan would have it, in the role ``explore``.
    owner, description : str
        Who answers for the definition, and what the metric is for; may be empty.
    """

    metric: Metric
    owner: str = ""
    description: str = ""

    @property
    def definition(self) -> dict[str, Any]:
        """Give the fields of a plan's metric that are copied from here."""
        return definition_of(self.metric)

    def to_document(self) -> dict[str, Any]:
        """Give the entry as plain data; `parse_entry` reads it back."""
        return {**self.definition, "owner": self.owner, "description": self.description}


def definition_of(metric: Metric) -> dict[str, Any]:
    """Give what is measured, without the role and what is promised."""
    document = metric.to_document()
    return {field: value for field, value in document.items() if field not in BESIDE}


def parse_entry(key: str, document: Mapping[str, Any]) -> Entry:
    """Read an entry from its document.

    Raises
    ------
    PlanError
        At the first fault, with field and hint.
    """
    if not _KEY.fullmatch(key):
        raise PlanError(
            f"{key!r} is no key of a metric",
            field="key",
            hint="1 to 56 of a-z, 0-9, dot, dash and underscore, a letter or digit first",
        )
    reader = Reader(document)
    if reader.text("key", key) != key:
        raise reader.fault("key", "is another one", "leave it out: the address says it")
    for field in (*ROLE_FIELDS, "metric", "metric_version"):
        if reader.has(field):
            raise reader.fault(
                field, "is not the catalogue's to say", "each plan says it beside metric = …"
            )
    for field in ("column", "covariate"):
        if reader.has(field):
            raise reader.fault(field, "names a column of a replayed file", "leave it out")
    owner, description = _read_text(reader, "owner"), _read_text(reader, "description")
    rest = {name: value for name, value in document.items() if name not in _OWN}
    return Entry(
        read_metric(Reader({**rest, "key": key, "role": "explore"}), _LONGEST_SECONDS),
        owner,
        description,
    )


_OWN = {"key", "owner", "description"}


def _read_text(reader: Reader, field: str) -> str:
    text = reader.take(field, "")
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        raise reader.fault(field, f"must be a text of at most {_MAX_TEXT} characters", None)
    return text.strip()


def measures(metric: Metric) -> str:
    """Say what a metric measures, in plain words: the sentence of its page."""
    reading, event = metric.reading, metric.event
    window = _time(metric.window_seconds)
    within = f"within {window} of a unit's first exposure"
    if metric.key == FAILURE_DEMAND and metric.ratio is not None:
        said = f"of all that units ask for ({metric.ratio.denominator_event}), the share that is "
        said += f"failure ({event}), {within}"
    elif metric.kind == "conversion":
        said = f"share of units with {event} {within}"
    elif metric.kind == "retention":
        since = _time(reading.from_seconds)
        said = f"share of units with {event} from {since} to {window} after their first exposure"
    elif metric.kind == "funnel":
        said = f"share of units that go through {', then '.join(reading.steps)} {within}"
    elif metric.kind == "count":
        said = f"number of {event} per unit {within}"
    elif metric.kind == "mean":
        which = "largest value" if reading.aggregation == "max" else "values added up"
        said = f"{which} of {event} per unit {within}"
    else:
        said = f"{metric.unit}, {within}"
    if reading.cap is not None:
        said += f"; a unit's value is cut at {reading.cap:g}"
    if reading.cap_quantile is not None:
        said += f"; a unit's value is cut at the past's {100 * reading.cap_quantile:g} % quantile"
    if reading.covariate_seconds is not None:
        said += f"; adjusted for the same of the {_time(reading.covariate_seconds)} before"
    return f"{said[0].upper()}{said[1:]}."


def _time(seconds: float) -> str:
    short = format_duration(seconds)
    number, unit = short[:-1], short[-1]
    word = {"d": "day", "h": "hour", "m": "minute", "s": "second"}[unit]
    return f"{number} {word}" + ("" if number == "1" else "s")
