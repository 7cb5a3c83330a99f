"""Which files to merge: a file is rewritten a few times in its life, however often drains come.

Within a day, eight files of about one size become one of the next size; so a row is rewritten once
per size. Once a day whatever is left of the days that are over becomes one file each.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from experiments.store.parquet import EventFile

FAN_IN = 8
# A merge holds its rows in memory, about 100 bytes each; a day beyond this keeps several files.
MAX_ROWS = 4_000_000
_SMALLEST_SIZE_ROWS = 1_000
# A few late events are no reason to rewrite a day of millions.
_WORTH_REWRITING = 0.1


def groups_to_merge(
    files: Sequence[EventFile], *, whole_before_day: float = -math.inf
) -> Iterator[list[EventFile]]:
    """Choose groups of files of one kind and one day; each group is to become one file.

    Parameters
    ----------
    files : sequence of EventFile
        The manifest's files of one kind.
    whole_before_day : float
        Days before this one (days since 1970-01-01) are merged as far as memory allows, whatever
        the sizes; the others by the steady rule.
    """
    by_day: defaultdict[int, list[EventFile]] = defaultdict(list)
    for file in files:
        by_day[file.day].append(file)
    for day, members in by_day.items():
        if day < whole_before_day:
            always = whole_before_day == math.inf
            yield from (
                group
                for group in _packed(members)
                if len(group) > 1 and (always or _is_worth_it(group))
            )
            continue
        sizes: defaultdict[int, list[EventFile]] = defaultdict(list)
        for file in members:
            sizes[_size(file.rows)].append(file)
        for size in sizes.values():
            yield from (group for group in _packed(size) if len(group) >= FAN_IN)


def _is_worth_it(group: Sequence[EventFile]) -> bool:
    largest = max(file.rows for file in group)
    rest = sum(file.rows for file in group) - largest
    return len(group) >= FAN_IN or rest >= _WORTH_REWRITING * largest


def _size(rows: int) -> int:
    size = 0
    while rows >= _SMALLEST_SIZE_ROWS * FAN_IN**size:
        size += 1
    return size


def _packed(files: Sequence[EventFile]) -> Iterator[list[EventFile]]:
    """Cut files, smallest first, into groups that fit into memory."""
    group: list[EventFile] = []
    rows = 0
    for file in sorted(files, key=lambda file: (file.rows, file.path)):
        if group and rows + file.rows > MAX_ROWS:
            yield group
            group, rows = [], 0
        group.append(file)
        rows += file.rows
    if group:
        yield group
