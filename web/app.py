"""The management application: REST and console, one Flask app, framework-free services below."""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import orjson
from flask import Flask, Response, abort, request
from flask.json.provider import JSONProvider
from werkzeug.routing import IntegerConverter, Map

from flags.database import Database
from web import hooks, problems, security, transactions
from web.api import blueprint as api_blueprint
from web.api import limits
from web.auth import uses
from web.settings import Settings

MAX_BODY_BYTES = 1 << 20
MAX_IMPORT_BYTES = 16 << 20
_JSON_OPTIONS = orjson.OPT_UTC_Z


class OrjsonProvider(JSONProvider):
    """JSON by orjson: times in RFC 3339 with ``Z``, keys in the order that a view gave them."""

    def dumps(self, obj: Any, **_kwargs: Any) -> str:
        """Return the JSON text of a document."""
        return orjson.dumps(obj, option=_JSON_OPTIONS).decode()

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        """Parse JSON text; request bodies go through ``web.body`` instead."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a JSON response without the detour over ``str``."""
        document = self._prepare_response_obj(args, kwargs)
        body = orjson.dumps(document, option=_JSON_OPTIONS)
        return Response(body, content_type="application/json")


class WholeNumberConverter(IntegerConverter):
    """Werkzeug's ``int``; a number above ``max`` is nothing at all, and not a wrong method."""

    def __init__(self, url_map: Map, *args: Any, **options: Any) -> None:
        super().__init__(url_map, *args, **options)
        if self.max is not None:
            self.regex = _up_to(int(self.max))


def _up_to(largest: int) -> str:
    """Write a pattern of the whole numbers from 0 to ``largest``, with any leading zeros."""
    digits = str(largest)
    # As many digits as ``largest`` or fewer; of as many, the first that differs is smaller.
    ways = [f"[0-9]{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    for place, digit in enumerate(digits):
        if digit != "0":
            rest = len(digits) - place - 1
            ways.append(f"{digits[:place]}[0-{int(digit) - 1}][0-9]{{{rest}}}")
    return f"0*(?:{'|'.join([*ways, digits])})"


def utc_now() -> dt.datetime:
    """Return the present time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


def create_flask_app(
    settings: Settings,
    database: Database,
    *,
    clock: Callable[[], dt.datetime] = utc_now,
    console: bool = True,
) -> Flask:
    """Build the management application over an open database.

    Parameters
    ----------
    settings : Settings
        How this installation runs; the console reads it from ``app.extensions``.
    database : Database
        Open, with every table.
    clock : callable
        What time it is, asked once per request.
    console : bool
        Whether to serve the console's pages too, where ``web.console`` exists.

    Returns
    -------
    Flask
        With ``/api/v1`` and the console's pages.
    """
    app = Flask("web", static_folder=None, template_folder=None)
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["MAX_FORM_PARTS"] = 200
    # A flag's key may hold two slashes in a row; it is not to be "mended" by a redirect.
    app.url_map.merge_slashes = False
    app.url_map.converters["int"] = WholeNumberConverter
    app.extensions["flagstone.settings"] = settings
    transactions.bind(app, database, clock)
    problems.register(app)
    security.register(app)
    app.before_request(_refuse_nul)
    app.before_request(_allow_imports)
    uses.register(app, database, clock)
    limits.register(app, settings.api_requests_per_minute)
    app.register_blueprint(api_blueprint)
    hooks.register(app)
    if console:
        _register_console(app)
    return app


def _refuse_nul() -> None:
    # PostgreSQL's text cannot hold it, so that even a look-up with one would be an error.
    if "\0" in request.path or b"\0" in request.query_string or b"%00" in request.query_string:
        abort(400, "the address holds the character U+0000")


def _allow_imports() -> None:
    # The edge has the same exception, for people with a key of their own.
    if request.path.endswith("/import"):
        request.max_content_length = MAX_IMPORT_BYTES


def _register_console(app: Flask) -> None:
    if importlib.util.find_spec("web.console") is None:
        return
    console = importlib.import_module("web.console")
    app.register_blueprint(console.blueprint)
    render_problem = getattr(console, "render_problem", None)
    if render_problem is not None:
        problems.set_html_renderer(app, render_problem)
