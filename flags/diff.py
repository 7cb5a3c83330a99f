"""Which fields differ between two documents, and how, by path."""

from __future__ import annotations

from typing import Any

from flags.canonical import same

# Lists of objects with a name of their own are compared by it, so that a rule that moved is a rule
# that moved and not a list of differences.
_NAMED_BY = {"rules": "id"}
_ABSENT = object()


def differences(before: Any, after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the fields that differ: their values before, and their values after.

    A field that did not exist before is missing from the first, one that is gone from the second.
    """
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    _compare(before, after, "", old, new)
    return old, new


def _compare(before: Any, after: Any, path: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            here = f"{path}.{name}" if path else name
            left, right = before.get(name, _ABSENT), after.get(name, _ABSENT)
            if name in _NAMED_BY and isinstance(left, list) and isinstance(right, list):
                _compare_named(left, right, here, _NAMED_BY[name], old, new)
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
    kept_before = [name for name in left if name in right]
    kept_after = [name for name in right if name in left]
    if kept_before != kept_after:
        old[f"{path}.order"] = kept_before
        new[f"{path}.order"] = kept_after
    for name in [*left, *(name for name in right if name not in left)]:
        _compare(left.get(name, _ABSENT), right.get(name, _ABSENT), f"{path}[{name}]", old, new)
