"""Names that are new: a second variant, rule or segment of one name gets a number behind it."""

from __future__ import annotations

from collections.abc import Callable


def numbered(name: str, is_taken: Callable[[str], object], mark: str = " ({})") -> str:
    """Return the name, with the first number from 2 on behind it that makes it free."""
    found, number = name, 1
    while is_taken(found):
        number += 1
        found = name + mark.format(number)
    return found
