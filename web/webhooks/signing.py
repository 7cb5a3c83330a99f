"""Signatures as the Standard Webhooks specification writes them, so that its libraries verify them.

``webhook-id`` names the message, and is the same whenever it is sent again; ``webhook-timestamp``
is when this attempt was made, in POSIX seconds; ``webhook-signature`` is ``v1,`` and, in base64,
the HMAC-SHA256 of ``id.timestamp.body``, once for each secret that is good [1]_. A receiver should
refuse a timestamp that is minutes away, and do nothing twice for one id.

References
----------
.. [1] Standard Webhooks 1.0.0, https://github.com/standard-webhooks/standard-webhooks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX = "whsec_"
_BYTES = 32


def new_secret() -> str:
    """Make a secret in the form that the specification's libraries take."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Sign a message with one secret."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(good: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Give the three headers of a message; with several secrets each of them verifies it."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            signature(secret, message_id, timestamp, body) for secret in good
        ),
    }
