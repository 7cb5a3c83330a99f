"""``flagstone.evaluate``: the engine's pure function, with the clock of this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flagstone import engine


def evaluate(
    flag_set: engine.FlagSet | engine.CompiledFlagSet | Mapping[str, Any],
    key: str,
    context: Mapping[str, Any],
    now: float | datetime | None = None,
) -> engine.EvaluationDetails:
    """Return what flag ``key`` gives in ``context``, and why.

    Parameters
    ----------
    flag_set : FlagSet, CompiledFlagSet or Mapping
        The flags of an environment; compile a document once if you evaluate often.
    key : str
        The flag's key.
    context : Mapping
        Attributes; ``context["targetingKey"]`` is the unit.
    now : float or datetime, optional
        POSIX seconds, or an aware datetime; this machine's clock if left out.

    Returns
    -------
    EvaluationDetails
        Always: nothing raises. ``variant`` is None where the caller's default applies.

    Examples
    --------
    >>> evaluate({"schema": 1, "flags": {}}, "checkout", {}).error_code.value
    'FLAG_NOT_FOUND'
    """
    return engine.evaluate(flag_set, key, context, time.time() if now is None else now)
