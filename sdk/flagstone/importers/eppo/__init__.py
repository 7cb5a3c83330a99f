"""Eppo: the universal flag configuration, as its servers give it to SDKs that run on servers.

The subject's key is ``targetingKey``; an attribute ``id`` that is not there is the subject's key
too. The measure is Eppo's Rust core, which its SDKs for Python, Ruby, Elixir and .NET share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from flagstone.importers.adding import Carried, add
from flagstone.importers.eppo.flags import flag_document
from flagstone.importers.result import (
    CannotCarryError,
    ImportFileError,
    ImportResult,
    whole_file,
)

_HINT: Final = "fetch flag-config/v1/config with the SDK key of a server"


def convert(document: Any) -> ImportResult:
    """Turn a universal flag configuration into flags.

    Parameters
    ----------
    document : mapping
        What ``flag-config/v1/config`` answers to the SDK key of a server.

    Returns
    -------
    ImportResult
        The flags that can be carried exactly; the others are refused by name.

    Raises
    ------
    ImportFileError
        If it is no such configuration, or an obfuscated or precomputed one.
    """
    whole = whole_file(document)
    _refuse_other_forms(whole)
    flags = whole.get("flags")
    if not isinstance(flags, Mapping):
        raise ImportFileError("there must be an object of flags", "flags", _HINT)
    result = ImportResult()
    bandits = dict(_bandits(whole))
    for key, flag in flags.items():
        add(result, key, partial(_carried, key, flag, bandits))
    return result


def _carried(key: str, flag: object, bandits: Mapping[str, str]) -> Carried:
    if key in bandits:
        raise CannotCarryError(f"the bandit {bandits[key]!r} chooses for it by a model")
    return Carried(*flag_document(key, flag))


def _refuse_other_forms(whole: Mapping[str, Any]) -> None:
    form = whole.get("format")
    if form == "PRECOMPUTED" or "precomputed" in whole:
        raise ImportFileError("the configuration is precomputed for one subject", "format", _HINT)
    if form == "CLIENT" or whole.get("obfuscated") is True:
        message = "the configuration is obfuscated: its names and values are hashes"
        raise ImportFileError(message, "format", _HINT)


def _bandits(whole: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each flag that a bandit chooses for, with the bandit; in either form of the file."""
    for name in ("bandits", "banditReferences"):
        bandits = whole.get(name)
        for bandit, uses in bandits.items() if isinstance(bandits, Mapping) else ():
            if isinstance(uses, Mapping):
                uses = uses.get("flagVariations")
            for use in uses if isinstance(uses, list) else ():
                if isinstance(use, Mapping) and isinstance(use.get("flagKey"), str):
                    yield use["flagKey"], str(bandit)
