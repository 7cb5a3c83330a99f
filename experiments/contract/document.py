"""The one door for plans and policies: typed fields out of a mapping, every fault with its path.

Also the canonical JSON that seals and records are hashed over, and durations such as ``"28d"``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.errors import PlanError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*")
_MISSING = object()


def canonical_json(value: Any) -> str:
    """Write ``value`` in the one way that is hashed: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_of(value: Any) -> str:
    """Hash a document by its canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def parse_duration(value: Any, field: str) -> float:
    """Read ``"28d"``, ``"90m"`` or ``"60s"`` as seconds."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise PlanError(
            f"{field} is not a duration: {value!r}",
            field=field,
            hint='write a number and a unit (s, m, h, d, w), such as "28d" or "60s"',
        )
    return float(match[1]) * SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """Write seconds as the shortest duration that :func:`parse_duration` reads back."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % SECONDS[unit] == 0:
            return f"{int(seconds / SECONDS[unit])}{unit}"
    return f"{seconds:.12g}s"


class Reader:
    """Take fields out of a mapping one by one, then refuse whatever nobody asked for."""

    def __init__(self, document: Any, path: str = "") -> None:
        if not isinstance(document, Mapping):
            raise PlanError(
                f"{path or 'the plan'} is not a table", field=path or None, hint="write a table"
            )
        self._left: dict[str, Any] = dict(document)
        self.path = path

    def name(self, field: str) -> str:
        """Give the field's full path."""
        return f"{self.path}.{field}" if self.path else field

    def has(self, field: str) -> bool:
        """Tell whether the field is given (``null`` counts as not given)."""
        return self._left.get(field) is not None

    def take(self, field: str, default: Any = _MISSING, *, hint: str | None = None) -> Any:
        """Take a raw value; without a default a missing one is a fault."""
        value = self._left.pop(field, None)
        if value is not None:
            return value
        if default is _MISSING:
            raise PlanError(f"{self.name(field)} is missing", field=self.name(field), hint=hint)
        return default

    def text(self, field: str, default: Any = _MISSING, *, hint: str | None = None) -> str:
        """Take a text that is not empty (a default is given back as it is)."""
        value = self.take(field, default, hint=hint)
        if value is default:
            return value  # type: ignore[no-any-return]
        if not isinstance(value, str) or not value.strip():
            raise self.fault(field, "must be a text that is not empty", hint)
        return value.strip()

    def choice(self, field: str, choices: Sequence[str], default: Any = _MISSING) -> str:
        """Take one word out of a closed list."""
        hint = "one of: " + ", ".join(choices)
        value = self.text(field, default, hint=hint)
        if value not in choices:
            raise self.fault(field, f"is {value!r}", hint)
        return value

    def number(
        self,
        field: str,
        default: Any = _MISSING,
        *,
        above: float = -math.inf,
        least: float = -math.inf,
        below: float = math.inf,
        most: float = math.inf,
        hint: str | None = None,
    ) -> float:
        """Take a finite number inside the limits (``above`` and ``below`` are exclusive)."""
        value = self.take(field, default, hint=hint)
        if value is default:
            return value  # type: ignore[no-any-return]
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise self.fault(field, "must be a number", hint)
        if not (above < value < below and least <= value <= most):
            limits = [
                f"{word} {limit:g}"
                for word, limit in (
                    ("more than", above),
                    ("at least", least),
                    ("less than", below),
                    ("at most", most),
                )
                if math.isfinite(limit)
            ]
            raise self.fault(field, f"is {value:g}, but must be {' and '.join(limits)}", hint)
        return float(value)

    def key(self, field: str, such_as: str, *, longest: int = 56) -> str:
        """Take the key of something: a short name that may stand in an address."""
        key = self.text(field, hint=f"a short name, such as {such_as}")
        if len(key) > longest or not _KEY.fullmatch(key):
            hint = f"1 to {longest} of a-z, 0-9, dot, dash and underscore, a letter or digit first"
            raise self.fault(field, f"is {key!r}", hint)
        return key

    def integer(self, field: str, default: Any = _MISSING, *, least: int = 0) -> int:
        """Take a whole number."""
        value = self.take(field, default)
        if value is default:
            return value  # type: ignore[no-any-return]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.fault(field, f"must be a whole number, at least {least}", None)
        return value

    def boolean(self, field: str, *, default: bool) -> bool:
        """Take true or false."""
        value = self.take(field, default)
        if not isinstance(value, bool):
            raise self.fault(field, "must be true or false", None)
        return value

    def duration(self, field: str, default: Any = _MISSING, *, least: float = 0.0) -> float:
        """Take ``field = "28d"``, or a number in ``field_days`` or ``field_seconds``."""
        spellings = {field: 0.0, f"{field}_days": SECONDS["d"], f"{field}_seconds": 1.0}
        given = [name for name in spellings if self.has(name)]
        if len(given) > 1:
            raise self.fault(given[1], f"says the same as {given[0]}", "keep one of them")
        if not given:
            seconds: float = self.take(field, default, hint=f'such as {field} = "28d"')
            return seconds
        name = given[0]
        if name == field:
            seconds = parse_duration(self.take(field), self.name(field))
        else:
            seconds = self.number(name, least=0.0) * spellings[name]
        if seconds < least:
            raise self.fault(name, f"is shorter than {format_duration(least)}", None)
        return seconds

    def tables(self, field: str, default: Any = _MISSING) -> list[Reader]:
        """Take a list of tables."""
        value = self.take(field, default)
        if not isinstance(value, list | tuple):
            raise self.fault(field, "must be a list of tables", None)
        return [Reader(item, f"{self.name(field)}[{i}]") for i, item in enumerate(value)]

    def fault(self, field: str, what: str, hint: str | None) -> PlanError:
        """Make the error that says what is wrong with a field."""
        return PlanError(f"{self.name(field)} {what}", field=self.name(field), hint=hint)

    def finish(self) -> None:
        """Refuse every field that nobody asked for."""
        for field, value in self._left.items():
            if value is not None:
                raise self.fault(str(field), "is not a field here", "check the spelling")
