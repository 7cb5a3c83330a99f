"""The pytest plugin: fixtures and markers over :mod:`flagstone.testing.overrides`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import pytest

from flagstone.engine import Flag, FlagSet, FlagSetError
from flagstone.offline import FlagSource, read_flag_set
from flagstone.testing.overrides import Base, Flags

_INI = "flagstone_flag_set"
_FLAG = "flag(key, value=..., *, variant=...): let a flag serve one value or variant in this test"
_EVERY_VARIANT = (
    "every_variant(key, *, flag_set=None): run the test once for each variant of a flag; "
    "of the ini option flagstone_flag_set if no flag set is given"
)
_FLAG_SET = pytest.StashKey[FlagSet]()
_Choices = tuple[tuple[Flag, str], ...]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the project's flag set."""
    help_text = "JSON file with the flag set that tests start from (relative to the root folder)"
    parser.addini(_INI, help_text, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; with a flag set in the ini file, nobody talks to a service."""
    for marker in (_FLAG, _EVERY_VARIANT):
        config.addinivalue_line("markers", marker)
    named = config.getini(_INI)
    if named:
        path = config.rootpath / str(named)
        try:
            config.stash[_FLAG_SET] = read_flag_set(path)
        except (OSError, ValueError, FlagSetError) as error:
            raise pytest.UsageError(f"{_INI}: {path}: {error}") from error
        flags = Flags(config.stash[_FLAG_SET])
        # From here on: clients are often made while test modules are being imported.
        flags.install()
        config.add_cleanup(flags.uninstall)


@pytest.fixture
def flagstone_flag_set(pytestconfig: pytest.Config) -> Base:
    """Flag set that ``flagstone_flags`` starts from; define your own in ``conftest.py``.

    A flag set, its document, a path, or values by flag key.
    """
    return pytestconfig.stash.get(_FLAG_SET, None)


@pytest.fixture
def flagstone_flags(flagstone_flag_set: Base) -> Iterator[Flags]:
    """Override flags in this test, and assert what was exposed and tracked.

    Every client of the process is served from here until the end of the test.
    """
    with Flags(flagstone_flag_set) as flags:
        yield flags


@pytest.fixture
def flagstone_variants(_flagstone_marked: Mapping[str, str]) -> Mapping[str, str]:
    """Which variant each flag of ``every_variant`` serves in this run of the test."""
    return _flagstone_marked


@pytest.fixture(autouse=True)
def _flagstone_marked(request: pytest.FixtureRequest) -> Mapping[str, str]:
    choices: _Choices = getattr(request, "param", ())
    marks = list(request.node.iter_markers("flag"))
    if not choices and not marks:
        return {}
    flags: Flags = request.getfixturevalue("flagstone_flags")
    for flag, variant in choices:
        flags.pin(flag, variant)
    for mark in reversed(marks):  # the closest to the test comes first, and must win
        flags.override(*mark.args, **mark.kwargs)
    return {flag.key: variant for flag, variant in choices}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with markers ``every_variant`` once for each combination of variants."""
    flags: dict[str, Flag] = {}
    for mark in metafunc.definition.iter_markers("every_variant"):
        flag = _marked_flag(metafunc.config, *mark.args, **mark.kwargs)
        flags.setdefault(flag.key, flag)
    if not flags or "_flagstone_marked" not in metafunc.fixturenames:
        return
    each = [[(flag, variant) for variant in flag.variants] for flag in reversed(flags.values())]
    runs = list(itertools.product(*each))
    names = ["-".join(f"{flag.key}={variant}" for flag, variant in run) for run in runs]
    metafunc.parametrize("_flagstone_marked", runs, indirect=True, ids=names)


def _marked_flag(config: pytest.Config, key: str, flag_set: FlagSource | None = None) -> Flag:
    source: Any = config.stash.get(_FLAG_SET, None) if flag_set is None else flag_set
    if source is None:
        pytest.fail(f"every_variant({key!r}): no flag_set=… and no {_INI} in the ini file", False)
    if isinstance(source, (str, PathLike)):
        source = config.rootpath / source
    flag = read_flag_set(source).flags.get(key)
    if flag is None or not flag.variants:
        pytest.fail(f"every_variant({key!r}): the flag set has no such flag", False)
    return flag
