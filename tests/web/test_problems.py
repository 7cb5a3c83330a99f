"""How an error becomes an answer: the table, and what nobody foresaw."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from flask import Flask, abort, request
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm.exc import StaleDataError

from experiments import errors as experiment_errors
from experiments.store import base as store_errors
from flags import errors as flag_errors
from flagstone.engine import FlagSetError
from web import errors as web_errors
from web import problems

CASES: list[tuple[Exception, int, str]] = [
    (flag_errors.FlagstoneError("m"), 400, "error"),
    (flag_errors.InvalidInputError("m", field="a.b", hint="h"), 400, "invalid_input"),
    (flag_errors.NotFoundError("m"), 404, "not_found"),
    (flag_errors.AlreadyExistsError("m"), 409, "already_exists"),
    (flag_errors.VersionConflictError("m"), 412, "version_conflict"),
    (flag_errors.NotAllowedError("m"), 403, "not_allowed"),
    (flag_errors.StateError("m"), 409, "wrong_state"),
    (experiment_errors.PlanError("m", field="metrics[0]"), 400, "invalid_plan"),
    (web_errors.UnauthenticatedError("m"), 401, "unauthenticated"),
    (web_errors.TooManyAttemptsError("m", retry_after_seconds=7), 429, "too_many_attempts"),
    (store_errors.StoreError("m"), 503, "store_unavailable"),
    (store_errors.FullError("m", retry_after_seconds=7), 503, "store_full"),
    (web_errors.MalformedBodyError("m"), 400, "malformed_body"),
    (web_errors.BodyNotJsonError("m"), 415, "unsupported_media_type"),
    (web_errors.ForgeryError("m"), 403, "cross_site_request"),
    (web_errors.IdempotencyError("m"), 422, "idempotency_key_reused"),
    (FlagSetError("flags.a", "m", "h"), 400, "invalid_flag_set"),
    (StaleDataError("secret row"), 412, "version_conflict"),
    (IntegrityError("secret statement", {}, Exception("secret")), 409, "already_exists"),
    (DataError("secret statement", {}, Exception("secret")), 400, "invalid_input"),
    (OperationalError("secret statement", {}, Exception("secret")), 503, "database_busy"),
]


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask(__name__)
    problems.register(app)

    @app.route("/<path:_rest>")
    def fail(_rest: str) -> str:
        raise app.config["RAISE"]

    @app.route("/abort/<int:status>")
    def give_up(status: int) -> str:
        abort(status)

    return app


@pytest.mark.parametrize(("error", "status", "code"), CASES, ids=lambda case: type(case).__name__)
def test_each_error_has_its_status_and_code(
    app: Flask, error: Exception, status: int, code: str
) -> None:
    app.config["RAISE"] = error
    response = app.test_client().get("/x")
    assert response.content_type == "application/problem+json"
    document = response.get_json()
    assert (response.status_code, document["status"], document["code"]) == (status, status, code)
    assert document["type"] == "about:blank"
    assert document["title"]
    assert "secret" not in response.get_data(as_text=True)


def test_every_class_of_error_is_in_the_table() -> None:
    waiting = [flag_errors.FlagstoneError]
    while waiting:
        error_class = waiting.pop()
        waiting.extend(error_class.__subclasses__())
        assert problems.status_of(error_class) is not None


def test_field_and_hint_are_said_where_there_is_something_to_say(app: Flask) -> None:
    app.config["RAISE"] = flag_errors.InvalidInputError("m", field="a.b", hint="h")
    document = app.test_client().get("/x").get_json()
    assert (document["detail"], document["field"], document["hint"]) == ("m", "a.b", "h")
    app.config["RAISE"] = flag_errors.InvalidInputError("m")
    document = app.test_client().get("/x").get_json()
    assert not {"field", "hint"} & set(document)


def test_waiting_and_authentication_are_told_in_headers(app: Flask) -> None:
    app.config["RAISE"] = web_errors.TooManyAttemptsError("m", retry_after_seconds=7)
    assert app.test_client().get("/x").headers["Retry-After"] == "7"
    app.config["RAISE"] = web_errors.UnauthenticatedError("m")
    assert app.test_client().get("/x").headers["WWW-Authenticate"].startswith("Bearer")
    response = app.test_client().post("/x")
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret internals"),
        KeyError("secret internals"),
        RecursionError("secret internals"),
        ProgrammingError("secret internals", {}, Exception("secret internals")),
    ],
)
def test_an_unforeseen_error_is_logged_whole_and_answered_with_an_incident_id_only(
    app: Flask, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["RAISE"] = error
    with caplog.at_level(logging.ERROR):
        response = app.test_client().get("/x?password=hidden")
    assert response.status_code == 500
    text = response.get_data(as_text=True)
    assert "secret" not in text
    assert "Traceback" not in text
    incident = response.headers["X-Incident"]
    assert incident in response.get_json()["detail"]
    assert incident in caplog.text
    assert "secret internals" in caplog.text
    assert "Traceback" in caplog.text
    assert "hidden" not in caplog.text


def test_a_browser_gets_the_pages_own_rendering_outside_the_api(app: Flask) -> None:
    problems.set_html_renderer(app, lambda problem: (f"<p>{problem.code}", problem.status))
    app.config["RAISE"] = web_errors.UnauthenticatedError("m")
    client = app.test_client()
    page = client.get("/flags", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.get_data(as_text=True) == "<p>unauthenticated"
    assert page.status_code == 401
    assert page.headers["WWW-Authenticate"]
    for path, accept in [("/api/v1/x", "text/html"), ("/flags", "*/*"), ("/flags", None)]:
        headers = {} if accept is None else {"Accept": accept}
        response = client.get(path, headers=headers)
        assert response.content_type == "application/problem+json", (path, accept)


def test_a_rendering_that_fails_does_not_hide_the_problem(app: Flask) -> None:
    def broken(problem: problems.Problem) -> str:
        raise RuntimeError(problem.code)

    problems.set_html_renderer(app, broken)
    app.config["RAISE"] = flag_errors.NotFoundError("m")
    response = app.test_client().get("/flags", headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert response.get_json()["code"] == "not_found"


def test_an_abort_is_a_problem_too(app: Flask) -> None:
    for status, code in [(404, "not_found"), (413, "body_too_large"), (418, "http_error")]:
        response = app.test_client().get(f"/abort/{status}")
        assert (response.status_code, response.get_json()["code"]) == (status, code)


def test_the_log_names_the_path_and_not_the_query(app: Flask) -> None:
    with app.test_request_context("/a?token=hidden"):
        assert request.query_string
        assert problems._where() == "GET /a"
