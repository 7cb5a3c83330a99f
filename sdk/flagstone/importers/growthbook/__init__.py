"""GrowthBook's features, as ``/api/features/<key>`` gives them, as a flag set.

``edge`` says which of the vendor's SDKs is to be followed. ``inclusive`` is the JavaScript SDK and
the vendor's published cases: a forced rule takes the bucket at the edge of its coverage, and
comparisons convert (``"8" > 5``). ``exclusive`` is the Python SDK from version 4: the bucket at the
edge is out, values of two types are never equal and have no order.

The file's ``id`` is an attribute of the context; where there is none, it is the targeting key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flagstone.engine import parse_condition, parse_flag
from flagstone.importers import reading
from flagstone.importers.adding import FAULTS, faults_in, reason_of
from flagstone.importers.closure import reaching_circles, spread
from flagstone.importers.conditions import holds
from flagstone.importers.growthbook.features import FeatureReader, Gate
from flagstone.importers.growthbook.grammar import Grammar
from flagstone.importers.result import (
    EVERYWHERE,
    ImportFileError,
    ImportResult,
    Note,
    whole_file,
)

EDGES: Final = ("inclusive", "exclusive")


def convert(document: object, *, edge: str = "inclusive") -> ImportResult:
    """Read GrowthBook's features.

    Parameters
    ----------
    document : mapping
        The file: ``features`` and, where there are any, ``savedGroups``.
    edge : str, default "inclusive"
        ``inclusive`` follows the JavaScript SDK, ``exclusive`` the Python SDK from version 4.

    Returns
    -------
    ImportResult
        Flags and segments, and what is not among them.

    Raises
    ------
    ImportFileError
        If the file as a whole cannot be read.
    ValueError
        If ``edge`` is neither of the two.
    """
    if edge not in EDGES:
        raise ValueError(f"edge is one of {', '.join(EDGES)}")
    whole = whole_file(document)
    features = _features(whole)
    groups = whole.get("savedGroups")
    if groups is not None and not isinstance(groups, Mapping):
        raise ImportFileError("must be an object of saved groups", "savedGroups")
    grammar = Grammar(groups or {}, loose=edge == "inclusive")
    return _Import(features, grammar, inclusive=edge == "inclusive").run(whole)


def _features(whole: Mapping[str, Any]) -> Mapping[str, Any]:
    features = whole.get("features")
    if features is None and whole.get("encryptedFeatures"):
        raise ImportFileError(
            "the features are encrypted",
            "encryptedFeatures",
            "switch encryption off in the SDK connection, and download the file again",
        )
    if not isinstance(features, Mapping):
        raise ImportFileError(
            "must be an object of features",
            "features",
            "the file is what /api/features/<key> gives",
        )
    return features


class _Import:
    """Carries one file over."""

    def __init__(self, features: Mapping[str, Any], grammar: Grammar, *, inclusive: bool) -> None:
        self.features = features
        self.grammar = grammar
        self.reader = FeatureReader(features, grammar, inclusive=inclusive)
        self.flags: dict[str, dict[str, Any]] = {}
        self.segments: dict[str, set[str]] = {}
        self.refused: dict[str, str] = {}
        self.losses: dict[str, list[str]] = {}
        self.gates: dict[str, list[Gate]] = {}
        self.rounds: set[str] = set()
        self.sticky: set[str] = set()

    def run(self, whole: Mapping[str, Any]) -> ImportResult:
        for key, feature in self.features.items():
            try:
                self._carry(key, feature)
            except FAULTS as fault:
                self.refused[str(key)] = reason_of(fault)
        self._refuse_with_parents()
        self._open_gates()
        while faults := faults_in(self._result({}).flag_set()):
            # Only in the whole can chains be too long.
            self._refuse(faults)
        return self._result(whole)

    def _carry(self, key: str, feature: Any) -> None:
        feature = reading.an_object(feature, "a feature")
        if self.reader.goes_round(key):
            self.rounds.add(key)
            self.losses[key] = ["its prerequisites go in a circle, so it never has a value"]
            document = {"key": key, "type": "boolean", "variants": {"off": {"value": False}}}
            self.flags[key] = {**document, "default": None}
            return
        carried = self.reader.flag(key, feature)
        parse_flag(carried.document)
        for name in self.grammar.used:
            parse_condition(self.grammar.segments[name], f"segments[{name!r}]")
        self.flags[key] = carried.document
        self.segments[key] = self.grammar.used
        self.losses[key] = carried.losses
        self.gates[key] = carried.gates
        if carried.may_be_sticky:
            self.sticky.add(key)

    def _open_gates(self) -> None:
        """Write gates as prerequisites: which variants of the other flag fulfil the condition."""
        for key, gates in self.gates.items():
            prerequisites: list[dict[str, Any]] = []
            for gate in gates if key in self.flags else []:
                names = [
                    name
                    for name, variant in self.flags[gate.flag]["variants"].items()
                    if holds({"attr": "values", "each": gate.value}, {"values": [variant["value"]]})
                ]
                if not names:
                    # No value of the other flag opens it, so this one never has a value.
                    self.flags[key]["rules"] = []
                    self.flags[key]["default"] = None
                    prerequisites = []
                    break
                prerequisites.append({"flag": gate.flag, "variants": names})
            if prerequisites:
                self.flags[key]["prerequisites"] = prerequisites

    def _refuse_with_parents(self) -> None:
        """Refuse whatever asks a flag that is refused, or may come back to itself."""
        parents = {
            key: [] if key in self.rounds else list(self.reader.parents_of(key))
            for key in self.flags
        }
        causes = {key: f"its prerequisite {key!r} is refused" for key in self.refused}
        spread(causes, parents)
        self._refuse({key: cause for key, cause in causes.items() if key in self.flags})
        circles = reaching_circles({key: parents[key] for key in self.flags})
        self._refuse(dict.fromkeys(circles, "its prerequisites may go in a circle"))

    def _refuse(self, reasons: Mapping[str, str]) -> None:
        for key in reasons:
            del self.flags[key]
        self.refused.update(reasons)

    def _result(self, whole: Mapping[str, Any]) -> ImportResult:
        result = ImportResult(flags=dict(self.flags))
        used: set[str] = set()
        for key in self.flags:
            used |= self.segments.get(key, set())
        result.segments = {
            name: condition for name, condition in self.grammar.segments.items() if name in used
        }
        for key in self.features:
            if key in self.refused:
                result.refused.append(Note(key, self.refused[key]))
            elif self.losses.get(key):
                result.lossy.append(Note(key, "; ".join(self.losses[key])))
        sticky = len(self.sticky & self.flags.keys())
        if sticky:
            reason = f"sticky buckets of {sticky} flags, if any are stored, are left behind"
            result.lossy.append(Note(EVERYWHERE, reason))
        experiments = whole.get("experiments")
        for experiment in experiments if isinstance(experiments, list) else []:
            if isinstance(experiment, Mapping) and isinstance(experiment.get("key"), str):
                reason = "visual editors and redirects of a web site are not supported"
                result.refused.append(Note(experiment["key"], reason))
        return result
