"""The whole file: what depends on what, what cannot come over, and what is broken already."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from flagstone.engine.errors import FlagSetError
from flagstone.engine.parse import parse_condition, parse_flag, parse_flag_set
from flagstone.importers.launchdarkly import reading
from flagstone.importers.launchdarkly.flags import Draft, Facts, draft_flag, read_facts
from flagstone.importers.launchdarkly.reading import MalformedError
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
_TOO_DEEP = "it is nested too deeply"
_TOO_LARGE = "a number in it is too large"


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


def _reaching_circles(graph: Mapping[str, Collection[str]]) -> set[str]:
    """Return the nodes from which a circle is reached: those that never run out of nodes to ask."""
    askers: dict[str, list[str]] = {node: [] for node in graph}
    open_edges = {}
    for node, asked in graph.items():
        inside = [other for other in asked if other in graph]
        open_edges[node] = len(inside)
        for other in inside:
            askers[other].append(node)
    free = [node for node, count in open_edges.items() if count == 0]
    while free:
        for asker in askers[free.pop()]:
            open_edges[asker] -= 1
            if open_edges[asker] == 0:
                free.append(asker)
    return {node for node, count in open_edges.items() if count}


def _spread(causes: dict[str, str], graph: Mapping[str, Iterable[str]]) -> None:
    """Give every node the cause of a node that it asks, directly or not."""
    askers: dict[str, list[str]] = {}
    for node, asked in graph.items():
        for other in asked:
            askers.setdefault(other, []).append(node)
    waiting = list(causes)
    while waiting:
        node = waiting.pop()
        for asker in askers.get(node, ()):
            if asker not in causes:
                causes[asker] = causes[node]
                waiting.append(asker)


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
            except CannotCarryError as error:
                self.refused[key] = f"segment {key!r}: {error}"
            except RecursionError:
                self.refused[key] = f"segment {key!r}: {_TOO_DEEP}"
            except (ValueError, OverflowError):
                self.refused[key] = f"segment {key!r}: {_TOO_LARGE}"
            except MalformedError as error:
                self.malformed[key] = f"segment {key!r}: {error.reason}"
        graph = {key: segment.asks for key, segment in read.items()}
        for key in _reaching_circles(graph):
            self.malformed[key] = f"segment {key!r}: {_CIRCLE}"
        _spread(self.refused, graph)
        _spread(self.malformed, graph)
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
        try:
            parse_condition(segment.condition)
        except FlagSetError as error:
            raise CannotCarryError(str(error)) from error
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
            except CannotCarryError as error:
                self.refused[key] = str(error)
            except FlagSetError as error:
                self.refused[key] = str(error)
            except RecursionError:
                self.refused[key] = _TOO_DEEP
            except (ValueError, OverflowError):
                self.refused[key] = _TOO_LARGE

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
        _spread(causes, {key: draft.prerequisites for key, draft in self.drafts.items()})
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
        circles = _reaching_circles(on)
        causes = {
            key: draft.malformed.reason
            for key, draft in kept.items()
            if draft.malformed is not None and draft.malformed.spreads and draft.document["enabled"]
        } | dict.fromkeys(circles, _CIRCLE)
        own = set(causes) - circles
        _spread(causes, on)
        for key, reason in causes.items():
            if key not in own:
                draft = kept[key]
                cause = reason if key in circles else f"a prerequisite: {reason}"
                draft.malformed = MalformedError(cause, spreads=True)
                draft.document["enabled"] = True
                draft.document.pop("metadata", None)
        for key in _reaching_circles(asked) - set(causes):
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
                answer = "" if draft.malformed.reason == _OPEN_CIRCLE else ", answers PARSE_ERROR"
                result.lossy.append(Note(key, f"malformed{answer}: {draft.malformed.reason}"))
            result.lossy.extend(Note(key, note) for note in draft.notes)
        result.refused.extend(self.segments.notes())
        return result

    def _put(self, result: ImportResult) -> None:
        result.flags = {
            key: _with_fault(draft) for key, draft in self.drafts.items() if key not in self.refused
        }

    def _refuse_faults(self, result: ImportResult) -> bool:
        """Refuse what the engine cannot evaluate though LaunchDarkly can: chains that cost much."""
        parsed = parse_flag_set(result.flag_set(), strict=False)
        faults = {
            key: str(flag.fault)
            for key, flag in parsed.flags.items()
            if flag.fault is not None and self.drafts[key].malformed is None
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
    document, error = draft.document, draft.malformed
    if error is None or error.reason in (_CIRCLE, _OPEN_CIRCLE):
        # Circles stay as they are: the engine finds them too.
        return document
    variant = next(iter(document["variants"]), "0")
    fault = {"id": "malformed", "when": {"malformed": error.reason}, "serve": variant}
    return {**document, "prerequisites": [], "targets": [], "rules": [fault], "default": None}
