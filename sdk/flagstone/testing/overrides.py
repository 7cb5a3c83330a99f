"""Flags in the hands of a test: what they serve, and what the code under test made of them."""

from __future__ import annotations

from os import PathLike
from types import TracebackType
from typing import Any, Final

from flagstone import substitute, values
from flagstone.engine import Always, CompiledFlagSet, Flag, FlagSet, Rule, Variant
from flagstone.engine.attributes import same
from flagstone.errors import OverrideError
from flagstone.offline import FlagSource, OfflineClient, read_flag_set
from flagstone.substitute import Substitute
from flagstone.testing.records import Exposure, Records, TrackedEvent

Base = FlagSource | None
"""A flag set, its document, a JSON file, or a mapping from flag keys to the values they serve."""

OVERRIDE: Final = "override"
_UNSET: Final = object()
_KINDS: Final[dict[type, str]] = {bool: "boolean", str: "string", int: "integer", float: "float"}


class Flags:
    """The flags of a test; inside ``with``, every client of the process is served from here.

    Clients that exist already and clients made inside are served alike, without a network: the
    code under test needs no change. Whoever hands clients in takes :attr:`client`, and needs no
    ``with``.

    Parameters
    ----------
    base : FlagSet, CompiledFlagSet, Mapping, path or None
        What to start from: a flag set, its document, a JSON file that holds it, or simply values
        by flag key; no flags if left out.

    Raises
    ------
    FlagSetError
        If a flag of ``base`` cannot be read.

    Examples
    --------
    >>> with Flags({"new-checkout": True}) as flags:
    ...     flags.client.get_boolean("new-checkout", {"targetingKey": "u1"}, False)
    ...     with flags.override("new-checkout", False):
    ...         flags.client.get_boolean("new-checkout", {"targetingKey": "u1"}, True)
    True
    False
    >>> flags.assert_exposed("new-checkout", unit="u1").variant
    'override'
    """

    def __init__(self, base: Base = None) -> None:
        self._base = _base_of(base)
        self._overrides: list[tuple[object, Flag]] = []
        self._records = Records()
        self.client: OfflineClient = _Steadfast(self._base, outbox=self._records.outbox)
        self._standing = self.client.as_substitute()

    # -- what is served -----------------------------------------------------------------------

    def override(self, key: str, value: object = _UNSET, *, variant: str | None = None) -> Override:
        """Let flag ``key`` serve one value, or one of its variants, to everybody.

        Parameters
        ----------
        key : str
            The flag. One that the base has not is made, with exposures.
        value : bool, str, int, float, list or dict
            What to serve; of the flag's type, if it is in the base.
        variant : str
            Or the key of a variant in the base.

        Returns
        -------
        Override
            Stays until the end of the flags, or of a ``with`` around it.

        Raises
        ------
        OverrideError
            If the flag cannot serve that: a test that passed would prove nothing.
        """
        if (value is _UNSET) == (variant is None):
            raise OverrideError(f"override {key!r} with a value or with variant=…, and not both")
        known = self._flag(key)
        if variant is not None:
            return self.pin(_existing(known, key), variant)
        if known is None:
            return self._enter(_serving(_flag_of(key, value), OVERRIDE))
        found = next((v.key for v in known.variants.values() if _equal(v.value, value)), None)
        return self._enter(
            _serving(*_with_value(known, value) if found is None else (known, found))
        )

    def pin(self, flag: Flag, variant: str) -> Override:
        """Let ``flag``, of whatever flag set, serve one of its variants to everybody."""
        if variant not in flag.variants:
            known = ", ".join(sorted(flag.variants))
            raise OverrideError(f"flag {flag.key!r} has no variant {variant!r}, only {known}")
        return self._enter(_serving(flag, variant))

    def serve(self, base: Base) -> None:
        """Start from other flags; overrides stay."""
        self._base = _base_of(base)
        self._changed()

    def variants(self, key: str) -> tuple[str, ...]:
        """Name the variants of a flag, in their order; an OverrideError without such a flag."""
        return tuple(_existing(self._flag(key), key).variants)

    def reset(self) -> None:
        """Take back every override, and forget exposures and events."""
        self._overrides.clear()
        self._records.clear()
        self._changed()

    # -- what the code under test did ---------------------------------------------------------

    @property
    def exposures(self) -> list[Exposure]:
        """The exposures so far, in order."""
        return list(self._records.exposures)

    @property
    def events(self) -> list[TrackedEvent]:
        """The tracking events so far, in order."""
        return list(self._records.events)

    @property
    def refused(self) -> int:
        """How many exposures and events could never be sent (no unit, a value that is none)."""
        return self._records.refused

    def assert_exposed(
        self, flag: str, *, unit: str | int | None = None, variant: str | None = None
    ) -> Exposure:
        """Return the first such exposure; an AssertionError says which there were instead."""
        __tracebackhide__ = True
        found = self._records.exposed(flag, unit, variant)
        if not found:
            wanted = _wording(unit=unit, variant=variant)
            seen = [
                f"{one.unit!r} met {one.variant!r}"
                for one in self._records.exposed(flag, None, None)
            ]
            raise AssertionError(f"no exposure of {flag!r}{wanted}; {_listing(seen)}")
        return found[0]

    def assert_not_exposed(
        self, flag: str, *, unit: str | int | None = None, variant: str | None = None
    ) -> None:
        """Raise an AssertionError if there was such an exposure."""
        __tracebackhide__ = True
        found = [
            f"{one.unit!r} met {one.variant!r}"
            for one in self._records.exposed(flag, unit, variant)
        ]
        if found:
            raise AssertionError(f"{flag!r} was exposed: {_listing(found)}")

    def assert_tracked(
        self, name: str, *, unit: str | int | None = None, value: float | None = None
    ) -> TrackedEvent:
        """Return the first such event; an AssertionError says which there were instead."""
        __tracebackhide__ = True
        found = self._records.tracked(name, unit, value)
        if not found:
            seen = [
                f"{one.name!r} of {one.unit!r}, value {one.value}" for one in self._records.events
            ]
            wanted = _wording(unit=unit, value=value)
            raise AssertionError(f"no event {name!r}{wanted}; {_listing(seen)}")
        return found[0]

    def assert_not_tracked(
        self, name: str, *, unit: str | int | None = None, value: float | None = None
    ) -> None:
        """Raise an AssertionError if there was such an event."""
        __tracebackhide__ = True
        found = [
            f"of {one.unit!r}, value {one.value}"
            for one in self._records.tracked(name, unit, value)
        ]
        if found:
            raise AssertionError(f"{name!r} was tracked: {_listing(found)}")

    # -- life ---------------------------------------------------------------------------------

    def install(self) -> None:
        """Serve every client of the process from here on; what ``with`` does."""
        substitute.install(self._standing)

    def uninstall(self) -> None:
        """Give every client back its own flags; harmless again."""
        substitute.remove(self._standing)

    def __enter__(self) -> Flags:
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()

    # -- inside -------------------------------------------------------------------------------

    def _flag(self, key: str) -> Flag | None:
        """Return the flag as it is without overrides, or as the first override made it."""
        made = (flag for _, flag in self._overrides if flag.key == key)
        return self._base.flags.get(key) or next(made, None)

    def _enter(self, flag: Flag) -> Override:
        token = object()
        self._overrides.append((token, flag))
        self._changed()
        return Override(self, token)

    def _undo(self, token: object) -> None:
        self._overrides = [one for one in self._overrides if one[0] is not token]
        self._changed()

    def _changed(self) -> None:
        served = self.client.flag_set
        overridden = {flag.key: flag for _, flag in self._overrides}
        self.client.serve(
            FlagSet(
                {**self._base.flags, **overridden},
                self._base.segments,
                self._base.environment,
                max(served.version, self._base.version) + 1,
            )
        )


class _Steadfast(OfflineClient):
    """The client of flags: it serves these, whatever else stands in for a service."""

    def follow(self, standing: Substitute | None) -> None:
        """Stay."""


class Override:
    """An override in force; as a context manager it ends with the block."""

    def __init__(self, flags: Flags, token: object) -> None:
        self._flags = flags
        self._token = token

    def undo(self) -> None:
        """Take it back; harmless again."""
        self._flags._undo(self._token)

    def __enter__(self) -> Override:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo()


def flags(base: Base = None) -> Flags:
    """Return :class:`Flags`; ``with flags({"key": True}) as f:`` reads well."""
    return Flags(base)


def _base_of(base: Base) -> FlagSet:
    if base is None:
        return FlagSet({})
    if isinstance(base, (FlagSet, CompiledFlagSet, str, PathLike)) or "flags" in base:
        return read_flag_set(base)
    made = {key: _serving(_flag_of(key, value), OVERRIDE) for key, value in base.items()}
    return FlagSet(made)


def _existing(flag: Flag | None, key: str) -> Flag:
    if flag is None:
        raise OverrideError(f"there is no flag {key!r} whose variants could be served")
    return flag


def _flag_of(key: str, value: object) -> Flag:
    """Make a flag of one value, with exposures."""
    if not isinstance(value, (bool, str, int, float, list, dict)):
        raise OverrideError(f"flag {key!r} cannot serve a {type(value).__name__}")
    kind = _KINDS.get(type(value), "object")
    rule = Rule(OVERRIDE, Always(), OVERRIDE, track=True)
    variants = {OVERRIDE: Variant(OVERRIDE, value, on=value is not False)}
    return Flag(key, kind, variants, rules=(rule,), default=OVERRIDE)


def _with_value(flag: Flag, value: Any) -> tuple[Flag, str]:
    """Give the flag one more variant, if its type allows."""
    if values.CONVERTERS[flag.type](value) is values.MISMATCH:
        article = "an" if flag.type[0] in "aeiou" else "a"
        raise OverrideError(
            f"flag {flag.key!r} is {article} {flag.type}, it cannot serve {value!r}"
        )
    variant = Variant(OVERRIDE, value, on=value is not False)
    more = {**flag.variants, OVERRIDE: variant}
    return Flag(flag.key, flag.type, more, rules=flag.rules, metadata=flag.metadata), OVERRIDE


def _serving(flag: Flag, variant: str) -> Flag:
    """Return the flag serving one variant to everybody; exposures stay as they were."""
    tracked = any(rule.track for rule in flag.rules)
    return Flag(
        flag.key,
        flag.type,
        flag.variants,
        rules=(Rule(OVERRIDE, Always(), variant, track=tracked),),
        default=variant,
        version=flag.version,
        client=flag.client,
        metadata=flag.metadata,
    )


def _equal(mine: object, wanted: object) -> bool:
    return type(mine) is type(wanted) and same(mine, wanted)


def _wording(**wanted: object) -> str:
    said = [f"{name} {value!r}" for name, value in wanted.items() if value is not None]
    return f" with {' and '.join(said)}" if said else ""


def _listing(seen: list[str]) -> str:
    if not seen:
        return "there were none at all"
    more = f" and {len(seen) - 10} more" if len(seen) > 10 else ""
    return "; ".join(seen[:10]) + more
