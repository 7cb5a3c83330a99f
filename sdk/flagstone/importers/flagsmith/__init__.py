"""Flagsmith: the environment document, or the evaluation context of its engine.

The measure is flagsmith-flag-engine 11, and for the environment document what the SDK flagsmith 6
makes of it when it evaluates locally.

A feature is a toggle and a value: ``value`` is Flagsmith's value, served whether or not the feature
is enabled, and ``on`` is its ``enabled``. A feature that has no value anywhere is a plain toggle:
it becomes a boolean whose value is its ``enabled``; with ``toggles=False`` it serves null (the
caller's default) with ``on``. The variants ``control`` and those with a key keep Flagsmith's names;
where Flagsmith calls two values of a feature the same, the second has a number behind its name.

The context: ``targetingKey`` is the identity's key (by default ``{environment key}_{identifier}``),
traits stand at the top level. A property ``$.identity.identifier`` reads
``{"identity": {"identifier": …}}``; only a list of identifiers is also found in the default key
(numbers with zeros before them only where the list is short).
``$.environment…`` reads the object ``environment``, or where the context has none, the file.
A context without ``targetingKey`` is Flagsmith's evaluation without identity and has no traits.

Not told apart: a whole number and a float without a fraction (1 and 1.0; the text ``"1.0"`` is a
fraction, as Flagsmith has it). Not traits: arrays and objects (Flagsmith compares how Python prints
them; only equality and order know of it here). Numbers of more than 300 digits are none. A REGEX
sees the text of a number as it was written, Flagsmith without needless zeros. A trait whose name is
a path, as in ``$.identity.key``, does not hide what stands there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from flagstone.engine import parse_condition
from flagstone.importers.adding import FAULTS, Carried, add, reason_of
from flagstone.importers.flagsmith.conditions import LOSS
from flagstone.importers.flagsmith.document import FIRST, Environment, Segment, State, read_file
from flagstone.importers.flagsmith.flags import Branch, flag_document, identity_branches
from flagstone.importers.flagsmith.segments import SegmentReader
from flagstone.importers.naming import numbered
from flagstone.importers.result import CannotCarryError, ImportFileError, ImportResult, Note


def convert(document: Any, *, toggles: bool = True) -> ImportResult:
    """Turn an environment document or an evaluation context into flags and segments.

    Parameters
    ----------
    document : mapping
        What ``/api/v1/environment-document/`` answers, or the context of Flagsmith's engine; an
        identity in it is passed over.
    toggles : bool, default True
        Whether features that have no value anywhere become booleans.

    Returns
    -------
    ImportResult
        The features that can be carried exactly; the others are refused by name.

    Raises
    ------
    ImportFileError
        If it is neither.
    """
    try:
        environment = read_file(document)
    except RecursionError as error:
        raise ImportFileError("the file is nested too deeply") from error
    result = ImportResult()
    result.refused.extend(Note(name, reason) for name, reason in environment.unnamed.items())
    segments = _Segments(environment, result)
    for name, state in environment.features.items():
        add(result, name, partial(_carried, name, state, segments, toggles=toggles))
    return result


def _carried(
    name: str, state: State | CannotCarryError, segments: _Segments, *, toggles: bool
) -> Carried:
    if isinstance(state, CannotCarryError):
        raise state
    branches, lossy = segments.branches(name)
    flag = flag_document(name, state, branches, toggles=toggles, environment=segments.environment)
    return Carried(flag, [LOSS] if lossy else [])


class _Segments:
    """The segments of a file, read once; the features that are overridden in each."""

    def __init__(self, environment: Environment, result: ImportResult) -> None:
        self.environment = environment
        self._names: dict[int, str | CannotCarryError] = {}
        self._lossy: set[int] = set()
        self._of_feature: dict[str, list[tuple[int, Any]]] = {}
        for index, segment in enumerate(environment.segments):
            self._names[index] = self._carry(index, segment, result)
            for override in segment.overrides:
                self._of_feature.setdefault(override.feature, []).append((index, override))
        self._identities: dict[str, list[Any]] = {}
        for identity in environment.identities:
            self._identities.setdefault(identity.feature, []).append(identity)

    def _carry(self, index: int, segment: Segment, result: ImportResult) -> str | CannotCarryError:
        reader = SegmentReader(self.environment, segment.key)
        name = numbered(segment.name, result.segments.__contains__)
        try:
            condition = reader.condition(segment.rules)
            parse_condition(condition)
        except FAULTS as fault:
            return CannotCarryError(f"the segment {segment.name!r}: {reason_of(fault)}")
        result.segments[name] = condition
        if reader.losses:
            self._lossy.add(index)
        return name

    def branches(self, feature: str) -> tuple[list[Branch], bool]:
        """Return a feature's overrides in the order in which they win, and whether one is lossy."""
        found: list[tuple[float, Branch]] = []
        overrides = self._of_feature.get(feature, [])
        identities = self._identities.get(feature, [])
        lossy = False
        for index, override in overrides:
            name = self._names[index]
            if isinstance(name, CannotCarryError):
                raise name
            if isinstance(override.state, CannotCarryError):
                raise CannotCarryError(f"the override in the segment {name!r}: {override.state}")
            if override.priority is None and len(overrides) + len(identities) > 1:
                raise CannotCarryError(f"the priority in the segment {name!r} is no number")
            lossy = lossy or index in self._lossy
            state: State = override.state
            found.append((override.priority or 0, Branch(name, {"segment": name}, state)))
        prefix = self.environment.default_key_prefix
        found.extend((FIRST, branch) for branch in identity_branches(identities, prefix))
        # Of equal priorities the first in the file wins.
        found.sort(key=lambda pair: pair[0])
        return [branch for _, branch in found], lossy
