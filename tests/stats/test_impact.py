"""Cumulative impact: what adds, and what does not average out."""

from __future__ import annotations

import math

import pytest

from stats import ParameterError, cumulative_impact, random_effects


def test_effects_add_with_their_populations_and_variances_too() -> None:
    both = cumulative_impact([0.1, -0.05], [0.01, 0.02], [1000, 2000])
    assert both.total == pytest.approx(0.0)
    assert both.sd == pytest.approx(math.hypot(10, 40))
    assert both.high == pytest.approx(1.959963984540054 * both.sd)


def test_what_all_effects_have_in_common_does_not_average_out() -> None:
    """One mean was estimated for all: its error is made in every experiment at once."""
    past = random_effects([0.02] * 10, [0.01] * 10)
    whole = cumulative_impact(past.shrunk, past.shrunk_sd, [100] * 10, shared_sds=past.shared_sd)
    assert whole.sd == pytest.approx(1000 * past.se)
    apart = cumulative_impact(past.shrunk, past.shrunk_sd, [100] * 10)
    assert apart.sd == pytest.approx(1000 * past.se / math.sqrt(10))


def test_nobody_exposed_is_no_impact() -> None:
    nothing = cumulative_impact([0.1], [0.01], [0])
    assert (nothing.total, nothing.sd, nothing.low, nothing.high) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("effects", "sds", "exposed", "shared"),
    [
        ([], [], [], None),
        ([0.1], [0.1, 0.2], [1], None),
        ([math.nan], [0.1], [1], None),
        ([0.1], [-0.1], [1], None),
        ([0.1], [math.inf], [1], None),
        ([0.1], [0.1], [-1], None),
        ([0.1], [0.1], [math.inf], None),
        ([0.1], [0.1], [1], [0.2]),
        ([0.1], [0.1], [1], []),
    ],
)
def test_impossible_sums_are_refused(
    effects: list, sds: list, exposed: list, shared: list | None
) -> None:
    with pytest.raises(ParameterError):
        cumulative_impact(effects, sds, exposed, shared_sds=shared)
