"""The door for events refuses what it cannot understand, and names the place."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.store.base import MAX_AGE_SECONDS, Event, EventError
from experiments.store.wire import MAX_BODY_BYTES, MAX_EVENTS, parse_batch

NOW = 1_760_000_000.0
ID = "0199c82c-1234-7abc-8def-0123456789ab"
EXPOSURE = {
    "id": ID,
    "type": "exposure",
    "time": NOW,
    "unit": "u1",
    "flag": "checkout",
    "variant": "new",
    "rule": "exp-42",
    "revision": 17,
}
TRACK = {"id": ID, "type": "track", "time": NOW, "unit": "u1", "name": "purchase", "value": 12.5}
GOOD = {"id": str(uuid.UUID(int=7)), "type": "track", "time": NOW, "unit": "u", "name": "n"}


def parse(body: bytes | str | dict[str, Any]) -> list[Event]:
    if isinstance(body, dict):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    return parse_batch(body, environment_id=5, received=NOW)


def refusal(body: bytes | str | dict[str, Any]) -> EventError:
    with pytest.raises(EventError) as caught:
        parse(body)
    return caught.value


def test_both_kinds_of_events_are_read() -> None:
    exposure, track = parse({"events": [EXPOSURE, TRACK]})
    key = uuid.UUID(ID).bytes
    assert exposure == Event(key, 5, NOW, "u1", "checkout", "new", "exp-42", 17)
    assert track == Event(key, 5, NOW, "u1", name="purchase", value=12.5)


def test_what_may_be_left_out_may_be_left_out() -> None:
    short = {k: v for k, v in EXPOSURE.items() if k not in {"rule", "revision"}}
    exposure, track = parse({"events": [short, GOOD]})
    assert (exposure.rule, exposure.revision, track.value) == (None, None, None)
    assert parse({"events": []}) == []


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1_760_000_000, 1_760_000_000.0),
        (1_759_999_999.1234567, 1_759_999_999.123457),
        ("2025-10-09T08:53:20Z", NOW),
        ("2025-10-09T08:53:20.25Z", NOW + 0.25),
        ("2025-10-09T10:53:20+02:00", NOW),
        ("2025-10-09 08:53:20Z", NOW),
    ],
)
def test_times_are_posix_seconds_or_rfc_3339(time: object, expected: float) -> None:
    assert parse({"events": [TRACK | {"time": time}]})[0].time == expected


@pytest.mark.parametrize("version", [1, 4, 5, 7])
def test_a_uuid_of_any_version_is_an_id(version: int) -> None:
    value = uuid.UUID(int=uuid.UUID(ID).int, version=version if version < 7 else None)
    assert parse({"events": [TRACK | {"id": str(value)}]})[0].id == value.bytes
    assert parse({"events": [TRACK | {"id": str(value).upper()}]})[0].id == value.bytes


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "42"}, "id"),
        ({"id": 42}, "id"),
        ({"id": ID[:-1]}, "id"),
        ({"id": None}, "id"),
        ({"time": True}, "time"),
        ({"time": "1760000000"}, "time"),
        ({"time": "2025-10-09"}, "time"),
        ({"time": "2025-10-09T08:53:20"}, "time"),
        ({"time": None}, "time"),
        ({"time": NOW + 3_601}, "time"),
        ({"time": "2025-10-09T10:53:20Z"}, "time"),
        ({"time": NOW * 1000}, "time"),
        ({"time": NOW - MAX_AGE_SECONDS - 1}, "time"),
        ({"time": 0}, "time"),
        ({"time": -(10**30)}, "time"),
        ({"unit": ""}, "unit"),
        ({"unit": "u" * 513}, "unit"),
        ({"unit": 7}, "unit"),
        ({"name": ""}, "name"),
        ({"name": "n" * 257}, "name"),
        ({"value": "12"}, "value"),
        ({"value": True}, "value"),
        ({"value": 1.1e15}, "value"),
        ({"value": -1e300}, "value"),
        ({"type": "click"}, "type"),
        ({"type": 3}, "type"),
        ({"flag": "checkout"}, "flag"),
        ({"userId": "u1"}, "userId"),
    ],
)
def test_a_bad_field_is_named_with_its_place_in_the_batch(
    change: dict[str, object], field: str
) -> None:
    error = refusal({"events": [GOOD, GOOD, GOOD, TRACK | change]})
    assert error.field == f"events[3].{field}"
    assert error.code == "invalid_event"


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ({"plan": "pro", "country": "DE"}, '{"country":"DE","plan":"pro"}'),
        ({"a": 3, "b": 3.0, "c": 2.5, "d": -0.0}, '{"a":"3","b":"3","c":"2.5","d":"0"}'),
        ({"a": True, "b": False}, '{"a":"true","b":"false"}'),
        ({"Ω": "ü" * 64}, '{"Ω":"' + "ü" * 64 + '"}'),
        ({"a": "x\0y"}, '{"a":"x\N{REPLACEMENT CHARACTER}y"}'),
        ({"a": ""}, None),
        ({}, None),
        (None, None),
    ],
)
def test_attributes_are_kept_as_texts_in_the_order_of_their_names(
    attributes: object, kept: str | None
) -> None:
    (event,) = parse({"events": [EXPOSURE | {"attributes": attributes}]})
    assert event.attributes == kept


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"country": "D" * 65}, "attributes.country"),
        ({"ok": 1, "plan": None}, "attributes.plan"),
        ({"plan": ["pro"]}, "attributes.plan"),
        ({"plan": {"tier": 1}}, "attributes.plan"),
        ({"spent": 1.1e15}, "attributes.spent"),
        ({"spent": 10**400}, "attributes.spent"),
        ({"": "x"}, "attributes"),
        ({"n" * 65: "x"}, "attributes"),
        ({"a\0b": "x"}, "attributes"),
        ({str(n): n for n in range(9)}, "attributes"),
        ("country=DE", "attributes"),
        ([["country", "DE"]], "attributes"),
    ],
)
def test_a_bad_attribute_is_named_with_its_place(attributes: object, field: str) -> None:
    error = refusal({"events": [EXPOSURE, EXPOSURE | {"attributes": attributes}]})
    assert error.field == f"events[1].{field}"


def test_what_a_unit_did_has_no_attributes() -> None:
    error = refusal({"events": [TRACK | {"attributes": {"country": "DE"}}]})
    assert error.field == "events[0].attributes"


@pytest.mark.parametrize("field", ["id", "type", "time", "unit", "flag", "variant"])
def test_a_missing_field_is_named(field: str) -> None:
    event = {key: value for key, value in EXPOSURE.items() if key != field}
    assert refusal({"events": [event]}).field == f"events[0].{field}"


@pytest.mark.parametrize("revision", [-1, 2**60, "17", 1.5])
def test_a_revision_is_a_natural_number(revision: object) -> None:
    assert refusal({"events": [EXPOSURE | {"revision": revision}]}).field == "events[0].revision"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("field", ["value", "time"])
def test_nan_and_infinity_are_refused(field: str, number: str) -> None:
    text = json.dumps({"events": [TRACK | {field: "@"}]}).replace('"@"', number)
    refusal(text)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"events": {}}',
        b'{"events": [], "more": 1}',
        b'{"events": []} x',
        b'\xef\xbb\xbf{"events": []}',
        b"\xff\xfe",
        json.dumps({"events": [TRACK]}).encode().replace(b"u1", b"\xff"),
        json.dumps({"events": [TRACK | {"unit": "\ud800"}]}).encode(),
        b'{"events": ' + b"[" * 300_000,
        b'{"events": [{"x": ' + b'{"a":' * 100_000,
        b'{"events": [{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "type": "track"}]}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_a_batch_is_refused_whole(body: bytes) -> None:
    refusal(body)


def test_a_batch_has_at_most_a_thousand_events_and_a_mebibyte() -> None:
    assert len(parse({"events": [GOOD] * MAX_EVENTS})) == MAX_EVENTS
    assert refusal({"events": [GOOD] * (MAX_EVENTS + 1)}).field == "events"
    padding = b" " * MAX_BODY_BYTES
    assert "bytes" in refusal(b'{"events": []}' + padding).message


def test_times_in_milliseconds_get_a_hint_that_says_so() -> None:
    assert "milliseconds" in str(refusal({"events": [TRACK | {"time": NOW * 1000}]}).hint)


def test_of_a_key_given_twice_the_last_one_counts() -> None:
    text = json.dumps({"events": [TRACK]}).replace('"unit": "u1"', '"unit": "u1", "unit": "u2"')
    assert parse(text)[0].unit == "u2"


def test_any_text_is_a_unit_and_limits_count_characters_not_bytes() -> None:
    for unit in ("\0", "𝔘" * 512, "it's", '"', "ü" * 512):
        assert parse({"events": [TRACK | {"unit": unit}]})[0].unit == unit


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_no_body_raises_anything_but_an_event_error(body: bytes) -> None:
    with contextlib.suppress(EventError):
        parse(body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.sampled_from([EXPOSURE, TRACK]), st.dictionaries(st.sampled_from([*EXPOSURE]), _json))
def test_no_event_raises_anything_but_an_event_error(
    event: dict[str, object], change: dict[str, object]
) -> None:
    with contextlib.suppress(EventError):
        assert len(parse({"events": [event | change]})) == 1


def test_the_data_plane_gets_no_heavy_import() -> None:
    """Reading, appending and counting recent events need neither NumPy nor DuckDB nor Arrow."""
    code = (
        "import sys, experiments.store.wire, experiments.store.inbox, experiments.store.opening\n"
        "import experiments.store.postgresql_inbox\n"
        "heavy = {'numpy', 'scipy', 'duckdb', 'pyarrow', 'sqlalchemy', 'ibis', 'pandas'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
