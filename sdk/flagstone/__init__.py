"""Flagstone's SDK: feature flags evaluated in this process, exposures and events sent home.

``flagstone.engine`` is the pure evaluator, which the service uses too; :class:`Client` keeps a flag
set fresh around it. Each name loads its module when it is first used: who needs the engine only
does not load the client, and nobody loads TLS before the first request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flagstone.version import __version__

if TYPE_CHECKING:
    from flagstone.client import Client
    from flagstone.engine import (
        CompiledFlagSet,
        ErrorCode,
        EvaluationDetails,
        Explanation,
        Flag,
        FlagSet,
        FlagSetError,
        Reason,
        Rule,
        Split,
        Variant,
        bucket,
        classify,
        compare,
        compile_flag_set,
        explain,
        parse_condition,
        parse_flag,
        parse_flag_set,
        to_document,
    )
    from flagstone.errors import ConfigurationError, FlagstoneClientError
    from flagstone.evaluation import evaluate
    from flagstone.offline import OfflineClient
    from flagstone.status import Status
    from flagstone.store import Contact, FlagsChanged
    from flagstone.timing import Timing

__all__ = [
    "Client",
    "CompiledFlagSet",
    "ConfigurationError",
    "Contact",
    "ErrorCode",
    "EvaluationDetails",
    "Explanation",
    "Flag",
    "FlagSet",
    "FlagSetError",
    "FlagsChanged",
    "FlagstoneClientError",
    "OfflineClient",
    "Reason",
    "Rule",
    "Split",
    "Status",
    "Timing",
    "Variant",
    "__version__",
    "bucket",
    "classify",
    "compare",
    "compile_flag_set",
    "evaluate",
    "explain",
    "parse_condition",
    "parse_flag",
    "parse_flag_set",
    "to_document",
]

_HOME = {
    "Client": "flagstone.client",
    "ConfigurationError": "flagstone.errors",
    "Contact": "flagstone.store",
    "FlagsChanged": "flagstone.store",
    "FlagstoneClientError": "flagstone.errors",
    "OfflineClient": "flagstone.offline",
    "Status": "flagstone.status",
    "Timing": "flagstone.timing",
    "evaluate": "flagstone.evaluation",
}


def __getattr__(name: str) -> object:
    """Load a name of ``__all__`` from where it lives; all but a few live in the engine."""
    if name not in __all__:
        raise AttributeError(f"module 'flagstone' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_HOME.get(name, "flagstone.engine"))
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
