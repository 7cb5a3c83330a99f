"""Flags in tests: override them, go through every variant, and assert what was exposed.

With pytest this module is a plugin (fixtures ``flagstone_flags``, ``flagstone_flag_set`` and
``flagstone_variants``, markers ``flag`` and ``every_variant``). Without pytest :func:`flags` and
:class:`OfflineClient` do the same work, and pytest need not be installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flagstone.errors import OverrideError
from flagstone.offline import FlagSource, OfflineClient
from flagstone.testing.overrides import Flags, Override, flags
from flagstone.testing.records import Exposure, TrackedEvent

if TYPE_CHECKING:
    import pytest

try:
    # Their names here are what makes this module a plugin.
    from flagstone.testing.plugin import (  # noqa: F401
        _flagstone_marked,
        flagstone_flag_set,
        flagstone_flags,
        flagstone_variants,
        pytest_addoption,
        pytest_configure,
        pytest_generate_tests,
    )
except ModuleNotFoundError as error:
    if error.name != "pytest":
        raise

__all__ = [
    "Exposure",
    "Flags",
    "OfflineClient",
    "Override",
    "OverrideError",
    "TrackedEvent",
    "every_variant",
    "flags",
]


def every_variant(flag_set: FlagSource, key: str) -> pytest.MarkDecorator:
    """Return a marker that runs a test once for each variant of a flag.

    Parameters
    ----------
    flag_set : FlagSet, CompiledFlagSet, Mapping or path
        Where the flag is.
    key : str
        The flag's key; markers of several flags give every combination.

    Examples
    --------
    ::

        @every_variant("flags.json", "checkout-v2")
        def test_checkout_shows_the_total(flagstone_variants): ...
    """
    import pytest

    return pytest.mark.every_variant(key, flag_set=flag_set)
