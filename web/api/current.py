"""What is there now, told to whoever wanted to write over something older.

Changes of flags compare three states field by field (:mod:`flags.conflicts`). Of what keeps no
earlier states only two are known: what is there, as a GET of the same address shows it, and what
the caller sent.
"""

from __future__ import annotations

from typing import Any

from flask import current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from flags.conflicts import conflict_without_base
from flags.errors import VersionConflictError
from web.api.blueprint import blueprint
from web.contract import contract_of
from web.problems import as_json, problem_of

_WRITES = frozenset({"PUT", "PATCH", "DELETE"})


@blueprint.errorhandler(VersionConflictError)
def tell_conflict(error: VersionConflictError) -> ResponseReturnValue:
    """Answer 412, with what is there now beside what the caller wanted."""
    if error.conflict is None and request.method in _WRITES:
        error.conflict = _conflict()
    return as_json(problem_of(error))


def _conflict() -> dict[str, Any] | None:
    shown = _shown_now()
    if shown is None:
        return None
    given = request.get_json(silent=True)
    wanted: dict[str, Any] = given if isinstance(given, dict) else {}
    # Of a whole document everything counts; of single fields those that the caller named.
    theirs = {key: shown[key] for key in wanted if key in shown} if _is_partial() else shown
    return conflict_without_base(theirs, wanted)


def _is_partial() -> bool:
    return request.method == "PATCH"


def _shown_now() -> dict[str, Any] | None:
    """Ask the view that shows what this address writes; whoever may write it may read it."""
    try:
        endpoint, values = current_app.url_map.bind("").match(request.path, method="GET")
    except HTTPException:
        return None
    view = current_app.view_functions[endpoint]
    if contract_of(view).query is not None or request.args:
        return None
    answer: Any = view(**values)
    document = current_app.make_response(answer).get_json(silent=True)
    return document if isinstance(document, dict) else None
