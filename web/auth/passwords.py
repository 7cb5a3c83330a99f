"""Passwords: which are refused, and how the others are kept (Argon2id)."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from flags.errors import InvalidInputError

MINIMUM_LENGTH = 10
MAXIMUM_LENGTH = 1024

# 19 MiB, two passes: the first recommendation of OWASP's cheat sheet. Eight threads of a web
# process at the library's default of 64 MiB each would be half a gigabyte for anybody who asks.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_ONE_AT_A_TIME = threading.BoundedSemaphore(2)

_COMMON = frozenset(
    {
        "1234567890",
        "0123456789",
        "12345678910",
        "123456789a",
        "1q2w3e4r5t",
        "1qaz2wsx3edc",
        "administrator",
        "changeme123",
        "flagstone1",
        "flagstone123",
        "iloveyou123",
        "letmein123",
        "passw0rd123",
        "password12",
        "password123",
        "password1234",
        "password12345",
        "qwerty12345",
        "qwerty123456",
        "qwertyuiop",
        "welcome123",
        "welcome1234",
    }
)


def check_password(password: str, *, email: str, field: str = "password") -> None:
    """Refuse a password that is too short or too easy to guess, in clear words.

    Raises
    ------
    InvalidInputError
        Naming what is wrong with it.
    """
    hint = f"use {MINIMUM_LENGTH} characters or more; a few unrelated words are good"
    if len(password) < MINIMUM_LENGTH:
        message = f"the password has {len(password)} characters; it needs {MINIMUM_LENGTH}"
        raise InvalidInputError(message, field=field, hint=hint)
    if len(password) > MAXIMUM_LENGTH:
        message = f"the password has more than {MAXIMUM_LENGTH} characters"
        raise InvalidInputError(message, field=field)
    lowered = password.lower()
    if len(set(lowered)) < 4 or lowered in _COMMON:
        raise InvalidInputError("the password is too easy to guess", field=field, hint=hint)
    if lowered in {email, email.partition("@")[0]}:
        message = "the password must not be the e-mail address"
        raise InvalidInputError(message, field=field, hint=hint)


def hash_password(password: str) -> str:
    """Return the Argon2id hash, with its parameters and salt inside."""
    with _ONE_AT_A_TIME:
        return _HASHER.hash(password)


def verify_password(stored: str, password: str) -> bool:
    """Whether the password is the one that was hashed; the time does not depend on the answer."""
    try:
        with _ONE_AT_A_TIME:
            return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


# Verified in place of an unknown account's hash, so that it takes as long to refuse.
NOBODYS_HASH = hash_password("nobody has this password")
