"""Every kind of answer against OFREP's own OpenAPI document, where it lies beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jsonschema
import pytest
import yaml

from tests.web.ofrep.cases import CASES, FLAGS, LEFT_TO_CALLER, flag
from web.edge import event_streams

BULK = "/ofrep/v1/evaluate/flags"
ALL = [*CASES, *LEFT_TO_CALLER]


@pytest.fixture(scope="module")
def document(shared_dir: Path) -> Any:
    """The published document, mended where it refuses what its own prose asks for."""
    path = shared_dir / "conformance" / "ofrep" / "openapi.yaml"
    if not path.is_file():
        pytest.skip("no OFREP document beside the checkout")
    found = yaml.safe_load(path.read_text())
    assert found["info"]["version"] == "0.3.0"
    schemas = found["components"]["schemas"]
    common, values = schemas["evaluationSuccess"]["allOf"]
    # The empty schema of the code default matches every answer, so no answer matches exactly one.
    values["anyOf"] = values.pop("oneOf")
    schemas["codeDefaultFlag"]["not"] = {"required": ["value"]}
    common["properties"]["reason"]["enum"].append("DEFAULT")
    return found


def is_a(document: Any, name: str, answer: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer)


@pytest.fixture(scope="module")
def service(shared_world: Any) -> Any:
    with shared_world.service.client(shared_world.server_key) as http:
        yield http


def test_the_mended_document_still_refuses_what_is_wrong(document: Any) -> None:
    good = {"key": "f", "reason": "STATIC", "value": 1, "metadata": {"version": 1}}
    is_a(document, "serverEvaluationSuccess", good)
    for wrong in ({"value": None}, {"reason": "WHY"}, {"metadata": {"a": []}}, {"key": 1}):
        with pytest.raises(jsonschema.ValidationError):
            is_a(document, "serverEvaluationSuccess", {**good, **wrong})


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_single_answer_is_one_of_the_document(case: Any, document: Any, service: Any) -> None:
    reply = service.post(f"{BULK}/{case.flag}", json={"context": case.context})
    wanted = {"FLAG_NOT_FOUND": 404, "PARSE_ERROR": 400}.get(case.error, 200)
    assert reply.status_code == wanted
    assert reply.headers["content-type"] == "application/json"
    kinds = {200: "serverEvaluationSuccess", 404: "flagNotFound", 400: "evaluationFailure"}
    is_a(document, kinds[wanted], reply.json())
    assert reply.json()["key"] == case.flag
    if wanted != 200:
        assert reply.json()["errorDetails"]


@pytest.mark.parametrize("body", ["", "{}", '{"context":null}', '{"context":{}}'])
def test_a_bulk_answer_is_one_of_the_document(document: Any, service: Any, body: str) -> None:
    reply = service.post(BULK, content=body)
    answer = reply.json()
    assert reply.status_code == 200
    is_a(document, "bulkEvaluationSuccess", answer)
    assert [entry["key"] for entry in answer["flags"]] == sorted(FLAGS)
    failed = [entry for entry in answer["flags"] if "errorCode" in entry]
    assert [entry["key"] for entry in failed] == ["broken"]
    (stream,) = answer["eventStreams"]
    is_a(document, "eventStream", stream)
    # JSON Schema does not look at formats by itself.
    parts = urlsplit(stream["url"])
    assert (parts.scheme, parts.netloc) == ("http", service.base_url.netloc.decode())


BAD_BODIES = ["{", "[]", '{"context":[]}', '{"context":{"targetingKey":[]}}', '{"context":{},"a":1,"a":2}']  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_bad_request_gets_a_failure_of_the_document(
    document: Any, service: Any, body: str
) -> None:
    bulk = service.post(BULK, content=body)
    single = service.post(f"{BULK}/text", content=body)
    assert (bulk.status_code, single.status_code) == (400, 400)
    is_a(document, "bulkEvaluationFailure", bulk.json())
    is_a(document, "evaluationFailure", single.json())


def test_refusals_carry_what_the_document_knows_of(
    document: Any, service: Any, strict_world: Any
) -> None:
    with strict_world.service.client(strict_world.server_key) as http:
        for path in (BULK, f"{BULK}/text"):
            refused = service.post(path, headers={"Authorization": "Bearer wrong"})
            limited = http.post(path)
            assert (refused.status_code, limited.status_code) == (401, 429)
            assert limited.headers["retry-after"].isdigit()
            for reply in (refused, limited):
                is_a(document, "generalErrorResponse", reply.json())
                kind = "bulkEvaluationFailure" if path == BULK else "evaluationFailure"
                is_a(document, kind, reply.json())


def test_304_says_nothing_but_the_etag(service: Any) -> None:
    etag = service.post(BULK).headers["etag"]
    reply = service.post(BULK, headers={"If-None-Match": etag})
    assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", etag)


def test_an_event_is_one_of_the_document(document: Any, world: Any) -> None:
    with world.service.client(world.client_key) as http:
        address = http.post(BULK).json()["eventStreams"][0]["url"]
    with httpx.stream("GET", address, timeout=60) as stream:
        lines = stream.iter_lines()
        event: dict[str, Any] = {}
        world.publish(text={**flag("string", {"v": "new"}), "key": "text"})
        for line in lines:
            name, _, value = line.partition(": ")
            if name:
                event[name] = int(value) if name == "retry" else value
            elif "data" in event:
                break
    is_a(document, "sseEvent", event)
    is_a(document, "sseEventData", json.loads(event["data"]))
    assert event["event"] == "message"
    assert json.loads(event["data"])["type"] == "refetchEvaluation"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_evaluation_answers_post_only(service: Any, method: str) -> None:
    for path in (BULK, f"{BULK}/text"):
        reply = service.request(method, path)
        assert (reply.status_code, reply.headers["allow"]) == (405, "POST, OPTIONS")
        assert reply.headers["access-control-allow-origin"] == "*"
    assert service.request("HEAD", event_streams.PATH).status_code == 405


@pytest.mark.parametrize(
    "spelling", ["team/a%20b/%C3%BC", "team%2Fa%20b%2F%C3%BC", "te%61m%2fa%20b/%c3%bc"]
)
def test_a_key_may_be_spelled_as_addresses_allow(service: Any, spelling: str) -> None:
    reply = service.post(f"{BULK}/{spelling}")
    assert (reply.status_code, reply.json()["key"]) == (200, "team/a b/ü")
    assert service.post(f"{BULK}/{spelling}%252F").json()["key"] == "team/a b/ü%2F"


def test_a_float_keeps_its_point_and_the_largest_integer_its_digits(service: Any) -> None:
    assert '"value":10.0' in service.post(f"{BULK}/float-integral").text
    assert '"value":0.0' in service.post(f"{BULK}/float-zero").text
    assert '"value":9007199254740991' in service.post(f"{BULK}/integer-largest").text
    assert '"value":0}' in service.post(f"{BULK}/integer-zero").text
