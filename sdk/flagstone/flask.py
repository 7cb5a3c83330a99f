"""Flask: flags in views and templates, the same throughout one request.

An opt-in module: it needs Flask, which nothing else in this package imports.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, TypeVar, cast

import flask

from flagstone import process
from flagstone.arguments import attributes
from flagstone.client import Client
from flagstone.engine import EvaluationDetails
from flagstone.errors import ConfigurationError
from flagstone.getters import Getters
from flagstone.offline import OfflineClient

LOG = logging.getLogger("flagstone")
_T = TypeVar("_T")
_Float = float  # inside the class the word means a method
ContextFunction = Callable[[], Mapping[str, Any] | None]
_C = TypeVar("_C", bound=ContextFunction)

_EXTENSION: Final = "flagstone"
_VIEW: Final = "flagstone.view"
_PREFIX: Final = "FLAGSTONE_"
# The rest of the client's options, each under its own name in app.config.
_OPTIONS: Final = (
    "SNAPSHOT_PATH",
    "START_WAIT_SECONDS",
    "POLL_SECONDS",
    "FLUSH_SECONDS",
    "QUEUE_SIZE",
    "CONTEXT",
    "EXPOSURE_ATTRIBUTES",
    "TIMING",
)


class Flagstone:
    """The extension: ``flags = Flagstone(app)``, or ``flags = Flagstone()`` and ``init_app``.

    Parameters
    ----------
    app : Flask, optional
        The application, if it is there already.
    client : Client or OfflineClient, optional
        A client to use instead of one made from ``app.config``.

    Notes
    -----
    Configuration, from ``app.config``: ``FLAGSTONE_URL`` and ``FLAGSTONE_KEY``, or
    ``FLAGSTONE_FLAG_SET`` (a document or a path) to work offline; further
    ``FLAGSTONE_SNAPSHOT_PATH``, ``…_START_WAIT_SECONDS``, ``…_POLL_SECONDS``,
    ``…_FLUSH_SECONDS``, ``…_QUEUE_SIZE``, ``…_CONTEXT`` and ``…_TIMING`` as for
    :class:`flagstone.Client`; and ``FLAGSTONE_CONTEXT_FROM_G``, a mapping from attributes to names
    in ``flask.g``, such as ``{"targetingKey": "user_id"}``.

    The client starts at the first question, once in each process: a server may load the
    application and fork afterwards, before the first question or after it.

    The first question of a request fixes the flag set, the time and the context for the rest of
    it: the same question has the same answer, in the view, in the template and in what streams
    afterwards. A change of a flag is seen by the next request. Exposures and events are queued in
    memory and sent by a thread; no response waits for them.

    Examples
    --------
    >>> on = {"key": "f", "type": "boolean", "variants": {"on": {"value": True}}, "default": "on"}
    >>> app = flask.Flask("shop")
    >>> app.config["FLAGSTONE_FLAG_SET"] = {"schema": 1, "version": 1, "flags": {"f": on}}
    >>> flags = Flagstone(app)
    >>> with app.test_request_context():
    ...     flags.boolean("f", False)
    ...     flask.render_template_string("{% if flag('f') %}new{% else %}old{% endif %}")
    True
    'new'
    """

    def __init__(
        self, app: flask.Flask | None = None, *, client: Client | OfflineClient | None = None
    ) -> None:
        self._client = client
        self._context: ContextFunction | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Add this extension to ``app``; nothing is connected yet.

        Raises
        ------
        RuntimeError
            If there is one already.
        """
        if _EXTENSION in app.extensions:
            raise RuntimeError("this application has a Flagstone extension already")
        state = _State(app, self._client)
        # Weakly: the state, and with it the client, ends with the application.
        process.join(state)
        app.extensions[_EXTENSION] = state
        app.jinja_env.globals.update(flag=self.boolean, flag_value=self.value)
        app.jinja_env.tests["flag_on"] = self.boolean

    def context(self, function: _C) -> _C:
        """Register the function that describes the present request: ``@flags.context``.

        It returns attributes, with the unit under ``targetingKey``, or None, and is called at the
        first question of each request. If it raises, the request goes on without attributes and
        the error is logged; in debug and testing it is raised.
        """
        self._context = function
        return function

    def add_context(self, attributes: Mapping[str, Any]) -> None:
        """Know more about the present request from here on, after a login for instance.

        Flag set and time stay what they were at the first question.
        """
        state = _state()
        _shelf()[state.key] = self._view().view(attributes)

    # -- questions ----------------------------------------------------------------------------

    def boolean(
        self,
        key: str,
        default: bool = False,  # noqa: FBT001, FBT002  as short as it can be in templates
        context: Mapping[str, Any] | None = None,
    ) -> bool:
        """Return the flag's boolean; ``context`` joins the request's own."""
        return self._view().get_boolean(key, context, default)

    def string(self, key: str, default: str, context: Mapping[str, Any] | None = None) -> str:
        """Return the flag's string."""
        return self._view().get_string(key, context, default)

    def integer(self, key: str, default: int, context: Mapping[str, Any] | None = None) -> int:
        """Return the flag's integer."""
        return self._view().get_integer(key, context, default)

    def float(self, key: str, default: _Float, context: Mapping[str, Any] | None = None) -> _Float:
        """Return the flag's number."""
        return self._view().get_float(key, context, default)

    def object(self, key: str, default: _T, context: Mapping[str, Any] | None = None) -> Any | _T:
        """Return the flag's object or list."""
        return self._view().get_object(key, context, default)

    def value(self, key: str, default: Any = None, context: Mapping[str, Any] | None = None) -> Any:
        """Return the flag's value, whatever its type; in templates ``flag_value``."""
        return self._view().get_details(key, context, default).value

    def details(
        self,
        key: str,
        default: Any,
        type: str | type | None = None,  # noqa: A002  as Client.get_details
        context: Mapping[str, Any] | None = None,
    ) -> EvaluationDetails:
        """Return value and reason, as :meth:`flagstone.Client.get_details`."""
        return self._view().get_details(key, context, default, type)

    def track(
        self, name: str, value: _Float | None = None, context: Mapping[str, Any] | None = None
    ) -> None:
        """Record that the request's unit did something; returns at once."""
        self._view().track(name, context or {}, value)

    @property
    def client(self) -> Client | OfflineClient:
        """The client of the present application, started if it was not."""
        return _state().client()

    # -- inside -------------------------------------------------------------------------------

    def _view(self) -> Getters:
        state, shelf = _state(), _shelf()
        view = shelf.get(state.key)
        if view is None:
            view = shelf[state.key] = state.client().view(self._request_context(state))
        return cast("Getters", view)

    def _request_context(self, state: _State) -> dict[str, Any]:
        found = {
            attribute: flask.g.get(name)
            for attribute, name in state.from_g.items()
            if flask.g.get(name) is not None
        }
        if self._context is None or not flask.has_request_context():
            return found
        try:
            return {**found, **(self._context() or {})}
        except Exception:
            if flask.current_app.debug or flask.current_app.testing:
                raise
            LOG.exception("flagstone: the function registered with @flags.context failed")
            return found


class _State:
    """What one application has: its configuration, and its client once somebody asked."""

    def __init__(self, app: flask.Flask, client: Client | OfflineClient | None) -> None:
        self._config = app.config
        self._client = client
        self._lock = threading.RLock()
        # An application mounted in another one sees the same WSGI environment.
        self.key = f"{_VIEW}.{id(self)}"
        self.from_g = attributes(_PREFIX + "CONTEXT_FROM_G", self._option("CONTEXT_FROM_G"))
        places = [client, self._option("URL"), self._option("FLAG_SET")]
        if sum(place is not None for place in places) != 1:
            raise ConfigurationError(
                "app.config needs either FLAGSTONE_URL (with FLAGSTONE_KEY) or FLAGSTONE_FLAG_SET"
            )

    def client(self) -> Client | OfflineClient:
        """Return the client, made by whoever asks first."""
        client = self._client
        if client is None:
            with self._lock:
                client = self._client
                if client is None:
                    client = self._client = self._make()
        return client

    def after_fork(self) -> None:
        """Replace the lock: in the parent another thread may have been making the client."""
        self._lock = threading.RLock()

    def at_exit(self) -> None:
        """Do nothing: the client hears of the end by itself."""

    def _make(self) -> Client | OfflineClient:
        flag_set = self._option("FLAG_SET")
        if flag_set is not None:
            return OfflineClient(flag_set, context=self._option("CONTEXT"))
        options = {name.lower(): self._option(name) for name in _OPTIONS}
        given = {name: value for name, value in options.items() if value is not None}
        return Client(self._option("URL"), self._option("KEY"), **given)

    def _option(self, name: str) -> Any:
        return self._config.get(_PREFIX + name)


def _state() -> _State:
    state = flask.current_app.extensions.get(_EXTENSION)
    if not isinstance(state, _State):
        raise RuntimeError("this application has no Flagstone extension: call init_app(app)")
    return state


def _shelf() -> MutableMapping[str, Any]:
    """Return what lives as long as the present request, or else the application context.

    Not ``flask.g`` in a request: where tests push an application context, all requests share it.
    """
    if flask.has_request_context():
        return flask.request.environ
    return flask.g.__dict__
