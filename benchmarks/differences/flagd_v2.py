"""flagd with the older hash: core 1 and, before there was a core, the provider itself.

It needs an environment of its own, with ``openfeature-flagd-core<2``.
"""

from __future__ import annotations

from typing import Any

from differences.flagd import PACKAGES, contexts, document, installed, vendor
from flagstone.importers.flagd import convert as _convert
from flagstone.importers.result import ImportResult

__all__ = ["PACKAGES", "contexts", "convert", "document", "unfit", "vendor"]

HASH = "v2"


def convert(document: dict[str, Any]) -> ImportResult:
    """Import with the older hash."""
    return _convert(document, hash_version=HASH)


def unfit() -> str | None:
    """Return why the installed packages cannot be compared, or ``None`` if they can."""
    return installed(HASH)
