"""What an effect is worth: break-even and net benefit against doing nothing, exact to the cent.

EXPERIMENTS.md §1, with ``v`` the value of one unit of the metric and ``U`` the units a month::

    He = Σ_{m=1..H} 0.5^(m / half_life)        (H without a half-life)
    d* = ((run + support)·H + cleanup) / (v · U · He)
    NB(d) = v·U·He·d − (run + support)·H − cleanup

Amounts are whole cents (hundredths of any currency). Everything in between is decimal arithmetic of
34 digits; a result is rounded once, at its end, half to even. What the change has cost to build is
sunk: it is shown, and no formula here has it.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from experiments.contract.document import Reader

DO_NOTHING = "do nothing"
DAYS_PER_MONTH = 30.4375
MOST_CENTS = 10**15
"""No plan is worth more, and no entry holds more: a column could hold ten thousand times it."""

_EXACT = decimal.Context(prec=34, rounding=decimal.ROUND_HALF_EVEN)
_LONGEST_HORIZON = 120
_MOST = 1e12
_COSTS = ("run_per_month", "support_per_month", "cleanup", "build")


@dataclass(frozen=True)
class Worth:
    """An amount with its bounds, in cents; ``None`` where the effect has no bound."""

    likely: int
    low: int | None
    high: int | None


@dataclass(frozen=True)
class Value:
    """What the plan says about money: the ``[value]`` table.

    Parameters
    ----------
    low, likely, high : Decimal
        Value of one unit of the first success metric (one conversion, one unit of a mean).
    units_per_month : Decimal
        Units that meet the change in a month once it is shipped to all.
    run, support : int
        Cents a month; ``cleanup`` and ``build``: cents, once.
    half_life_months : Decimal, optional
        After so many months an effect is half as large; ``None``: it does not wear off.
    expected_effect : float, optional
        What its author expects, relative to control, in the good direction; the ledger holds it
        against what was proven and realised. ``None``: the MDE.
    """

    low: Decimal
    likely: Decimal
    high: Decimal
    units_per_month: Decimal
    horizon_months: int
    run: int = 0
    support: int = 0
    cleanup: int = 0
    build: int = 0
    half_life_months: Decimal | None = None
    currency: str = "EUR"
    expected_effect: float | None = None

    @property
    def monthly_costs(self) -> int:
        """Give what it costs to have the change, in cents a month."""
        return self.run + self.support

    @property
    def costs(self) -> int:
        """Give what shipping costs over the horizon, in cents."""
        return self.monthly_costs * self.horizon_months + self.cleanup

    @property
    def effective_months(self) -> Decimal:
        """Give ``He``: the months of a full effect that the horizon is worth."""
        return months_of_effect(Decimal(self.horizon_months), self.half_life_months)

    @property
    def break_even(self) -> float:
        """Give ``d*``: the absolute effect, in the good direction, whose net benefit is zero."""
        with decimal.localcontext(_EXACT):
            per_effect = self.likely * self.units_per_month * self.effective_months
            return float(Decimal(self.costs) / 100 / per_effect)

    def gross(self, effect: float, months: Decimal | None = None) -> Worth:
        """Value an effect (in the good direction) over the horizon, or over its first ``months``.

        ``low`` and ``high`` come from the bounds of the value of one unit.
        """
        with decimal.localcontext(_EXACT):
            reach = Decimal(self.horizon_months) if months is None else months
            each = decimal_of(effect) * self.units_per_month
            each *= months_of_effect(reach, self.half_life_months)
            amounts = [cents(each * value) for value in (self.low, self.high)]
            return Worth(cents(each * self.likely), min(amounts), max(amounts))

    def net_benefit(self, effect: float) -> int:
        """Give ``NB(effect)`` in cents, at the likely value; the effect in the good direction."""
        return self.gross(effect).likely - self.costs

    def net_benefits(self, effect: float, low: float | None, high: float | None) -> Worth:
        """Give the net benefit of an effect and of the ends of its interval.

        The lower end takes the worse value of one unit, the upper end the better one.
        """
        least = None if low is None else self.gross(low).low
        most = None if high is None else self.gross(high).high
        return Worth(
            self.net_benefit(effect),
            None if least is None else least - self.costs,
            None if most is None else most - self.costs,
        )

    def to_document(self) -> dict[str, Any]:
        """Give the table as plain data; :func:`read_value` reads the same back."""
        one = self.low == self.likely == self.high
        three = {name: plain_number(getattr(self, name)) for name in ("low", "likely", "high")}
        document: dict[str, Any] = {
            "per_unit": three["likely"] if one else three,
            "eligible_units_per_month": plain_number(self.units_per_month),
            "horizon_months": self.horizon_months,
            "currency": self.currency,
        }
        amounts = (self.run, self.support, self.cleanup, self.build)
        for name, amount in zip(_COSTS, amounts, strict=True):
            if amount:
                document[name] = plain_number(Decimal(amount) / 100)
        if self.half_life_months is not None:
            document["half_life_months"] = plain_number(self.half_life_months)
        if self.expected_effect is not None:
            document["expected_effect"] = self.expected_effect
        return document


def read_value(reader: Reader) -> Value | None:
    """Read a plan's ``[value]`` table; ``None`` when it says nothing about money.

    Raises
    ------
    PlanError
        If a value is not positive, a cost negative or not in whole cents, or the bounds are out of
        order.
    """
    if not reader.has("value"):
        return None
    table = Reader(reader.take("value"), reader.name("value"))
    low, likely, high = _read_per_unit(table)
    units_hint = "the units that would meet the change in a month, such as 120000"
    horizon = table.integer("horizon_months", 12, least=1)
    if horizon > _LONGEST_HORIZON:
        raise table.fault("horizon_months", f"is more than {_LONGEST_HORIZON}", "ten years at most")
    half_life = table.number("half_life_months", None, above=0, most=_MOST)
    run, support, cleanup, build = (_read_cents(table, name) for name in _COSTS)
    value = Value(
        low=low,
        likely=likely,
        high=high,
        units_per_month=decimal_of(
            table.number("eligible_units_per_month", above=0, most=_MOST, hint=units_hint)
        ),
        horizon_months=horizon,
        run=run,
        support=support,
        cleanup=cleanup,
        build=build,
        half_life_months=None if half_life is None else decimal_of(half_life),
        currency=_read_currency(table),
        expected_effect=table.number("expected_effect", None, above=0, most=100),
    )
    table.finish()
    if value.gross(1.0).high == MOST_CENTS or value.costs > MOST_CENTS:
        raise reader.fault("value", "adds up to more than can be counted", "check the amounts")
    return value


def read_alternatives(reader: Reader) -> tuple[str, ...]:
    """Read what else could be done; the first is always to do nothing, and need not be said."""
    given = reader.take("alternatives", None)
    if given is None:
        return ()
    hint = f'such as ["{DO_NOTHING}", "a banner instead"]'
    if not isinstance(given, list | tuple) or not all(
        isinstance(each, str) and each.strip() for each in given
    ):
        raise reader.fault("alternatives", "must be a list of texts", hint)
    names = [each.strip() for each in given]
    others = [each for each in names if each.casefold() != DO_NOTHING]
    if names and len(others) < len(names) and names[0].casefold() != DO_NOTHING:
        raise reader.fault("alternatives", f"name {DO_NOTHING!r} later than first", hint)
    if len({each.casefold() for each in names}) < len(names):
        raise reader.fault("alternatives", "say the same twice", hint)
    return (DO_NOTHING, *others)


@functools.lru_cache(maxsize=4096)
def months_of_effect(months: Decimal, half_life: Decimal | None) -> Decimal:
    """Give how many months of a full effect that many months are worth; a part counts in part."""
    if half_life is None:
        return months
    with decimal.localcontext(_EXACT):
        whole = int(months)
        # The sum of a geometric series, so that centuries cost no more than months.
        ratio = _left_after(1, half_life)
        total = ratio * (1 - _left_after(whole, half_life)) / (1 - ratio)
        return total + (months - whole) * _left_after(whole + 1, half_life)


def _left_after(months: int, half_life: Decimal) -> Decimal:
    return _EXACT.power(Decimal("0.5"), Decimal(months) / half_life)


def months_between(seconds: float, day_seconds: float = 86400.0) -> Decimal:
    """Give a stretch of time in months of 30.4375 days (of the policy's length)."""
    with decimal.localcontext(_EXACT):
        return decimal_of(max(0.0, seconds)) / (
            decimal_of(DAYS_PER_MONTH) * decimal_of(day_seconds)
        )


def decimal_of(number: float) -> Decimal:
    """Read a number as the decimal that it is written as: 0.9 is nine tenths exactly."""
    return Decimal(repr(number))


def cents(amount: Decimal) -> int:
    """Round an amount to the cent, half to even; what cannot be counted stops at the limit."""
    with decimal.localcontext(_EXACT):
        scaled = min(max(amount * 100, Decimal(-MOST_CENTS)), Decimal(MOST_CENTS))
        return int(scaled.to_integral_value(decimal.ROUND_HALF_EVEN))


def money_text(amount: int, currency: str) -> str:
    """Write cents for people: ``5,364.00 EUR``, ``−12.50 EUR``."""
    whole, rest = divmod(abs(amount), 100)
    return f"{'−' if amount < 0 else ''}{whole:,}.{rest:02d} {currency}"


def plain_number(number: Decimal) -> int | float:
    """Give a decimal as JSON writes it: whole where it is whole."""
    return int(number) if number == number.to_integral_value() else float(number)


def _read_per_unit(table: Reader) -> tuple[Decimal, Decimal, Decimal]:
    hint = "what one unit of the success metric is worth: 0.90, or { low, likely, high }"
    given = table.take("per_unit", hint=hint)
    if not isinstance(given, Mapping):
        one = Reader({"per_unit": given}, table.path)
        likely = decimal_of(one.number("per_unit", above=0, most=1e9, hint=hint))
        return likely, likely, likely
    bounds = Reader(given, table.name("per_unit"))
    least, likeliest, most = (
        bounds.number(name, above=0, most=1e9, hint=hint) for name in ("low", "likely", "high")
    )
    bounds.finish()
    if not least <= likeliest <= most:
        raise table.fault("per_unit", "is out of order", "low, likely and high must grow")
    return decimal_of(least), decimal_of(likeliest), decimal_of(most)


def _read_cents(table: Reader, name: str) -> int:
    amount = decimal_of(table.number(name, 0.0, least=0, most=_MOST)) * 100
    if amount != amount.to_integral_value():
        raise table.fault(name, "is not in whole cents", "two digits after the point at most")
    return int(amount)


def _read_currency(table: Reader) -> str:
    currency = table.text("currency", "EUR")
    if len(currency) > 8 or not currency.isprintable() or " " in currency:
        raise table.fault("currency", f"is {currency[:20]!r}", 'a short name, such as "EUR"')
    return currency
