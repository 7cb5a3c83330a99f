"""What one web process knows: flag sets and keys, immutable, replaced as a whole.

A handler takes ``State`` once and works on that; a change makes a new one, and one assignment
puts it in place. There is no lock and no database on the way of a request.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from flagstone.engine import CompiledFlagSet, EvaluationDetails, compile_flag_set, parse_flag_set
from web.edge.visible import Visible, everything, for_clients

GZIP_LEVEL = 6
# One for each variant of each rule, so far fewer in practice.
MAX_CACHED_ANSWERS = 20_000


@dataclass(frozen=True, slots=True)
class Key:
    """What a server or client key may do, and until when (POSIX seconds)."""

    kind: str
    environment_id: int
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One environment's flag set at one revision, ready to be served and evaluated."""

    environment_id: int
    flag_set_id: str
    version: int
    etag: str
    body: bytes
    gzipped: bytes
    compiled: CompiledFlagSet
    flag_keys: tuple[str, ...]
    client_flag_keys: tuple[str, ...]
    metadata: bytes
    visible: Visible
    client_visible: Visible
    modified_at: float | None = None
    # Filled by web.edge.ofrep: the answers that this flag set can give, as bytes, by identity.
    answers: dict[int, tuple[EvaluationDetails, bytes]] = field(
        default_factory=dict, repr=False, compare=False
    )

    # Filled by web.edge.stream: what its streams are told of this flag set, made once for all.
    announced: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def visible_to(self, key: Key) -> Visible:
        """Give what a key can notice of this flag set."""
        return self.visible if key.kind == "srv" else self.client_visible


@dataclass(frozen=True, slots=True)
class State:
    """Everything that requests are answered from.

    ``failures`` names the environments whose newest document cannot be used, with the reason;
    such an environment keeps its last good snapshot. ``sampled`` are the environments that keep a
    sample of contexts.
    """

    snapshots: Mapping[int, Snapshot] = field(default_factory=lambda: MappingProxyType({}))
    keys: Mapping[str, Key] = field(default_factory=lambda: MappingProxyType({}))
    failures: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    sampled: frozenset[int] = frozenset()
    loaded: bool = False


def make_snapshot(
    *,
    environment_id: int,
    flag_set_id: str,
    version: int,
    etag: str,
    body: bytes,
    modified_at: float | None = None,
) -> Snapshot:
    """Parse and compile a published document; raise ``ValueError`` if it is unusable as a whole.

    Lenient, as the SDKs are: one broken flag answers ``PARSE_ERROR``, the others are served.
    """
    document = orjson.loads(body)
    flag_set = parse_flag_set(document, strict=False)
    compiled = compile_flag_set(flag_set)
    keys = tuple(sorted(compiled.flag_keys))
    for key in keys:
        # A flag compiles at its first use: here, and not while somebody waits for an answer.
        compiled.evaluate(key, {}, 0.0)
    client_keys = tuple(key for key in keys if flag_set.flags[key].client)
    return Snapshot(
        environment_id=environment_id,
        flag_set_id=flag_set_id,
        version=version,
        etag=etag,
        body=body,
        gzipped=_gzip(body),
        compiled=compiled,
        flag_keys=keys,
        client_flag_keys=client_keys,
        metadata=orjson.dumps({"version": version, "flagSetId": flag_set_id}),
        visible=everything(flag_set, etag),
        client_visible=for_clients(flag_set, document, client_keys),
        modified_at=modified_at,
    )


def empty_document(environment: str) -> bytes:
    """Give the flag set of an environment that has no revision yet."""
    return orjson.dumps(
        {"schema": 1, "environment": environment, "version": 0, "flags": {}, "segments": {}},
        option=orjson.OPT_SORT_KEYS,
    )


def hash_secret(secret: str) -> str:
    """Hash a whole key as it is stored: a key is 256 random bits, so one SHA-256 is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _gzip(body: bytes) -> bytes:
    compress = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return compress.compress(body) + compress.flush()
