"""Unleash: the features that its server gives to SDKs on servers, ``/api/client/features``.

The measure is yggdrasil-engine, the core that Unleash's SDKs for Python, Ruby, Java and .NET share.

A feature of Unleash is a switch and, beside it, a variant; a flag of ours is one thing that is
served. So it is carried:

* ``on`` is the switch: true for every variant but the one served while the feature is off.
* ``variant`` is the name of Unleash's variant. Where the feature is on without a variant it is
  ``enabled``; Unleash calls that ``disabled``, with ``feature_enabled``. Should a variant have that
  name already, ours stands in brackets: ``(enabled)``.
* ``value`` is the payload by its type: a number, JSON (whatever it holds), or the text of
  ``string`` and ``csv``. A payload that is not what its type says stays a text. The flag's type is
  that of all its payloads, or ``object`` if they differ or one is missing; a missing payload is
  null, for which the getters give the caller's default.
* A feature none of whose variants has a payload becomes a boolean flag: its value is the switch,
  and ``disabled`` is the variant while it is off. A feature with payloads serves the caller's
  default while it is off, as Unleash gives no payload then.

Unleash's context maps to ours thus: ``userId`` is ``targetingKey``; ``sessionId``,
``remoteAddress``, ``environment``, ``appName``, ``currentTime`` and all of ``properties`` stand at
the top level. Where Unleash draws at random, the draw of each evaluation is the attribute
``$random``, any text or number the caller makes up; without one, rollouts are off and the heaviest
variant is served. The report names every flag that asks for chance; of those where it only stands
in for a missing user it says how many there are.

The strategies become rules of the same names in the same order; a strategy with several units, with
overrides or with constraints on the clock becomes several. ``impressionData`` tracks exposures.

What Unleash cannot compile, it keeps off, and so do we: the report says why. Custom strategies,
``applicationHostname`` and whatever else cannot be carried exactly is refused.

Left out, because none of it occurs in earnest: texts of numbers beyond a double (``1e400``), and of
times in other forms than RFC 3339, which Unleash's parsers take and ours do not. A float without a
fraction is an integer here, as everywhere in Flagstone: ``5.0`` is the user ``5``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flagstone.engine import parse_flag
from flagstone.importers.adding import FAULTS, faults_in, reason_of
from flagstone.importers.result import (
    EVERYWHERE,
    CannotCarryError,
    ImportFileError,
    ImportResult,
    Note,
    whole_file,
)
from flagstone.importers.unleash.flags import DRAW, Carried, Segments, flag_of
from flagstone.importers.unleash.reading import Constraint, Feature, read_feature, read_segment

_HINT: Final = "fetch /api/client/features with a client token"


def convert(document: Any) -> ImportResult:
    """Turn an Unleash server's features into flags.

    Parameters
    ----------
    document : mapping
        What ``/api/client/features`` answers.

    Returns
    -------
    ImportResult
        The flags and segments that can be carried exactly; the others are refused by name.

    Raises
    ------
    ImportFileError
        If it is no such answer.
    """
    whole = whole_file(document)
    documents = whole.get("features")
    if not isinstance(documents, (list, tuple)):
        raise ImportFileError("there must be a list of features", "features", _HINT)
    refused: dict[str, str] = {}
    features = _features(documents, refused)
    segments = _segments(whole.get("segments"))
    carried: dict[str, Carried] = {}
    # Parents come first: what has a parent of its own is nobody's parent.
    for feature in sorted(filter(None, features.values()), key=lambda one: bool(one.dependencies)):
        try:
            one = flag_of(feature, segments, features, carried)
            parse_flag(one.document)
            carried[feature.name] = one
        except FAULTS as fault:
            refused[feature.name] = reason_of(fault)
    return _result(features, carried, refused)


def _result(
    features: Mapping[str, Feature | None], carried: dict[str, Carried], refused: dict[str, str]
) -> ImportResult:
    """Put the result together, without the flags that no flag set can hold."""
    result = _carried_only(features, carried)
    # Only what flags ask of each other can be wrong now, and only by its sheer size.
    while faults := faults_in(result.flag_set()):
        refused.update(faults)
        for name in faults:
            del carried[name]
        result = _carried_only(features, carried)
    for name in features:
        if name in carried:
            result.lossy.extend(Note(name, reason) for reason in carried[name].losses)
        elif name in refused:
            result.refused.append(Note(name, refused[name]))
    drawn = sum(one.may_be_drawn for one in carried.values())
    if drawn:
        reason = f"chance decides for a context that lacks what {drawn} flags hash: {DRAW}"
        result.lossy.append(Note(EVERYWHERE, reason))
    return result


def _carried_only(features: Iterable[str], carried: Mapping[str, Carried]) -> ImportResult:
    result = ImportResult()
    for name in features:
        if name in carried:
            result.flags[name] = carried[name].document
            result.segments.update(carried[name].segments)
    return result


def _features(documents: Sequence[object], refused: dict[str, str]) -> dict[str, Feature | None]:
    """Read the features; of two with one name, the last counts, as it does for Unleash."""
    features: dict[str, Feature | None] = {}
    for index, document in enumerate(documents):
        name = document.get("name") if isinstance(document, Mapping) else None
        key = name if type(name) is str and name else f"features[{index}]"
        refused.pop(key, None)
        features[key] = None
        try:
            feature = read_feature(document)
            if not feature.name:
                raise CannotCarryError("is malformed: it has no name")
            features[key] = feature
        except CannotCarryError as error:
            refused[key] = str(error)
    return features


def _segments(documents: object) -> Segments:
    if documents is None:
        return {}
    if not isinstance(documents, (list, tuple)):
        raise ImportFileError("must be a list of segments", "segments", _HINT)
    segments: dict[int, tuple[Constraint, ...] | CannotCarryError] = {}
    for document in documents:
        try:
            number, constraints = read_segment(document)
            segments[number] = constraints
        except CannotCarryError as error:
            name = document.get("id") if isinstance(document, Mapping) else None
            if type(name) is int:
                segments[name] = error
    return segments
