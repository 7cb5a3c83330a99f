"""What is malformed in LaunchDarkly's own eyes: such flags come over as they are.

::

    Exception
    ├── CannotCarryError   the flag is refused
    └── MalformedError     LaunchDarkly's own SDK answers with an error
"""

from __future__ import annotations


class MalformedError(Exception):
    """A part that makes LaunchDarkly's SDK answer with an error.

    ``spreads`` says that whoever asks the flag for its variant gets the error too.
    """

    def __init__(self, reason: str, *, spreads: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.spreads = spreads
