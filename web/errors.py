"""The errors of the outermost layer: who is asking, how often, and in which form.

::

    FlagstoneError                (flags.errors)
    ├── UnauthenticatedError      nobody is known to be asking
    ├── TooManyAttemptsError      come back later
    │   └── TooManyRequestsError  the caller has no requests left for now
    ├── InvalidInputError
    │   ├── MalformedBodyError    the body is not the JSON that it says it is
    │   └── BodyNotJsonError      the body is of another type
    ├── NotAllowedError
    │   ├── ForgeryError          the request did not come from our own pages
    │   └── SignInRefusedError    who signs in elsewhere is not let in here
    ├── SignInUnavailableError    the other side cannot be reached
    └── IdempotencyError          the Idempotency-Key was used for another request
"""

from __future__ import annotations

from flags.errors import FlagstoneError, InvalidInputError, NotAllowedError


class UnauthenticatedError(FlagstoneError):
    """Nobody is known to be asking: no key, a wrong one, or one that is over."""

    code = "unauthenticated"


class TooManyAttemptsError(FlagstoneError):
    """Too many attempts; ``retry_after_seconds`` says when the next one is listened to."""

    code = "too_many_attempts"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message, hint=f"try again in {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds


class TooManyRequestsError(TooManyAttemptsError):
    """The caller has used up the requests that it may make in a while."""

    code = "too_many_requests"


class MalformedBodyError(InvalidInputError):
    """The body is not the JSON that it says it is."""

    code = "malformed_body"


class BodyNotJsonError(InvalidInputError):
    """The body is of a type that this route does not read."""

    code = "unsupported_media_type"


class ForgeryError(NotAllowedError):
    """A browser sent the request, but not from one of our own pages."""

    code = "cross_site_request"


class SignInRefusedError(NotAllowedError):
    """What an issuer says of somebody is not believed, or does not let them in here."""

    code = "sign_in_refused"


class SignInUnavailableError(FlagstoneError):
    """The issuer cannot be reached, or is not the one that it should be."""

    code = "sign_in_unavailable"

    def __init__(self, label: str) -> None:
        super().__init__(f"{label} cannot be reached, or is not set up", hint="try again later")


class IdempotencyError(FlagstoneError):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"
