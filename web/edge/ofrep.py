"""OFREP 0.3.0: evaluate one flag or all of them for one context, over HTTP.

A flag's answer is the same bytes for every user who gets the same variant for the same reason; so
it is kept with the flag set, and a bulk answer is a join of such pieces. The ETag of a bulk answer
is a hash of these bytes: a released web client sends ``If-None-Match`` with a changed context.
Behind the hash stands the period of the event stream's address. Within its life an equal answer is
304; after it the caller needs a new address, which only a whole answer can carry.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from flagstone.engine import ErrorCode, EvaluationDetails
from web.edge.body import parse_object
from web.edge.event_streams import good_until
from web.edge.problems import JSON, NO_STORE, PROBLEM_JSON, Answer, BodyError, problem_document
from web.edge.state import MAX_CACHED_ANSWERS, Snapshot

_NOT_FOUND = ErrorCode.FLAG_NOT_FOUND.value
# A released client drops the value if it meets a reason that is not one of these.
_REASONS = frozenset(
    {"STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "CACHED", "DISABLED", "UNKNOWN", "STALE"}
)
_FAILURES = frozenset({"PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"})
_FLAT = (bool, str, int, float)
_TAG = re.compile(rb'(?:W/)?"([0-9a-f]{32})(?:-([0-9a-f]{1,12}))?"')


Seen = Callable[[dict[str, Any], bytes], None]
"""Is told of each context that is evaluated, and of the body that carried it."""


class Streams(NamedTuple):
    """The member ``eventStreams`` of a bulk answer, as JSON, and the period it is made for."""

    member: bytes
    period: int


def evaluate_one(
    snapshot: Snapshot,
    flag_key: str,
    body: bytes,
    *,
    client_only: bool,
    now: float,
    seen: Seen | None = None,
) -> Answer:
    """Answer ``POST /ofrep/v1/evaluate/flags/{key}``.

    ``client_only`` hides every flag that is not marked for clients.
    """
    try:
        context = parse_context(body)
    except BodyError as error:
        return failure(400, _code_of(error), error.detail, key=flag_key, field=error.field)
    if seen is not None:
        seen(context, body)
    if client_only and flag_key not in snapshot.client_flag_keys:
        return _not_found(flag_key)
    details = snapshot.compiled.evaluate(flag_key, context, now)
    code = details.error_code
    if code is None:
        return Answer(200, (JSON, NO_STORE), _piece(snapshot, details))
    if code == _NOT_FOUND:
        return _not_found(flag_key)
    return failure(400, _failure_code(code), _details_of(details), key=flag_key)


def evaluate_all(
    snapshot: Snapshot,
    body: bytes,
    *,
    client_only: bool,
    now: float,
    if_none_match: bytes | None = None,
    streams: Streams | None = None,
    seen: Seen | None = None,
) -> Answer:
    """Answer ``POST /ofrep/v1/evaluate/flags``; 304 if the caller has this very answer."""
    try:
        context = parse_context(body)
    except BodyError as error:
        return failure(400, _code_of(error), error.detail, field=error.field)
    if seen is not None:
        seen(context, body)
    evaluate = snapshot.compiled.evaluate
    keys = snapshot.client_flag_keys if client_only else snapshot.flag_keys
    pieces = b",".join([_piece(snapshot, evaluate(key, context, now)) for key in keys])
    # Of the answers alone: the revision, which stands beside them, moves with unrelated flags too.
    tag = hashlib.blake2b(pieces, digest_size=16).hexdigest().encode()
    if if_none_match is not None:
        held = _held(if_none_match, tag, now, streams)
        if held is not None:
            return Answer(304, ((b"etag", held), NO_STORE), b"")
    if streams is None:
        etag = b'W/"%b"' % tag
        content = b'{"flags":[%b],"metadata":%b}' % (pieces, snapshot.metadata)
    else:
        etag = b'W/"%b-%x"' % (tag, streams.period)
        content = b'{"flags":[%b],"eventStreams":%b,"metadata":%b}' % (
            pieces,
            streams.member,
            snapshot.metadata,
        )
    return Answer(200, (JSON, (b"etag", etag), NO_STORE), content)


def _held(if_none_match: bytes, tag: bytes, now: float, streams: Streams | None) -> bytes | None:
    """Give the ETag by which the caller shows that it needs nothing new, or None."""
    if if_none_match.strip() == b"*":
        return b'W/"%b"' % tag
    for digest, period in _TAG.findall(if_none_match):
        if digest == tag and (streams is None or (period and good_until(int(period, 16)) > now)):
            return b'W/"%b-%b"' % (digest, period) if period else b'W/"%b"' % digest
    return None


def parse_context(body: bytes) -> dict[str, Any]:
    """Read ``{"context": {...}}``; no body, ``{}`` and a null context are the empty context."""
    context = parse_object(body).get("context")
    if context is None:
        return {}
    if type(context) is not dict:
        raise BodyError("INVALID_CONTEXT", "The context must be a JSON object.", field="context")
    unit = context.get("targetingKey")
    # An integer is a unit for the engine, though OFREP's own clients send strings.
    if unit is not None and (isinstance(unit, bool) or not isinstance(unit, str | int | float)):
        raise BodyError(
            "INVALID_CONTEXT", "The targeting key must be a string.", field="context.targetingKey"
        )
    return context


def failure(
    status: int,
    error_code: str,
    details: str,
    *,
    key: str | None = None,
    field: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:
    """Answer with OFREP's members, and a problem document's beside them.

    OFREP defines the body of 400, 404 and 500 only, as ``application/json``; elsewhere the content
    type is a problem document's.
    """
    document = problem_document(status, error_code.lower(), details, field=field)
    if key is not None:
        document["key"] = key
    document["errorCode"] = error_code
    document["errorDetails"] = details
    kind = JSON if status in {400, 404, 500} else PROBLEM_JSON
    # The key comes from the address and may hold what UTF-8 cannot.
    return Answer(status, (kind, NO_STORE, *headers), _dumps(document))


def as_failure(answer: Answer, key: str | None) -> Answer:
    """Put OFREP's members into a problem that another part of the data plane answered with."""
    document = orjson.loads(answer.body)
    if key is not None:
        document["key"] = key
    document.setdefault("errorCode", "GENERAL")
    document.setdefault("errorDetails", document["detail"])
    return Answer(answer.status, answer.headers, _dumps(document))


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Compare weakly, as RFC 9110 asks: ``*``, lists and ``W/`` are understood."""
    if if_none_match == etag:
        return True
    for candidate in if_none_match.split(b","):
        candidate = candidate.strip()
        if candidate in (b"*", etag) or candidate.removeprefix(b"W/") == etag:
            return True
    return False


def _piece(snapshot: Snapshot, details: EvaluationDetails) -> bytes:
    if details.error_code is not None:
        return _error_piece(snapshot, details)
    # A compiled flag gives the same few objects again and again; an entry keeps its object alive,
    # so that no other one can have its id.
    known = snapshot.answers.get(id(details))
    if known is not None:
        return known[1]
    reason = str(details.reason.value)
    document: dict[str, Any] = {
        "key": details.flag_key,
        "reason": reason if reason in _REASONS else "UNKNOWN",
        "variant": details.variant if details.variant is not None else "",
        "metadata": _flag_metadata(snapshot, details),
    }
    # A null is no value for OFREP: the caller's default is served then, under the variant's name.
    if details.value is not None:
        document["value"] = details.value
    piece = _dumps(document)
    if len(snapshot.answers) < MAX_CACHED_ANSWERS:
        snapshot.answers[id(details)] = (details, piece)
    return piece


def _error_piece(snapshot: Snapshot, details: EvaluationDetails) -> bytes:
    assert details.error_code is not None
    return _dumps(
        {
            "key": details.flag_key,
            "errorCode": _failure_code(details.error_code),
            "errorDetails": _details_of(details),
            "metadata": {"flagSetId": snapshot.flag_set_id},
        }
    )


def _flag_metadata(snapshot: Snapshot, details: EvaluationDetails) -> dict[str, Any]:
    flag = snapshot.compiled.flag_set.flags[details.flag_key]
    flat = {
        key: value
        for source in (flag.metadata, details.metadata)
        for key, value in source.items()
        if isinstance(value, _FLAT)
    }
    return {**flat, "version": flag.version, "flagSetId": snapshot.flag_set_id}


def _not_found(flag_key: str) -> Answer:
    return failure(404, _NOT_FOUND, f"There is no flag {flag_key!r}.", key=flag_key)


def _failure_code(code: ErrorCode) -> str:
    return code.value if code.value in _FAILURES else "GENERAL"


def _details_of(details: EvaluationDetails) -> str:
    return details.error_message or f"The flag {details.flag_key!r} cannot be evaluated."


def _code_of(error: BodyError) -> str:
    return error.code if error.code in _FAILURES else "PARSE_ERROR"


def _dumps(document: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        # A lone surrogate, or an integer past 64 bits, in a value or a key.
        return _dumps_slowly(document)


def _dumps_slowly(document: dict[str, Any]) -> bytes:
    import json

    return json.dumps(document, separators=(",", ":")).encode("ascii")
