"""The question itself: which variant does a flag serve in a context, and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from flagstone.engine.compile import CompiledFlagSet, compile_flag_set
from flagstone.engine.details import ErrorCode, EvaluationDetails, failing
from flagstone.engine.errors import FlagSetError
from flagstone.engine.model import FlagSet
from flagstone.engine.parse import parse_flag_set
from flagstone.engine.times import seconds_of


def evaluate(
    flag_set: FlagSet | CompiledFlagSet | Mapping[str, Any],
    key: str,
    context: Mapping[str, Any],
    now: float | dt.datetime,
) -> EvaluationDetails:
    """Return the variant of ``key`` in ``context`` at ``now``, and why.

    Total: any key and any context give an answer; nothing raises.
    Pure: equal arguments give equal answers, in every process and language.

    Parameters
    ----------
    flag_set : FlagSet, CompiledFlagSet or mapping
        A document is read anew (leniently) each time; parse it once to be quick.
    key : str
        The flag to evaluate.
    context : mapping
        Attributes by name; the unit is ``context["targetingKey"]``.
    now : float or datetime
        POSIX seconds, or a datetime (without a zone it is UTC).

    Returns
    -------
    EvaluationDetails
        Value, variant and reason; ``variant`` is ``None`` where the caller's default applies.
    """
    try:
        compiled, seconds = prepare(flag_set, now)
    except FlagSetError as error:
        return failing(key, ErrorCode.PARSE_ERROR, str(error))
    except Exception as error:  # noqa: BLE001  whatever came in, an answer goes out
        return failing(key, ErrorCode.GENERAL, f"{type(error).__name__} before evaluation")
    return compiled.evaluate(key, context, seconds)


def prepare(
    flag_set: FlagSet | CompiledFlagSet | Mapping[str, Any], now: float | dt.datetime
) -> tuple[CompiledFlagSet, float]:
    """Bring the flag set and the time into the form that evaluation wants."""
    seconds = now if type(now) is float else float(seconds_of(now))
    if isinstance(flag_set, CompiledFlagSet):
        return flag_set, seconds
    if not isinstance(flag_set, FlagSet):
        return compile_flag_set(parse_flag_set(flag_set, strict=False)), seconds
    if flag_set._compiled is None:
        object.__setattr__(flag_set, "_compiled", compile_flag_set(flag_set))
    compiled: CompiledFlagSet = flag_set._compiled
    return compiled, seconds
