"""The one error of the engine: a document that is no flag set.

::

    ValueError
    └── FlagSetError     raised by the parsing door only; evaluation raises nothing
"""

from __future__ import annotations

import re

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_:/@$-]+\Z")


class FlagSetError(ValueError):
    """A document breaks the model of flags.

    Parameters
    ----------
    path : str
        Where in the document, such as ``flags.checkout.rules[0].when.op``.
    message : str
        One sentence that says what is wrong.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, path: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[type[FlagSetError], tuple[str, str, str | None]]:
        return type(self), (self.path, self.message, self.hint)

    def within(self, *parents: str | int) -> FlagSetError:
        """Put ``parents`` (outermost first) before the path, and return the same error.

        The path is built while the error travels upwards, so that a sound document pays nothing.
        """
        for parent in reversed(parents):
            separator = "" if not self.path or self.path.startswith("[") else "."
            self.path = f"{step(parent)}{separator}{self.path}"
        return self


def step(name: str | int) -> str:
    """Write one step of a path: an index, a plain name, or a quoted name."""
    if isinstance(name, int):
        return f"[{name}]"
    return name if _PLAIN_NAME.match(name) else f"[{name!r}]"
