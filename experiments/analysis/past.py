"""What units did before their first exposure, all arms together: where marks and caps come from.

The past knows nothing of the treatment, so a mark that is read from it can neither hide an effect
nor make one up, whenever it is read.
"""

from __future__ import annotations

import math

import ibis

from experiments.analysis.definitions import AnalysisQuery
from experiments.analysis.units import COUNTED, Instants, exposed_units
from experiments.analysis.values import add_plainly, aggregate_part, events_of_units, parts
from stats.sums.histogram import BASE


def compile_past(
    exposures: ibis.Table, events: ibis.Table, query: AnalysisQuery, *, of_events: bool
) -> ibis.Table:
    """Write the histogram of what is above 0 among a metric's values before first exposures.

    Parameters
    ----------
    exposures, events : ibis.Table
        As in :func:`experiments.analysis.statement.analyse_tables`; ``events`` are the tracks, or
        the metric's own table.
    query : AnalysisQuery
        With that one metric, a mean or a count, and how far back it is read as its covariate.
    of_events : bool
        Whether each event has a value, or each unit.

    Returns
    -------
    ibis.Table
        Columns ``bucket, values``, the buckets of `stats.sums.histogram.LogHistogram`.
    """
    (metric,) = query.metrics
    instants = Instants.of(query)
    units = exposed_units(exposures, query, instants)
    counted = units.filter(units.status == COUNTED).select("unit", "entered")
    rows, _ = events_of_units(events, counted, query, [metric], instants)
    if of_events:
        now, _ = parts(metric)
        rows = rows.filter(now.counts(rows.name), rows.time < rows.entered)
        found = rows.select("value")
    else:
        _, before = parts(metric)
        value = aggregate_part(rows, before, add_plainly, has_past=True)
        found = rows.group_by("unit").aggregate(value=value).select("value")
    found = found.filter(found.value > 0)
    # A cast truncates here and rounds there: floor first.
    bucket = (found.value.cast("float64").ln() / math.log(BASE)).floor().cast("int64")
    return found.group_by(bucket=bucket).aggregate(values=found.count())
