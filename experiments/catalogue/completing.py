"""From a plan as somebody wrote it to the whole of it: references filled in, failure demand added.

Done once, when a plan is drafted. What comes out names every event itself, so that it can be
sealed, read and replayed by whoever does not have the catalogue.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlmodel import Session, col, select

from experiments.catalogue.definition import BESIDE, definition_of
from experiments.catalogue.models import MetricRow, MetricVersion
from experiments.catalogue.services import entry_of, find_metric
from experiments.contract.document import Reader, format_duration
from experiments.contract.reference import FAILURE_DEMAND
from experiments.errors import PlanError
from flags.services import get_project

FAILURE_MARGIN = 0.02
"""Relative growth of the failure-demand ratio that a guardrail tolerates unless it says another."""

Document = Mapping[str, Any]


def complete(session: Session, project_key: str, document: Document) -> Document:
    """Fill in what a plan leaves to the catalogue.

    Raises
    ------
    PlanError
        If it names a metric that is not there, says again what the catalogue says, or asks for
        failure demand where no event is classified.
    """
    tables = document.get("metrics") if isinstance(document, Mapping) else None
    if not isinstance(tables, list | tuple) or not all(isinstance(t, Mapping) for t in tables):
        # Whatever it is, the plan's reader says what is wrong with it.
        return document
    project_id = get_project(session, project_key).id
    assert project_id is not None
    metrics = [
        table
        if table.get("metric") == FAILURE_DEMAND
        else _filled(session, project_id, place, table, None)
        for place, table in enumerate(tables)
    ]
    longest = _longest_window(metrics)
    for place, table in enumerate(tables):
        if table.get("metric") == FAILURE_DEMAND:
            metrics[place] = _filled(session, project_id, place, table, longest)
    wanted = document.get("failure_demand")
    guard = None
    if wanted is not False and "replay" not in document:
        named = document.get("source") is not None
        guard = _guard(session, project_id, wanted, metrics, longest, source=named)
    whole = {**document, "metrics": metrics if guard is None else [*metrics, guard]}
    if wanted is not False:
        # From here on the plan's metrics say it.
        whole.pop("failure_demand", None)
    return whole


def newer_versions(session: Session, project_id: int, plan: Document) -> list[dict[str, Any]]:
    """List the metrics of a plan that the catalogue defines otherwise by now.

    Returns
    -------
    list of dict
        ``metric``, ``version`` (that was copied), ``newest`` and whether it is ``archived``.
    """
    taken = {each["metric"]: each for each in plan["metrics"] if "metric" in each}
    if not taken:
        return []
    query = select(MetricRow).where(
        MetricRow.project_id == project_id, col(MetricRow.key).in_(list(taken))
    )
    found = []
    for row in session.exec(query.order_by(col(MetricRow.key))):
        table = taken[row.key]
        copied = {field: value for field, value in table.items() if field not in BESIDE}
        if row.archived or not _same(row.key, copied, row.definition):
            found.append(
                {
                    "metric": row.key,
                    "version": table["metric_version"],
                    "newest": row.version,
                    "archived": row.archived,
                }
            )
    return found


def _filled(
    session: Session, project_id: int, place: int, table: Document, longest: float | None
) -> Document:
    if table.get("metric") is None:
        return table
    reader = Reader(table, f"metrics[{place}]")
    key = reader.text("metric", hint="a key of the catalogue")
    row = _metric(session, project_id, reader, key)
    version: int = reader.integer("metric_version", row.version or 1, least=1)
    pinned = _pinned(session, reader, row, version)
    definition = dict(definition_of(entry_of(pinned, key).metric))
    if key == FAILURE_DEMAND and longest is not None:
        # Of its own it has no window: it watches a unit for as long as the plan does anyway.
        definition["window"] = format_duration(longest)
    given = {field: value for field, value in table.items() if field not in BESIDE}
    given = {field: value for field, value in given.items() if value is not None}
    # A plan that was read out of the service may come back as it was.
    came_back = table.get("metric_version") is not None and _same(key, given, definition)
    if given and not came_back:
        raise reader.fault(
            next(iter(given)),
            f"is said by the catalogue's {key!r} already",
            "one metric has one definition: leave it out, or do without metric = …",
        )
    beside = {field: value for field, value in table.items() if field in BESIDE}
    return {"key": key, **beside, **definition, "metric": key, "metric_version": version}


def _same(key: str, given: Document, definition: Document) -> bool:
    if key == FAILURE_DEMAND:
        given, definition = ({**each, "window": None} for each in (given, definition))
    return dict(given) == dict(definition)


def _metric(session: Session, project_id: int, reader: Reader, key: str) -> MetricRow:
    row = find_metric(session, project_id, key)
    if row is None and key == FAILURE_DEMAND:
        raise reader.fault("metric", *_NO_CLASSES)
    if row is None:
        query = select(MetricRow.key).where(
            MetricRow.project_id == project_id, col(MetricRow.archived).is_(False)
        )
        known = list(session.exec(query.order_by(col(MetricRow.key))))
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "flagstone metrics list"
        raise reader.fault("metric", f"is {key!r}, which is not in the catalogue", hint)
    if row.archived:
        raise reader.fault(
            "metric", f"is {key!r}, which is archived", "take another, or bring it back"
        )
    return row


_NO_CLASSES = (
    "needs events of value and of failure, and none are classified",
    "flagstone event-types set purchase value; flagstone event-types set refund failure",
)


def _pinned(
    session: Session, reader: Reader, row: MetricRow, version: int
) -> MetricRow | MetricVersion:
    """Give the version that a plan takes."""
    if version == row.version:
        return row
    query = select(MetricVersion).where(
        MetricVersion.metric_id == row.id, MetricVersion.version == version
    )
    found = session.exec(query).one_or_none()
    if found is None:
        raise reader.fault(
            "metric_version", f"is {version}, which never was", f"the newest is {row.version}"
        )
    return found


def _guard(
    session: Session,
    project_id: int,
    wanted: Any,
    metrics: Sequence[Document],
    longest: float | None,
    *,
    source: bool,
) -> Document | None:
    """Give the failure-demand metric to add, if there is one to add."""
    if wanted not in (None, True, "safety", "guardrail"):
        raise PlanError(
            f"failure_demand is {str(wanted)[:40]!r}",
            field="failure_demand",
            hint="false, safety (watched for harm; the default) or guardrail (must be shown safe)",
        )
    if any(FAILURE_DEMAND in (each.get("metric"), each.get("key")) for each in metrics):
        return None
    if source and wanted is None:
        # Another system's events need not have our names: it watches them when it is asked to.
        return None
    row = find_metric(session, project_id, FAILURE_DEMAND)
    if row is None or row.archived:
        if wanted is None:
            return None
        said, hint = _NO_CLASSES
        raise PlanError(f"failure_demand {said}", field="failure_demand", hint=hint)
    if longest is None:
        return None
    role = {"role": "guardrail", "margin": FAILURE_MARGIN}
    table = {
        "metric": FAILURE_DEMAND,
        **(role if wanted == "guardrail" else {"role": "safety"}),
    }
    return _filled(session, project_id, len(metrics), table, longest)


def _longest_window(tables: Sequence[Document]) -> float | None:
    """Give the longest window of the plan's own metrics, if one can be read."""
    found = []
    for table in tables:
        if table.get("metric") != FAILURE_DEMAND:
            # Which of them cannot be read, the plan's reader says with its place.
            with suppress(PlanError):
                found.append(Reader(table).duration("window"))
    return max((each for each in found if each > 0), default=None)
