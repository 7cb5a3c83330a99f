"""Golden methods as functions of ours: ``TOPICS`` of each module, by topic."""

from __future__ import annotations

from benchmarks.methods import (
    adjusted,
    anytime,
    beliefs,
    decision,
    distributions,
    families,
    planned,
    planning,
    sequential,
)
from benchmarks.methods.common import Topics

TOPICS: Topics = {
    **planned.TOPICS,
    **adjusted.TOPICS,
    **sequential.TOPICS,
    **anytime.TOPICS,
    **beliefs.TOPICS,
    **decision.TOPICS,
    **distributions.TOPICS,
    **families.TOPICS,
    **planning.TOPICS,
}
"""The only place that maps a golden topic to our functions."""
