"""A flag set made ready for evaluation: each flag becomes a function at its first use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
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

    __slots__ = ("_programs", "_segments", "_settled", "flag_keys", "flag_set")

    def __init__(self, flag_set: FlagSet) -> None:
        self.flag_set = flag_set
        self.flag_keys = frozenset(flag_set.flags)
        self._settled: dict[str, EvaluationDetails] = {}
        self._programs: dict[str, Program] = _Lazily(self._compile)
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
            details = self._settled.get(flag_key)
            if details is not None:
                return details
            if type(context) is not dict:
                context = plain_context(context)
            return self._programs[flag_key](context, now)
        except Exception:  # noqa: BLE001  what the fast way cannot digest, the careful way decides
            return self._carefully(flag_key, context, now)

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

    def _compile(self, flag_key: str) -> Program:
        flag = self.flag_set.flags[flag_key]
        details = settled(flag)
        if details is not None:
            self._settled[flag_key] = details
            return lambda _context, _now: details
        return generated_program(flag, self)

    def _carefully(self, flag_key: object, context: object, now: object) -> EvaluationDetails:
        try:
            flag = self.flag_set.flags.get(flag_key) if isinstance(flag_key, str) else None
            if flag is None:
                return _not_found(flag_key)
            details = settled(flag)
            if details is not None:
                return details
            try:
                attributes = plain_context(context)
            except Exception:  # noqa: BLE001  a caller's mapping may raise anything
                message = f"a context is a mapping, not {type(context).__name__}"
                return failing(flag.key, ErrorCode.INVALID_CONTEXT, message)
            seconds = seconds_of(now) if isinstance(now, dt.datetime) else now
            return careful_program(flag, self)(attributes, seconds)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  whatever came in, an answer goes out
            key = flag_key if isinstance(flag_key, str) else ""
            return failing(key, ErrorCode.GENERAL, f"{type(error).__name__} during evaluation")


class _Lazily(dict[str, Program]):
    """Programs by flag, made when first asked for; raises ``KeyError`` where there is no flag."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[str], Program]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, flag_key: str) -> Program:
        program = self[flag_key] = self._make(flag_key)
        return program


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
