"""Other products' Python SDKs, offline, asked the same questions.

Each module has ``DISTRIBUTION`` (what to install) and ``engine(question) -> Engine``. An SDK that
evaluates all flags at once gets the asked one alone. Contexts are built beforehand wherever the SDK
lets its user build them; what only an SDK can build (per call) is measured with it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

NAMES = (
    "eppo", "statsig", "growthbook", "launchdarkly", "unleash",
    "flagsmith", "posthog", "flagd", "configcat",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Engine:
    """One SDK with its flags loaded, ready for one question.

    ``calls`` are the evaluations of every person in turn, as ``(function, arguments)``;
    ``answer`` reads a boolean from what the function returns.
    """

    function: Callable[..., Any]
    arguments: list[tuple[Any, ...]]
    close: Callable[[], object] = lambda: None
    answer: Callable[[Any], bool] = bool


class NotMeasurableError(Exception):
    """The SDK cannot be asked this question; the message says why."""


def available() -> Iterator[tuple[str, str, ModuleType]]:
    """Yield name, distribution with version, and module of each peer that is installed."""
    for name in NAMES:
        module = importlib.import_module(f"web.bench.peers.{name}")
        try:
            version = importlib.metadata.version(module.DISTRIBUTION)
        except importlib.metadata.PackageNotFoundError:
            continue
        yield name, f"{module.DISTRIBUTION} {version}", module


def load(name: str) -> Any:
    """Import a peer's package, which has no types of ours and may be absent."""
    return importlib.import_module(name)
