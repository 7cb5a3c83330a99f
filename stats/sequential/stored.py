"""A running test's bounds as a JSON document, and back to the same bits.

Floats are written in hexadecimal and grids as base64 of little-endian doubles, so nothing is
rounded. A checksum tells a damaged document from a whole one before it is believed; it is no
signature. This module hides one decision: the document's layout, of which ``VERSION`` counts the
changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from stats.errors import DocumentError, SpendingError, StatsError
from stats.sequential.bounds import BoundedLook, Bounds
from stats.sequential.density import Array, Density
from stats.sequential.replan import Replanned
from stats.sequential.spending import Spending, SpendingFunction, SpendingPoints, SpendingShape

Document: TypeAlias = dict[str, Any]

KIND = "flagstone/bounds"
VERSION = 1


def bounds_document(bounds: Bounds) -> Document:
    """Write the state of a running test as plain JSON values.

    Parameters
    ----------
    bounds : Bounds
        State after any look, also before the first.

    Returns
    -------
    dict
        Strings, integers, lists, booleans and None only; `parse_bounds` reads it.

    Raises
    ------
    SpendingError
        If the spending cannot be written down: a function of the caller's.

    Notes
    -----
    It holds the grid of the look before the last, some kilobytes; the next look is one step from
    it, whatever the number of looks.

    Examples
    --------
    >>> state = Bounds(Spending(SpendingShape.OBRIEN_FLEMING, 0.025)).extend(0.5)
    >>> document = bounds_document(state)
    >>> document["kind"], document["version"]
    ('flagstone/bounds', 1)
    >>> parse_bounds(document).extend(1.0).boundary == state.extend(1.0).boundary
    True
    """
    density = bounds.density
    before = density.before if density else None
    content: Document = {
        "kind": KIND,
        "version": VERSION,
        "spending": _spending_document(bounds.spending),
        "two_sided": bounds.two_sided,
        "looks": [
            [
                *(number.hex() for number in (look.time, look.correlation, look.bound, look.spent)),
                None if look.information is None else float(look.information).hex(),
            ]
            for look in bounds.looks
        ],
        "charged": bounds.charged.hex(),
        "points": None if before is None else _packed(before[0]),
        "mass": None if before is None else _packed(before[1]),
    }
    return {**content, "checksum": _checksum(content)}


def parse_bounds(document: object) -> Bounds:
    """Read what `bounds_document` wrote; it goes on as if it had never been away.

    Parameters
    ----------
    document : object
        Parsed JSON.

    Returns
    -------
    Bounds
        Equal, bit by bit, to the state that was written.

    Raises
    ------
    DocumentError
        If it is no such document, of another version, or damaged.
    """
    if not isinstance(document, Mapping) or document.get("kind") != KIND:
        raise DocumentError("this is no document of bounds")
    if document.get("version") != VERSION:
        raise DocumentError(f"bounds of version {document.get('version')!r}: we read {VERSION}")
    content = {key: value for key, value in document.items() if key != "checksum"}
    try:
        if document.get("checksum") != _checksum(content):
            raise DocumentError("the document of bounds is damaged: its checksum is wrong")
        return _parsed(content)
    except DocumentError:
        raise
    except (StatsError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise DocumentError(f"the document of bounds is damaged: {error}") from error


def _parsed(content: Mapping[str, Any]) -> Bounds:
    looks = tuple(_parsed_look(*row) for row in content["looks"])
    spending = _parsed_spending(content["spending"])
    two_sided = content["two_sided"]
    if not isinstance(two_sided, bool):
        raise TypeError("two_sided is neither true nor false")
    density = _parsed_density(content, looks, two_sided=two_sided) if looks else None
    return Bounds(spending, two_sided, looks, float.fromhex(content["charged"]), density)


def _parsed_look(
    time: str, correlation: str, bound: str, spent: str, information: str | None
) -> BoundedLook:
    read = float.fromhex
    known = None if information is None else read(information)
    return BoundedLook(read(time), read(correlation), read(bound), read(spent), known)


def _parsed_density(
    content: Mapping[str, Any], looks: tuple[BoundedLook, ...], *, two_sided: bool
) -> Density:
    last = looks[-1]
    low = -last.bound if two_sided else -math.inf
    if len(looks) == 1:
        return Density(None, last.correlation, low, last.bound)
    points, mass = _unpacked(content["points"]), _unpacked(content["mass"])
    # Written so that NaN fails as well.
    if not (points.shape == mass.shape and np.all(np.diff(points) > 0) and np.all(mass >= 0)):
        raise ValueError("the grid is none")
    if not 0 <= last.correlation < 1:
        raise ValueError(f"two looks cannot have the correlation {last.correlation}")
    return Density((points, mass), last.correlation, low, last.bound)


def _spending_document(spending: SpendingFunction) -> Document:
    match spending:
        case Spending():
            parameter = spending.parameter
            return {
                "shape": spending.shape.value,
                "alpha": spending.alpha.hex(),
                "epsilon": float(spending.epsilon).hex(),
                "parameter": None if parameter is None else float(parameter).hex(),
            }
        case SpendingPoints():
            return {"points": [[float(t).hex(), float(a).hex()] for t, a in spending.points]}
        case Replanned():
            return {
                "before": _spending_document(spending.before),
                "at": spending.at.hex(),
                "restart": spending.restart.hex(),
            }
    raise SpendingError(f"{type(spending).__name__} cannot be written down")


def _parsed_spending(document: Mapping[str, Any]) -> SpendingFunction:
    if "before" in document:
        before = _parsed_spending(document["before"])
        return Replanned(before, float.fromhex(document["at"]), float.fromhex(document["restart"]))
    if "points" in document:
        return SpendingPoints(
            tuple((float.fromhex(t), float.fromhex(a)) for t, a in document["points"])
        )
    parameter = document["parameter"]
    return Spending(
        SpendingShape(document["shape"]),
        float.fromhex(document["alpha"]),
        float.fromhex(document["epsilon"]),
        None if parameter is None else float.fromhex(parameter),
    )


def _packed(numbers: Array) -> str:
    return base64.b64encode(numbers.astype("<f8").tobytes()).decode("ascii")


def _unpacked(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f8").astype(np.float64)


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
