"""The Flask extension, in applications of its own: offline, and on a small real service."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from jinja2 import DictLoader
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flagstone import Client, ConfigurationError, OfflineClient, Reason
from flagstone.engine.times import parse_time
from flagstone.flask import Flagstone
from flagstone.testing import Flags

PAGE = """
{%- if flag("new-checkout") %}new{% else %}old{% endif %}
{%- if "new-checkout" is flag_on %} tested{% endif %} {{ flag_value("colour", "grey") -}}
"""
Make = Callable[..., tuple[flask.Flask, Flagstone]]


def document(**values: Any) -> dict[str, Any]:
    """Make a flag set with these values, and a targeted flag ``beta``."""
    kinds = {bool: "boolean", str: "string", int: "integer", float: "float", dict: "object"}
    flags: dict[str, Any] = {
        name.replace("_", "-"): {
            "key": name.replace("_", "-"),
            "type": kinds[type(value)],
            "variants": {"given": {"value": value}},
            "rules": [{"id": "everybody", "track": True, "when": True, "serve": "given"}],
            "default": "given",
        }
        for name, value in values.items()
    }
    pro = {"attr": "plan", "op": "in", "values": ["pro"]}
    flags["beta"] = {
        "key": "beta",
        "type": "boolean",
        "variants": {"on": {"value": True}, "off": {"value": False}},
        "rules": [{"id": "pro", "track": True, "when": pro, "serve": "on"}],
        "default": "off",
    }
    return {"schema": 1, "environment": "e", "version": 1, "flags": flags, "segments": {}}


@pytest.fixture
def make() -> Make:
    """Make an application whose ``/`` shows what the flags say."""

    def make(extension: Flagstone | None = None, **config: Any) -> tuple[flask.Flask, Flagstone]:
        app = flask.Flask("shop")
        app.config.update(TESTING=True, **config)
        flags = extension or Flagstone()
        flags.init_app(app)

        @app.get("/")
        def page() -> str:
            return flask.render_template_string(PAGE)

        @app.get("/beta")
        def beta() -> str:
            return "beta" if flags.boolean("beta") else "no"

        return app, flags

    return make


@pytest.fixture
def online(make: Make, service: Any, tools: Any) -> Iterator[tuple[flask.Flask, Flagstone]]:
    """Make an application on the service, whose flag ``new-checkout`` is on."""
    service.publish(1, tools.flag("new-checkout", True, track=True))
    app, flags = make(
        FLAGSTONE_URL=service.url,
        FLAGSTONE_KEY=tools.KEY,
        FLAGSTONE_POLL_SECONDS=0.1,
        FLAGSTONE_START_WAIT_SECONDS=tools.DEADLINE_SECONDS,
        FLAGSTONE_FLUSH_SECONDS=0.02,
        FLAGSTONE_TIMING=tools.QUICK,
        FLAGSTONE_CONTEXT={"targetingKey": "u1"},
    )
    yield app, flags
    with app.app_context():
        flags.client.close()


def get(app: flask.Flask, path: str = "/", **options: Any) -> str:
    answer = app.test_client().get(path, **options)
    assert answer.status_code == 200
    return answer.text


# -- configuration ------------------------------------------------------------------------------


def test_flags_are_served_offline_from_a_document_or_a_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(document(new_checkout=True, colour="red")))
    for source in (path, str(path), document(new_checkout=True, colour="red")):
        assert get(make(FLAGSTONE_FLAG_SET=source)[0]) == "new tested red"
    assert get(make(FLAGSTONE_FLAG_SET=document())[0]) == "old grey"


@pytest.mark.parametrize(
    "config",
    [{}, {"FLAGSTONE_KEY": "k"}, {"FLAGSTONE_URL": "http://h", "FLAGSTONE_FLAG_SET": {}}],
)
def test_a_configuration_that_says_nothing_or_two_things_is_refused(
    make: Make, config: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="either FLAGSTONE_URL"):
        make(**config)


def test_an_application_has_one_extension(make: Make) -> None:
    app, flags = make(FLAGSTONE_FLAG_SET=document())
    with pytest.raises(RuntimeError, match="already"):
        flags.init_app(app)
    other = flask.Flask("other")
    with other.app_context(), pytest.raises(RuntimeError, match="init_app"):
        flags.boolean("beta")


def test_one_extension_serves_several_applications(make: Make) -> None:
    first, flags = make(FLAGSTONE_FLAG_SET=document(new_checkout=True, colour="red"))
    second, _ = make(flags, FLAGSTONE_FLAG_SET=document(colour="blue"))
    assert (get(first), get(second)) == ("new tested red", "old blue")


def test_an_application_mounted_in_another_keeps_its_own_flags(make: Make) -> None:
    outer, flags = make(FLAGSTONE_FLAG_SET=document(colour="red"))
    inner, _ = make(FLAGSTONE_FLAG_SET=document(colour="blue"))

    class Both:
        """Asks in the outer application, and passes the same environment on."""

        def __call__(self, environ: Any, start_response: Any) -> Any:
            with outer.request_context(environ):
                assert flags.string("colour", "") == "red"
            return inner(environ, start_response)

    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/in": Both()})  # type: ignore[method-assign]
    assert get(outer, "/in/") == "old blue"
    assert get(outer) == "old red"


def test_a_client_may_be_handed_in(make: Make) -> None:
    app, flags = make(Flagstone(client=OfflineClient(document(colour="red"))))
    assert get(app) == "old red"
    with app.app_context():
        assert isinstance(flags.client, OfflineClient)


# -- the client ---------------------------------------------------------------------------------


def test_the_client_starts_at_the_first_question_and_once(
    online: tuple[flask.Flask, Flagstone], service: Any
) -> None:
    app, flags = online
    assert service.requests == []
    clients: list[Any] = []

    def ask() -> None:
        with app.app_context():
            clients.append(flags.client)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 8
    assert len(set(map(id, clients))) == 1
    assert isinstance(clients[0], Client)
    assert get(app) == "new tested grey"


@pytest.mark.parametrize("asked_before", [True, False])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_follows_the_service_by_itself(
    online: tuple[flask.Flask, Flagstone], service: Any, tools: Any, asked_before: bool
) -> None:
    app, flags = online
    if asked_before:
        assert get(app).startswith("new")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            deadline = time.monotonic() + 60
            with app.app_context():
                seen = flags.client.wait_for_revision(2, deadline - time.monotonic())
            os.write(writer, f"{seen} {get(app)}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    service.publish(2, tools.flag("new-checkout", False))
    try:
        assert os.read(reader, 100) == b"True old grey"
    finally:
        os.close(reader)
        os.waitpid(child, 0)


def test_no_response_waits_for_exposures_or_events(
    online: tuple[flask.Flask, Flagstone], service: Any, tools: Any
) -> None:
    app, flags = online
    release = threading.Event()

    def held(handler: Any) -> bool:
        release.wait(60)
        return False

    service.answer("/sdk/v1/events", held)

    @app.get("/buy")
    def buy() -> str:
        flags.track("purchase", 12.5)
        return "bought"

    get(app)
    began = time.monotonic()
    assert get(app, "/buy") == "bought"
    assert time.monotonic() - began < 20
    release.set()
    with app.app_context():
        assert flags.client.flush(30)
    stored = sorted((event["type"], event["unit"]) for event in service.stored.values())
    assert stored == [("exposure", "u1"), ("track", "u1")]


# -- context ------------------------------------------------------------------------------------


def test_the_context_function_describes_the_request_and_is_called_once(make: Make) -> None:
    app, flags = make(FLAGSTONE_FLAG_SET=document())
    calls: list[str] = []

    @flags.context
    def describe() -> dict[str, Any]:
        calls.append(flask.request.path)
        return {"targetingKey": "u1", "plan": flask.request.args.get("plan")}

    @app.get("/twice")
    def twice() -> str:
        return f"{flags.boolean('beta')} {flags.details('beta', False).reason}"

    assert get(app, "/beta?plan=pro") == "beta"
    assert get(app, "/beta?plan=free") == "no"
    assert get(app, "/twice?plan=pro") == "True TARGETING_MATCH"
    assert calls == ["/beta", "/beta", "/twice"]


def test_without_a_question_no_context_is_asked_for(make: Make) -> None:
    app, flags = make(FLAGSTONE_FLAG_SET=document())
    flags.context(lambda: pytest.fail("nobody asked for a flag"))
    app.get("/plain")(lambda: "plain")
    assert get(app, "/plain") == "plain"


def test_attributes_come_from_g_below_the_functions_and_the_callers(make: Make) -> None:
    app, flags = make(
        FLAGSTONE_FLAG_SET=document(),
        FLAGSTONE_CONTEXT={"plan": "pro"},
        FLAGSTONE_CONTEXT_FROM_G={"plan": "plan", "targetingKey": "user_id"},
    )

    @app.before_request
    def remember() -> None:
        if "g" in flask.request.args:
            flask.g.plan = flask.request.args["g"]

    @flags.context
    def describe() -> dict[str, Any] | None:
        plan = flask.request.args.get("function")
        return None if plan is None else {"plan": plan}

    @app.get("/call")
    def call() -> str:
        return "beta" if flags.boolean("beta", context={"plan": flask.request.args["call"]}) else ""

    assert get(app, "/beta") == "beta"
    assert get(app, "/beta?g=free") == "no"
    assert get(app, "/beta?g=free&function=pro") == "beta"
    assert get(app, "/call?g=pro&function=pro&call=free") == ""


def test_more_may_be_known_after_a_login(make: Make) -> None:
    app, flags = make(FLAGSTONE_FLAG_SET=document())

    @app.get("/login")
    def login() -> str:
        before = flags.boolean("beta")
        flags.add_context({"plan": "pro"})
        return f"{before} {flags.boolean('beta')}"

    assert get(app, "/login") == "False True"
    assert get(app, "/beta") == "no"


def test_a_failing_context_function_is_raised_in_tests_and_logged_in_production(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    app, flags = make(FLAGSTONE_FLAG_SET=document())
    flags.context(lambda: {}["missing"])
    with pytest.raises(KeyError):
        app.test_client().get("/beta")
    app.testing = False
    assert get(app, "/beta") == "no"
    assert "@flags.context failed" in caplog.text


def test_flags_are_there_in_an_application_context_without_a_request(make: Make) -> None:
    app, flags = make(FLAGSTONE_FLAG_SET=document(colour="red"))
    flags.context(lambda: {"plan": flask.request.args["plan"]})
    with app.app_context():
        assert flags.string("colour", "") == "red"
        assert flags.boolean("beta", context={"plan": "pro"}) is True


# -- the same answer throughout a request -------------------------------------------------------


def test_a_request_sees_one_state_of_the_flags_and_the_next_one_the_new(make: Make) -> None:
    client = OfflineClient(document(colour="red", size=1))
    app, flags = make(Flagstone(client=client))

    @app.get("/change")
    def change() -> flask.Response:
        before = flags.string("colour", "")
        client.serve(document(colour="blue", size=2))

        def rest() -> Iterator[str]:
            yield f"{before} {flags.string('colour', '')} {flags.integer('size', 0)} "
            yield flask.render_template_string("{{ flag_value('colour') }}")

        return flask.Response(flask.stream_with_context(rest()))

    assert get(app, "/change") == "red red 1 red"
    assert get(app) == "old blue"


def test_requests_differ_though_a_test_holds_an_application_context(make: Make) -> None:
    client = OfflineClient(document(colour="red"))
    app, _ = make(Flagstone(client=client))
    with app.app_context():
        assert get(app) == "old red"
        client.serve(document(colour="blue"))
        assert get(app) == "old blue"


def test_time_stands_still_within_a_request(make: Make) -> None:
    flags_document = document(colour="red")
    flag = flags_document["flags"]["colour"]
    flag["variants"]["later"] = {"value": "later"}
    flag["rules"][0]["end"] = "2026-01-01T00:00:00Z"
    flag["default"] = "later"
    client = OfflineClient(flags_document)
    now = parse_time("2025-12-31T23:59:59Z")
    client._clock = lambda: now
    app, flags = make(Flagstone(client=client))
    with app.test_request_context():
        assert flags.string("colour", "") == "red"
        now += 5.0
        assert flags.string("colour", "") == "red"
    with app.test_request_context():
        assert flags.string("colour", "") == "later"


# -- getters and templates ----------------------------------------------------------------------


def test_every_type_has_its_getter_and_falls_back_to_the_default(make: Make) -> None:
    values = {"b": True, "s": "text", "i": 3, "f": 0.5, "o": {"k": [1]}}
    app, flags = make(FLAGSTONE_FLAG_SET=document(**values))
    with app.test_request_context():
        assert flags.boolean("b", False) is True
        assert flags.string("s", "x") == "text"
        assert flags.integer("i", 0) == 3
        assert flags.float("f", 0.0) == 0.5
        assert flags.float("i", 0.0) == 3.0
        assert flags.object("o", None) == {"k": [1]}
        assert flags.value("o") == {"k": [1]}
        assert flags.boolean("s", True) is True
        assert flags.string("missing", "mine") == "mine"
        assert flags.value("missing") is None
        assert flags.details("i", 0, int).reason is Reason.TARGETING_MATCH


def test_imported_macros_know_the_flags(make: Make) -> None:
    app, _ = make(FLAGSTONE_FLAG_SET=document(new_checkout=True))
    macro = "{% macro button() %}{{ 'new' if flag('new-checkout') else 'old' }}{% endmacro %}"
    app.jinja_loader = DictLoader({"macros.html": macro})
    with app.test_request_context():
        page = "{% from 'macros.html' import button %}{{ button() }}"
        assert flask.render_template_string(page) == "new"


# -- with flagstone.testing ---------------------------------------------------------------------


def test_flags_of_a_test_reach_every_application(make: Make) -> None:
    url = "http://127.0.0.1:9"  # nobody listens there
    with Flags({"new-checkout": True, "colour": "red"}) as flags:
        offline, _ = make(FLAGSTONE_FLAG_SET=document(), FLAGSTONE_CONTEXT={"targetingKey": "u"})
        online, _ = make(FLAGSTONE_URL=url, FLAGSTONE_KEY="fs_srv_0123456789abcdef")
        for app in (offline, online):
            assert get(app) == "new tested red"
            with flags.override("new-checkout", False):
                assert get(app) == "old red"
        flags.assert_exposed("colour", unit="u")
    assert get(offline) == "old grey"
