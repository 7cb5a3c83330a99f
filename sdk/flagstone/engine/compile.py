"""A flag set made ready for evaluation: each flag becomes a function at its first use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from flagstone.engine.careful import Program, careful_program, settled
from flagstone.engine.conditions import Check, compile_condition
from flagstone.engine.details import ErrorCode, EvaluationDetails, failing
from flagstone.engine.generate import generated_program
from flagstone.engine.model import Condition, Fault, FlagSet
from flagstone.engine.times import seconds_of


class CompiledFlagSet:
    """A flag set whose flags are functions; nothing in it changes but what it remembers.

    Safe between threads: what two threads compile at once is equal.
    """

    __slots__ = ("_careful", "_programs", "_segments", "flag_keys", "flag_set")

    def __init__(self, flag_set: FlagSet) -> None:
        self.flag_set = flag_set
        self.flag_keys = frozenset(flag_set.flags)
        self._programs: dict[str, Program] = {}
        self._careful: dict[str, Program] = {}
        self._segments: dict[str, Check] = {}

    def evaluate(self, flag_key: str, context: Mapping[str, Any], now: float) -> EvaluationDetails:
        """Return the variant of ``flag_key`` in ``context`` at ``now``, and why; never raises.

        Parameters
        ----------
        flag_key : str
            The flag to evaluate.
        context : mapping
            Attributes by name.
        now : float
            POSIX seconds.
        """
        try:
            if type(context) is not dict:
                context = plain_context(context)
            return self._programs[flag_key](context, now)
        except Exception:  # noqa: BLE001  what the fast way cannot digest, the careful way decides
            return self._slowly(flag_key, context, now)

    def segment(self, key: str) -> Check:
        """Return the compiled condition of a segment."""
        check = self._segments.get(key)
        if check is None:
            condition = self.flag_set.segments[key]
            if isinstance(condition, Fault):
                raise KeyError(key)
            check = self._segments[key] = compile_condition(condition, self)
        return check

    def segment_condition(self, key: str) -> Condition | Fault:
        """Return the condition of a segment as it was read."""
        return self.flag_set.segments[key]

    def _slowly(self, flag_key: object, context: object, now: object) -> EvaluationDetails:
        """Answer at the first evaluation of a flag, and for what its program cannot digest."""
        try:
            flag = self.flag_set.flags.get(flag_key) if isinstance(flag_key, str) else None
            if flag is None:
                return _not_found(flag_key)
            details = settled(flag)
            if flag.key not in self._programs:
                self._programs[flag.key] = _constant(details) or generated_program(flag, self)
                return self.evaluate(flag.key, context, now)  # type: ignore[arg-type]
            if details is not None:
                return details
            try:
                attributes = plain_context(context)
            except Exception:  # noqa: BLE001  a caller's mapping may raise anything
                message = f"a context is a mapping, not {type(context).__name__}"
                return failing(flag.key, ErrorCode.INVALID_CONTEXT, message)
            seconds = seconds_of(now) if isinstance(now, dt.datetime) else now
            if flag.key not in self._careful:
                self._careful[flag.key] = careful_program(flag, self)
            return self._careful[flag.key](attributes, seconds)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  whatever came in, an answer goes out
            key = flag_key if isinstance(flag_key, str) else ""
            return failing(key, ErrorCode.GENERAL, f"{type(error).__name__} during evaluation")


def _constant(details: EvaluationDetails | None) -> Program | None:
    if details is None:
        return None
    return lambda _context, _now: details


def compile_flag_set(flag_set: FlagSet) -> CompiledFlagSet:
    """Make a flag set ready for evaluation; each flag compiles when it is first asked for."""
    return CompiledFlagSet(flag_set)


def plain_context(context: object) -> dict[str, Any]:
    """Return the context as a ``dict``; ``None`` is the empty one."""
    if context is None:
        return {}
    if isinstance(context, Mapping):
        return dict(context)
    raise TypeError("a context is a mapping")


def _not_found(flag_key: object) -> EvaluationDetails:
    key = flag_key if isinstance(flag_key, str) else ""
    return failing(key, ErrorCode.FLAG_NOT_FOUND, "there is no such flag")
