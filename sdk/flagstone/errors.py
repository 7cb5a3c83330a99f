"""What can go wrong inside the SDK client, one tree.

::

    FlagstoneClientError
    ├── ConfigurationError       raised by the constructor, and only there: the caller can mend it
    ├── TransportError           the service could not be reached, or its answer made no sense
    │   └── StoppedError         the client is being closed; nobody sees this one
    ├── SnapshotError            the file on disk is not a snapshot, or not of this environment
    └── OverrideError            a test wants a flag to serve what it cannot (flagstone.testing)

All but the first and the last stay inside: getters and ``track`` never raise.
"""

from __future__ import annotations


class FlagstoneClientError(Exception):
    """Base of every error that the SDK's client raises."""


class ConfigurationError(FlagstoneClientError, ValueError):
    """The client cannot be built from these arguments."""


class OverrideError(FlagstoneClientError, ValueError):
    """A test wants a flag to serve what it cannot."""


class TransportError(FlagstoneClientError):
    """The service could not be reached, or its answer made no sense."""


class StoppedError(TransportError):
    """The client is being closed while a request was under way."""


class SnapshotError(FlagstoneClientError):
    """The file on disk is not a snapshot, or not one of this environment."""
