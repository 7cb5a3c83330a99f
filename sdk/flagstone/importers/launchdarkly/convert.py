"""The whole file: what depends on what, what cannot come over, and what is broken already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flagstone.engine import FlagSetError, parse_condition, parse_flag, parse_flag_set
from flagstone.importers import reading
from flagstone.importers.adding import FAULTS, broken_flag, broken_note, faults_in, reason_of
from flagstone.importers.closure import reaching_circles, spread
from flagstone.importers.launchdarkly.flags import Draft, Facts, draft_flag, read_facts
from flagstone.importers.launchdarkly.malformed import MalformedError
from flagstone.importers.launchdarkly.segments import Segment, read_segment
from flagstone.importers.result import (
    CannotCarryError,
    ImportFileError,
    ImportResult,
    Note,
    whole_file,
)

_HINT = "the file is what LaunchDarkly's SDKs receive: {flags, segments}, with the salts"
_CIRCLE = "it refers to itself, in a circle"
_OPEN_CIRCLE = "it refers to itself, in a circle in which something is off"


def convert(document: object) -> ImportResult:
    """Turn the payload of LaunchDarkly's SDKs into flags and segments.

    Parameters
    ----------
    document : object
        The payload as JSON: ``{"flags": {…}, "segments": {…}}``.

    Returns
    -------
    ImportResult
        Variants are called by the index of their variation. A flag for which LaunchDarkly's own
        SDK answers with an error answers ``PARSE_ERROR`` when read leniently; it is among the
        lossy ones, and strict reading refuses it.

    Raises
    ------
    ImportFileError
        If the document is no such payload.
    """
    whole = whole_file(document)
    segments = _Segments(_live(whole, "segments", required=False))
    flags = _Flags(_live(whole, "flags", required=True), segments)
    return flags.result()


def _live(whole: Mapping[str, Any], name: str, *, required: bool) -> dict[str, Any]:
    """Return the flags or segments of the file that are not marked as deleted."""
    part = whole.get(name)
    if part is None and not required:
        return {}
    if not isinstance(part, Mapping):
        raise ImportFileError("must be an object, by key", name, _HINT)
    return {
        str(key): data
        for key, data in part.items()
        if not (isinstance(data, Mapping) and data.get("deleted") is True)
    }


class _Segments:
    """The segments: read ones, refused ones and malformed ones, with the reason."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.there = frozenset(data)
        self.refused: dict[str, str] = {}
        self.malformed: dict[str, str] = {}
        read: dict[str, Segment] = {}
        for key, part in data.items():
            try:
                read[key] = self._read(key, part)
            except FAULTS as fault:
                self.refused[key] = f"segment {key!r}: {reason_of(fault)}"
            except MalformedError as error:
                self.malformed[key] = f"segment {key!r}: {error.reason}"
        graph = {key: segment.asks for key, segment in read.items()}
        for key in reaching_circles(graph):
            self.malformed[key] = f"segment {key!r}: {_CIRCLE}"
        spread(self.refused, graph)
        spread(self.malformed, graph)
        self.asks = graph
        self.carried = {
            key: segment.condition
            for key, segment in read.items()
            if key not in self.refused and key not in self.malformed
        }

    def _read(self, key: str, data: Any) -> Segment:
        if not key:
            raise CannotCarryError("its key is empty")
        segment = read_segment(key, reading.an_object(data, key), self.there)
        parse_condition(segment.condition)
        return segment

    def notes(self) -> list[Note]:
        """Return what the report says of segments that are left behind."""
        causes = {**self.malformed, **self.refused}
        return [Note(f"segment {key}", causes[key]) for key in sorted(causes)]

    def asked_by(self, keys: Iterable[str]) -> set[str]:
        """Return these segments and all that they ask."""
        found: set[str] = set()
        waiting = list(keys)
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting.extend(self.asks.get(key, ()))
        return found


class _Flags:
    """The flags as drafts, and the reasons for which some are refused."""

    def __init__(self, data: Mapping[str, Any], segments: _Segments) -> None:
        self.data, self.segments = data, segments
        self.there = frozenset(data)
        self.refused: dict[str, str] = {}
        self.drafts: dict[str, Draft] = {}
        self.facts: dict[str, Facts] = {}
        self._each(self._read_facts)
        self.wanted = frozenset(
            wanted for facts in self.facts.values() for wanted in facts.prerequisites
        )
        self._each(self._draft)
        self._find_refused()
        self._find_malformed()

    def _each(self, step: Any) -> None:
        for key, part in self.data.items():
            try:
                if key not in self.refused:
                    step(key, part)
            except FAULTS as fault:
                self.refused[key] = reason_of(fault)

    def _read_facts(self, key: str, data: Any) -> None:
        self.facts[key] = read_facts(reading.an_object(data, key))

    def _draft(self, key: str, data: Any) -> None:
        draft = draft_flag(key, data, self.facts, self.wanted, self.there, self.segments.there)
        # Whom it asks is seen to later, and a flag that asks itself is a circle.
        sound = {**draft.document, "prerequisites": []}
        if draft.malformed is not None:
            sound |= {"targets": [], "rules": [], "default": None, "off": None}
        if sound["variants"]:
            parse_flag(sound)
        self.drafts[key] = draft

    def _find_refused(self) -> None:
        for key, draft in self.drafts.items():
            for segment in sorted(draft.segments & self.segments.refused.keys()):
                self.refused.setdefault(key, self.segments.refused[segment])
        causes = {
            key: reason if reason.startswith("segment ") else f"flag {key!r}: {reason}"
            for key, reason in self.refused.items()
        }
        spread(causes, {key: draft.prerequisites for key, draft in self.drafts.items()})
        for key, cause in causes.items():
            self.refused.setdefault(key, f"a prerequisite cannot be carried: {cause}")

    def _find_malformed(self) -> None:
        """Find what only shows between flags; an error comes up to whoever asks, while all are on.

        A flag that is off answers nobody with an error, nor does one whose prerequisite is known
        never to be met.
        """
        kept = {key: draft for key, draft in self.drafts.items() if key not in self.refused}
        for draft in kept.values():
            for segment in sorted(draft.segments & self.segments.malformed.keys()):
                reason = self.segments.malformed[segment]
                draft.malformed = draft.malformed or MalformedError(reason, spreads=True)
        asked = {key: draft.prerequisites for key, draft in kept.items()}
        on = {
            key: [other for other in others if self.facts[other].on]
            for key, others in asked.items()
            if self.facts[key].on
        }
        circles = reaching_circles(on)
        causes = {
            key: draft.malformed.reason
            for key, draft in kept.items()
            if draft.malformed is not None and draft.malformed.spreads and draft.document["enabled"]
        } | dict.fromkeys(circles, _CIRCLE)
        own = set(causes) - circles
        spread(causes, on)
        for key, reason in causes.items():
            if key not in own:
                draft = kept[key]
                cause = reason if key in circles else f"a prerequisite: {reason}"
                draft.malformed = MalformedError(cause, spreads=True)
                draft.document["enabled"] = True
                draft.document.pop("metadata", None)
        for key in reaching_circles(asked) - set(causes):
            draft = kept[key]
            draft.malformed = draft.malformed or MalformedError(_OPEN_CIRCLE, spreads=False)

    def result(self) -> ImportResult:
        """Return the flags that can be carried, in the file's order, and the report."""
        result = ImportResult(segments=dict(self.segments.carried))
        self._put(result)
        while self._refuse_faults(result):
            self._find_refused()
            self._put(result)
        self._leave_costly_segments(result)
        for key in self.data:
            if key in self.refused:
                result.refused.append(Note(key, self.refused[key]))
                continue
            draft = self.drafts[key]
            if draft.malformed is not None:
                reason = draft.malformed.reason
                note = f"malformed: {reason}" if reason == _OPEN_CIRCLE else broken_note(reason)
                result.lossy.append(Note(key, note))
            result.lossy.extend(Note(key, note) for note in draft.notes)
        result.refused.extend(self.segments.notes())
        return result

    def _put(self, result: ImportResult) -> None:
        result.flags = {
            key: _with_fault(draft) for key, draft in self.drafts.items() if key not in self.refused
        }

    def _refuse_faults(self, result: ImportResult) -> bool:
        """Refuse what the engine cannot evaluate though LaunchDarkly can: chains that cost much."""
        faults = {
            key: reason
            for key, reason in faults_in(result.flag_set()).items()
            if self.drafts[key].malformed is None
        }
        self.refused.update(faults)
        return bool(faults)

    def _leave_costly_segments(self, result: ImportResult) -> None:
        """Leave out segments that nobody asks if the engine refuses one of them."""
        try:
            parse_flag_set({"segments": result.segments}, strict=True)
        except FlagSetError:
            asked = self.segments.asked_by(
                segment for key in result.flags for segment in self.drafts[key].segments
            )
            for key in result.segments.keys() - asked:
                del result.segments[key]
                result.refused.append(Note(f"segment {key}", "its references cost too much"))


def _with_fault(draft: Draft) -> dict[str, Any]:
    """Return the document, with a part that no reader takes if the flag is malformed."""
    if draft.malformed is None or draft.malformed.reason in (_CIRCLE, _OPEN_CIRCLE):
        # Circles stay as they are: the engine finds them too.
        return draft.document
    return broken_flag(draft.document, draft.malformed.reason)
