"""Entries of the catalogue as the API, the CLI and the console show them."""

from __future__ import annotations

from typing import Any

from experiments.catalogue.definition import measures
from experiments.catalogue.models import MetricRow, MetricSensitivity, MetricVersion
from experiments.catalogue.services import entry_of


def metric_document(row: MetricRow) -> dict[str, Any]:
    """Give an entry: its definition, the same in plain words, and who answers for it."""
    return {
        "key": row.key,
        "measures": measures(entry_of(row, row.key).metric),
        "definition": row.definition,
        "direction": row.definition["direction"],
        "owner": row.owner,
        "description": row.description,
        "archived": row.archived,
        "built_in": row.built_in,
        "version": row.version,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
    }


def version_document(version: MetricVersion) -> dict[str, Any]:
    """Give one version of an entry."""
    return {
        "version": version.version,
        "at": version.at,
        "actor": version.actor,
        "definition": version.definition,
        "owner": version.owner,
        "description": version.description,
        "archived": version.archived,
    }


def sensitivity_document(found: MetricSensitivity | None) -> dict[str, Any] | None:
    """Give what the worker found out; ``None`` while it has not looked yet."""
    if found is None:
        return None
    return {
        "computed_at": found.computed_at,
        "metric_version": found.metric_version,
        **found.document,
    }
