"""Damage to a whole file, and what may come of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers import ImportFileError, ImportResult


def assert_imported_or_refused(
    convert: Callable[[Any], ImportResult], document: Any, now: float
) -> None:
    try:
        result = convert(document)
    except ImportFileError:
        return
    flag_set = json.loads(json.dumps(result.flag_set(), allow_nan=False))
    parsed = parse_flag_set(flag_set, strict=True)
    json.dumps(result.report())
    for key in parsed.flags:
        assert evaluate(parsed, key, {"targetingKey": "a", "x": 1}, now).error_code is None
    assert convert(copy.deepcopy(document)).flag_set() == result.flag_set()


def mutated(data: st.DataObject, whole: Any, values: st.SearchStrategy[Any]) -> Any:
    """Return a copy in which up to three places have another value, or are gone."""
    document = copy.deepcopy(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = document
        while True:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not names:
                break
            name = data.draw(st.sampled_from(names))
            inner = place[name]
            if not isinstance(inner, (dict, list)) or data.draw(st.integers(0, 4)) == 0:
                if data.draw(st.booleans()):
                    place[name] = data.draw(values)
                else:
                    del place[name]
                break
            place = inner
    return document
