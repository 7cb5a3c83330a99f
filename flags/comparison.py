"""Environments compared: what differs, and what a promotion would make of the target."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from flags.conditions import segments_of
from flags.diff import differences
from flags.errors import InvalidInputError, NotFoundError
from flags.promotion import Carrying, promoted_state, staying_words
from flags.publish import load_flags, load_segments
from flags.sentence import describe, state_word
from flags.services import get_environment
from flags.sources import source_of
from flags.words import describe_condition
from flags.workspace import FlagCopy, SegmentCopy, Source, empty_state

_STATE = tuple(empty_state(off=None, default=None))


@dataclass(frozen=True)
class FieldDifference:
    """A field that differs: its value in the source, in the target, and there once promoted.

    A value that is not there is None, as in JSON; ``carried`` says whether promotion changes it.
    """

    field: str
    source: Any
    target: Any
    after: Any
    carried: bool


@dataclass(frozen=True)
class Difference:
    """A flag or a segment that differs between two environments.

    ``sentence_after`` is what the target would say; ``stays`` says what is left as it is, and why.
    ``only`` is where it is, if it is in one of them alone.
    """

    kind: str
    key: str
    state_source: str
    state_target: str
    state_after: str
    sentence_source: str
    sentence_target: str
    sentence_after: str
    fields: list[FieldDifference]
    stays: list[str]
    only: str | None

    @property
    def promotable(self) -> bool:
        """Whether a promotion would change anything."""
        return any(each.carried for each in self.fields)


@dataclass(frozen=True)
class Comparison:
    """Two environments: ``differences`` are flags by key, then segments by key."""

    source: str
    source_revision: int
    target: str
    target_revision: int
    differences: list[Difference]
    same_flags: int
    same_segments: int


def compare_environments(
    session: Session,
    project_key: str,
    source_key: str,
    target_key: str,
    *,
    flag_key: str | None = None,
    targets: bool = False,
    segments: bool = True,
) -> Comparison:
    """Say what differs, and what a promotion from the source would make of the target.

    Parameters
    ----------
    flag_key : str, optional
        Only this flag, and the segments that it rests upon in either place.
    targets : bool
        As if units by name were carried.
    segments : bool
        As if segments that differ were carried.
    """
    if source_key == target_key:
        raise InvalidInputError(
            f"{source_key!r} does not differ from itself", field="to", hint="name another one"
        )
    source = source_of(session, get_environment(session, project_key, source_key))
    target = get_environment(session, project_key, target_key)
    flags = load_flags(session, target)
    here = load_segments(session, target)
    carrying = Carrying(targets, segments)
    of_segments = [
        found
        for key in sorted({*source.segments, *here})
        if (found := _segment(key, source, here.get(key), target_key, carrying)) is not None
    ]
    differing = [each.key for each in of_segments if each.only is None]
    live = [key for key, flag in flags.items() if not flag.archived and key in source.flags]
    if flag_key is not None:
        if flag_key not in live:
            raise NotFoundError(f"there is no flag {flag_key!r} in both", field="flag")
        live = [flag_key]
        rests_on = _rests_on(source, flags[flag_key], here)
        of_segments = [each for each in of_segments if each.key in rests_on]
    of_flags = [
        found
        for key in sorted(live)
        if (found := _flag(source, flags[key], differing, target_key, carrying)) is not None
    ]
    known = {*source.segments, *here}
    return Comparison(
        source=source_key,
        source_revision=source.revision,
        target=target_key,
        target_revision=target.revision,
        differences=[*of_flags, *of_segments],
        same_flags=len(live) - len(of_flags),
        same_segments=0 if flag_key is not None else len(known) - len(of_segments),
    )


def _rests_on(source: Source, flag: FlagCopy, here: dict[str, SegmentCopy]) -> set[str]:
    found: set[str] = set()
    waiting = [
        key
        for rules in (source.flags[flag.key]["rules"], flag.state["rules"])
        for rule in rules
        for key in segments_of(rule["when"])
    ]
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        found.add(key)
        if key in source.segments:
            waiting += segments_of(source.segments[key])
        if key in here:
            waiting += segments_of(here[key].condition)
    return found


def _flag(
    source: Source, flag: FlagCopy, differing: list[str], target_key: str, carrying: Carrying
) -> Difference | None:
    there = source.flags[flag.key]
    state = {name: there[name] for name in _STATE}
    after = copy.copy(flag)
    after.state = promoted_state(there, flag, carrying)
    fields = _fields(state, flag.state, after.state)
    if not fields:
        return None
    return Difference(
        kind="flag",
        key=flag.key,
        state_source=state_word(there),
        state_target=state_word(flag.document()),
        state_after=state_word(after.document()),
        sentence_source=describe(there, environment=source.environment_key),
        sentence_target=describe(flag.document(), environment=target_key),
        sentence_after=describe(after.document(), environment=target_key),
        fields=fields,
        stays=staying_words(source, flag, differing, carrying=carrying, target_key=target_key),
        only=None,
    )


def _segment(
    key: str, source: Source, here: SegmentCopy | None, target_key: str, carrying: Carrying
) -> Difference | None:
    there = source.segments.get(key)
    in_source = key in source.segments
    theirs = {"condition": there} if in_source else {}
    ours = {} if here is None else {"condition": here.condition}
    after = theirs if in_source and (here is None or carrying.segments) else ours
    fields = _fields(theirs, ours, after)
    if not fields:
        return None
    only = None
    if not in_source or here is None:
        only = target_key if here is not None else source.environment_key
    stays = [] if in_source else [f"Only in {target_key}: a promotion removes no segment."]
    if only is None and not carrying.segments:
        stays = ["Other flags may rest upon it: it stays unless asked for."]
    return Difference(
        kind="segment",
        key=key,
        state_source="there" if in_source else "missing",
        state_target="missing" if here is None else "there",
        state_after="there" if after else "missing",
        sentence_source=_words(key, theirs),
        sentence_target=_words(key, ours),
        sentence_after=_words(key, after),
        fields=fields,
        stays=stays,
        only=only,
    )


def _words(key: str, segment: dict[str, Any]) -> str:
    if not segment:
        return f"There is no segment {key}."
    condition = segment["condition"]
    who = "everybody" if condition is True else f"users {describe_condition(condition)}"
    return f"{key} are {who}."


def _fields(source: Any, target: Any, after: Any) -> list[FieldDifference]:
    there, here = differences(source, target)
    would_be, is_now = differences(after, target)
    found = []
    for path in dict.fromkeys([*there, *here, *would_be, *is_now]):
        carried = path in would_be or path in is_now
        now = here.get(path, is_now.get(path))
        found.append(
            FieldDifference(
                field=path,
                source=there.get(path, would_be.get(path)),
                target=now,
                after=would_be.get(path) if carried else now,
                carried=carried,
            )
        )
    return found
