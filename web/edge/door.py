"""Who is asking: from the secret in a request's headers to a key and its environment's flag set."""

from __future__ import annotations

from web.edge.problems import Answer, problem
from web.edge.process import Process
from web.edge.requests import RequestHeaders, secret_of
from web.edge.state import Key, Snapshot, hash_secret

_CHALLENGE = ((b"www-authenticate", b'Bearer realm="flagstone"'),)


def authenticate(
    process: Process, headers: RequestHeaders, *, server_only: bool = False
) -> tuple[Key, Snapshot] | Answer:
    """Return the caller's key with what its environment serves, or the refusal."""
    state = process.state
    secret = secret_of(headers)
    if secret is None:
        return problem(
            401,
            "key_missing",
            "The request carries no key.",
            hint="send Authorization: Bearer fs_srv_… or X-API-Key",
            headers=_CHALLENGE,
        )
    key_hash = hash_secret(secret)
    key = state.keys.get(key_hash)
    if key is None or (key.expires_at is not None and process.clock() >= key.expires_at):
        if not state.loaded:
            return not_loaded()
        return problem(
            401, "key_invalid", "The key is unknown, revoked or expired.", headers=_CHALLENGE
        )
    # What is not for SDKs alone is OFREP.
    process.key_uses.note(key_hash, over_ofrep=not server_only)
    if server_only and key.kind != "srv":
        return problem(
            403,
            "key_not_allowed",
            "A client key may only evaluate flags over OFREP.",
            hint="use a server key (fs_srv_…)",
        )
    snapshot = state.snapshots.get(key.environment_id)
    if snapshot is None:
        return not_loaded()
    return key, snapshot


def not_loaded() -> Answer:
    """Refuse while nothing is known yet."""
    return problem(
        503,
        "not_ready",
        "The flag set is not loaded yet.",
        headers=((b"retry-after", b"1"),),
    )
