"""Sources: the warehouses that experiments may be analysed on, as a list and as a form.

The names of the form's fields are the paths of the document, so that a fault finds its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from experiments.contract.source import KINDS
from experiments.models import SourceRow
from experiments.sources import services as sources
from flags.errors import FlagstoneError, InvalidInputError
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, seen_version, show, status_of
from web.transactions import reading, transaction

_PLACE = "/projects/<project_key>/environments/<environment_key>"
_ONE = f"{_PLACE}/sources/<source_key>"
COLUMNS = {
    "exposures": (
        ("unit", "Who", "unit"),
        ("variant", "Which variant", "variant"),
        ("time", "When", "time"),
        ("flag", "Which flag, if there are several", ""),
        ("rule", "Which rule, if it is known", ""),
    ),
    "tracks": (
        ("unit", "Who", "unit"),
        ("name", "Which event", "name"),
        ("time", "When", "time"),
        ("value", "Its value, if it has one", ""),
    ),
}
"""Columns of a relation: their meaning in the document, in words, and their usual name."""


@blueprint.get(f"{_PLACE}/sources")
@needs(Role.VIEWER)
def list_sources(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List a project's sources."""
    return _list(project_key, environment_key)


@blueprint.get(f"{_PLACE}/new-source")
@needs(Role.ADMIN, of="project")
def new_source(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask for a source."""
    return _page(project_key, environment_key, {"url_env": "WAREHOUSE_URL"}, None)


@blueprint.post(f"{_PLACE}/new-source")
@needs(Role.ADMIN, of="project")
def create_source(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Declare a source."""
    return _write(project_key, environment_key, None)


@blueprint.get(f"{_ONE}/edit")
@needs(Role.ADMIN, of="project")
def edit_source(project_key: str, environment_key: str, source_key: str) -> ResponseReturnValue:
    """Ask for a source anew."""
    with reading() as session:
        row = sources.get_source(session, project_key, source_key)
        form = {**form_of(row.document), "version": str(row.version)}
    return _page(project_key, environment_key, form, source_key)


@blueprint.post(f"{_ONE}/edit")
@needs(Role.ADMIN, of="project")
def write_source(project_key: str, environment_key: str, source_key: str) -> ResponseReturnValue:
    """Write a source anew."""
    return _write(project_key, environment_key, source_key)


@blueprint.post(f"{_ONE}/delete")
@needs(Role.ADMIN, of="project")
def delete_source(project_key: str, environment_key: str, source_key: str) -> ResponseReturnValue:
    """Forget a source that no sealed experiment needs."""
    try:
        with transaction() as session:
            sources.delete_source(
                session, project_key, source_key, expected_version=seen_version(), **who_and_when()
            )
    except FlagstoneError as error:
        return _list(project_key, environment_key, problem=error)
    return _to_list(project_key, environment_key)


def document_of(form: Mapping[str, str]) -> dict[str, Any]:
    """Give the document that a filled-in form makes."""
    document: dict[str, Any] = {
        name: form[name].strip() for name in ("kind", "url_env") if form.get(name, "").strip()
    }
    for relation, columns in COLUMNS.items():
        said = {
            name: form[f"{relation}.{name}"].strip()
            for name in ("table", "sql", *(each[0] for each in columns))
            if form.get(f"{relation}.{name}", "").strip()
        }
        # Column names alone, which the form brings along, are no rows.
        if not {"table", "sql"} & said.keys():
            continue
        document[relation] = said
    lines = form.get("exposures.attributes", "").strip()
    if lines and "exposures" in document:
        document["exposures"]["attributes"] = _attributes(lines)
    return document


def form_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Give a form filled in with what a document says: :func:`document_of` gives it back."""
    form = {name: str(document[name]) for name in ("kind", "url_env")}
    for relation in COLUMNS:
        for name, value in document.get(relation, {}).items():
            if name == "attributes":
                value = "\n".join(f"{key} = {column}" for key, column in value.items())
            form[f"{relation}.{name}"] = value
    return form


def _attributes(lines: str) -> dict[str, str]:
    found = {}
    for line in lines.splitlines():
        if line.strip():
            name, _, column = line.partition("=")
            found[name.strip()] = column.strip() or name.strip()
    return found


def _write(project_key: str, environment_key: str, source_key: str | None) -> ResponseReturnValue:
    form = request.form.to_dict()
    key = form.get("key", "").strip() if source_key is None else source_key
    try:
        with transaction() as session:
            if source_key is None and any(
                each.key == key for each in sources.list_sources(session, project_key)
            ):
                message = f"there is a source {key!r} already"
                raise InvalidInputError(message, field="key", hint="choose another name")
            sources.put_source(
                session,
                project_key,
                key,
                document_of(form),
                expected_version=None if source_key is None else seen_version(),
                **who_and_when(),
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, form, source_key, problem=error)
    return _to_list(project_key, environment_key)


def _to_list(project_key: str, environment_key: str) -> ResponseReturnValue:
    return back_to(
        url_for("console.list_sources", project_key=project_key, environment_key=environment_key)
    )


def _list(
    project_key: str, environment_key: str, *, problem: FlagstoneError | None = None
) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
        rows = [_row(each) for each in sources.list_sources(session, project_key)]
    return show(
        "sources/list.html",
        status=status_of(problem),
        rows=rows,
        problem=problem,
        project_key=project_key,
        environment_key=environment_key,
    )


def _row(source: SourceRow) -> dict[str, Any]:
    def where(relation: str) -> str | None:
        said = source.document.get(relation)
        return None if said is None else said.get("table") or "a SELECT"

    return {
        "key": source.key,
        "kind": source.document["kind"],
        "url_env": source.document["url_env"],
        "exposures": where("exposures"),
        "tracks": where("tracks"),
        "changed_at": source.updated_at,
        "version": source.version,
    }


def _page(
    project_key: str,
    environment_key: str,
    form: dict[str, str],
    source_key: str | None,
    *,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
    wrong = None if problem is None else problem.field or ""
    if wrong and wrong.startswith("exposures.attributes"):
        wrong = "exposures.attributes"
    return show(
        "sources/edit.html",
        status=status_of(problem),
        kinds=KINDS,
        columns=COLUMNS,
        form=form,
        source_key=source_key,
        problem=problem,
        wrong=wrong,
        project_key=project_key,
        environment_key=environment_key,
    )
