"""The chain of records as a person reads it: looks that decided nothing are told together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments.machine.lifecycle import Outcome


@dataclass(frozen=True)
class Entry:
    """One record, or a run of looks that decided nothing.

    Parameters
    ----------
    first, last : int
        Numbers of the records, the same one twice where it stands alone.
    begun, ended : datetime
        When the first and the last of them were written.
    hash : str
        Of the last one; it covers all before it.
    """

    first: int
    last: int
    kind: str
    begun: dt.datetime
    ended: dt.datetime
    actor: str
    sentence: str
    hash: str

    @property
    def numbers(self) -> str:
        """Write which records they are."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"

    @property
    def words(self) -> str:
        """Say what happened."""
        count = self.last - self.first + 1
        return self.sentence if count == 1 else f"{count} looks: nothing new was decided."


def timeline(records: Iterable[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """Tell the records in their order, and runs of looks without news as one entry."""
    entries: list[Entry] = []
    quiet_before = False
    for record in records:
        at = dt.datetime.fromisoformat(record["at"])
        number, quiet = record["number"], _is_quiet(record)
        if quiet and quiet_before:
            entries[-1] = replace(entries[-1], last=number, ended=at, hash=record["hash"])
        else:
            told = (record["kind"], at, at, record["actor"], record["sentence"], record["hash"])
            entries.append(Entry(number, number, *told))
        quiet_before = quiet
    return tuple(entries)


def _is_quiet(record: Mapping[str, Any]) -> bool:
    if record["kind"] != "look":
        return False
    body = record["body"]
    decision = body["decision"]
    undecided = decision["verdict"] == Outcome.CONTINUE and not decision["harmed"]
    return undecided and not body.get("alarm")
