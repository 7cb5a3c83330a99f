"""Which fields differ between two documents, and how, by path.

A path names one field and no other: a name that holds a dot, a bracket or a quotation mark stands
in it as JSON writes it, ``metadata."a.b"``.
"""

from __future__ import annotations

import json
import re
from typing import Any

from flags.canonical import same

# Lists of objects with a name of their own are compared by it, so that a rule that moved is a rule
# that moved and not a list of differences.
_NAMED_BY = {"rules": "id"}
_ABSENT = object()
_PLAIN = re.compile(r'[^.\[\]"]+')


def differences(before: Any, after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the fields that differ: their values before, and their values after.

    A field that did not exist before is missing from the first, one that is gone from the second.
    """
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    _compare(before, after, "", old, new)
    return old, new


def member_path(path: str, name: str) -> str:
    """Give the path of an object's field."""
    return f"{path}.{_written(name)}" if path else _written(name)


def item_path(path: str, name: str) -> str:
    """Give the path of an item of a list that is compared by names."""
    return f"{path}[{_written(name)}]"


def member_name(path: str, inner: str) -> str | None:
    """Give the name of the field of the object at ``path`` that ``inner`` names, if it does."""
    if not path or not inner.startswith(f"{path}."):
        return None
    text = inner[len(path) + 1 :]
    if _PLAIN.fullmatch(text):
        return text
    try:
        name = json.loads(text)
    except ValueError:
        return None
    return name if isinstance(name, str) and member_path(path, name) == inner else None


def _written(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def named_by(field: str, value: Any) -> str | None:
    """Say which field tells the items of a list apart, if they are compared by it."""
    by = _NAMED_BY.get(field)
    if by is None or not isinstance(value, list):
        return None
    # A value that people wrote may have a list of this name, with anything in it.
    names = [item.get(by) if isinstance(item, dict) else None for item in value]
    told_apart = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    return by if told_apart else None


def _compare(before: Any, after: Any, path: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            here = member_path(path, name)
            left, right = before.get(name, _ABSENT), after.get(name, _ABSENT)
            by = named_by(name, left)
            if by is not None and by == named_by(name, right):
                _compare_named(left, right, here, by, old, new)
            else:
                _compare(left, right, here, old, new)
        return
    if before is not _ABSENT and after is not _ABSENT and same(before, after):
        return
    if before is not _ABSENT:
        old[path] = before
    if after is not _ABSENT:
        new[path] = after


def _compare_named(
    before: list[Any],
    after: list[Any],
    path: str,
    by: str,
    old: dict[str, Any],
    new: dict[str, Any],
) -> None:
    left = {item[by]: item for item in before}
    right = {item[by]: item for item in after}
    if list(left) != list(right):
        # Whole, or nobody could say later where one stood that was taken out.
        old[f"{path}.order"] = list(left)
        new[f"{path}.order"] = list(right)
    for name in [*left, *(name for name in right if name not in left)]:
        _compare(left.get(name, _ABSENT), right.get(name, _ABSENT), item_path(path, name), old, new)
