"""A histogram whose buckets were fixed before any data: quantiles that merge by adding.

Bucket ``i`` holds ``1.01**i <= x < 1.01**(i + 1)``, for every metric, arm and day alike, so two
histograms add bucket by bucket. Zero has a place of its own, and a negative value lies in the
mirror image of its size's bucket. The same place in SQL, with ``ln`` the natural logarithm::

    sign(x), floor(ln(abs(x)) / ln(1.01))      -- of x <> 0; zeros are counted apart

A value within rounding of a bucket's edge may fall to either side of it, in SQL as here: the error
of a quantile is then still half a bucket.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.errors import MomentsError, ParameterError

#: Ratio of a bucket's upper edge to its lower one.
BASE = 1.01
#: Largest error of a value read from the histogram, as a share of the value.
RELATIVE_ERROR = (BASE - 1) / (BASE + 1)

_LOG_BASE = math.log(BASE)
# With it in the place of a value, the error is the same at both edges of the bucket.
_MIDDLE = 2 * BASE / (BASE + 1)
_LARGEST = float(np.finfo(np.float64).max)
# Every finite float lies between these buckets; a document may name no others.
_FIRST, _LAST = -74_900, 71_400
_SCHEMA = "log-histogram/1"

Array = NDArray[np.float64]
Buckets = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LogHistogram:
    """Counts of values by size, in buckets of one per cent [1]_.

    Parameters
    ----------
    positive, negative : tuple of (int, int)
        Bucket and count, by rising bucket, counts above zero: of the values above zero, and of the
        sizes of those below.
    zeros : int
        Values that are zero.

    Raises
    ------
    MomentsError
        If a count is not a positive integer, or buckets repeat, fall or hold no finite number.

    Notes
    -----
    Additive: ``a + b`` is the histogram of both samples together, exactly. A quantile read from it
    is within ``RELATIVE_ERROR`` (0.498 %) of the sample's own.

    References
    ----------
    .. [1] C. Masson, J. E. Rim, H. K. Lee, "DDSketch", PVLDB 12, 2195-2205 (2019), section 2.
       :doi:`10.14778/3352063.3352135`. There small buckets collapse; here none ever does, since
       what merges must not depend on what was merged before.

    Examples
    --------
    >>> monday, tuesday = LogHistogram.of([120, 80, 0]), LogHistogram.of([95, 3000])
    >>> week = monday + tuesday
    >>> week.n, round(week.quantile(0.5), 1)
    (5, 94.8)
    """

    positive: Buckets = ()
    negative: Buckets = ()
    zeros: int = 0

    def __post_init__(self) -> None:
        for buckets in (self.positive, self.negative):
            places = [place for place, _ in buckets]
            if not all(_is_integer(part) for bucket in buckets for part in bucket):
                raise MomentsError("buckets and their counts must be integers")
            if any(a >= b for a, b in pairwise(places)):
                raise MomentsError("buckets must rise, each named once")
            if places and not (places[0] >= _FIRST and places[-1] <= _LAST):
                raise MomentsError("a bucket lies beyond every finite number")
            if any(count <= 0 for _, count in buckets):
                raise MomentsError("a bucket's count must be above 0")
        if not _is_integer(self.zeros) or self.zeros < 0:
            raise MomentsError(f"zeros is {self.zeros!r}: it must be an integer, not negative")

    def __add__(self, other: Self) -> LogHistogram:
        if not isinstance(other, LogHistogram):
            return NotImplemented
        return LogHistogram(
            _merged(self.positive, other.positive),
            _merged(self.negative, other.negative),
            self.zeros + other.zeros,
        )

    @classmethod
    def of(cls, values: ArrayLike) -> LogHistogram:
        """Count raw values.

        Raises
        ------
        MomentsError
            If a value is NaN or infinite.
        """
        x = np.asarray(values, dtype=float).ravel()
        if not np.isfinite(x).all():
            raise MomentsError("a value is NaN or infinite: it has no bucket")
        return cls(
            _counted(x[x > 0]),
            _counted(-x[x < 0]),
            int(np.count_nonzero(x == 0)),
        )

    @classmethod
    def merged(cls, parts: Iterable[LogHistogram]) -> LogHistogram:
        """Add any number of histograms at once; without any, the empty one."""
        total = cls()
        for part in parts:
            total = total + part
        return total

    @property
    def n(self) -> int:
        """Values counted."""
        return self.zeros + self._below_zero + sum(count for _, count in self.positive)

    def quantile(self, p: float) -> float:
        """Read the smallest value with at least the share ``p`` of all values at or below it.

        Raises
        ------
        ParameterError
            If ``p`` is outside [0, 1].
        MomentsError
            If the histogram is empty.
        """
        if not 0 <= p <= 1:
            raise ParameterError(f"quantile is {p}: it must lie between 0 and 1")
        # 0.07 * 100 is a little above 7 in floating point, and must not become the eighth value.
        return self.order_statistic(max(1, math.ceil(p * self.n * (1 - 1e-12))))

    def order_statistic(self, rank: int) -> float:
        """Read the value of ``rank``, counted from 1 at the smallest, within `RELATIVE_ERROR`.

        Raises
        ------
        MomentsError
            If no value has that rank.
        """
        place = self._place(rank)
        if place == self._zero_place:
            return 0.0
        low, high = float(self._edges[place, 0]), float(self._edges[place, 1])
        return min(low * _MIDDLE, _LARGEST) if low > 0 else max(high * _MIDDLE, -_LARGEST)

    def order_statistic_bounds(self, rank: int) -> tuple[float, float]:
        """Return the edges of the bucket that holds the value of ``rank``.

        Raises
        ------
        MomentsError
            If no value has that rank.
        """
        low, high = self._edges[self._place(rank)]
        return float(low), float(high)

    def count_below(self, value: float) -> float:
        """Count the values below ``value``.

        Returns
        -------
        float
            Exact but for the bucket of ``value`` itself, whose values are taken as spread evenly
            in the logarithm: wrong by less than that bucket's count.

        Raises
        ------
        ParameterError
            If ``value`` is NaN.
        """
        if math.isnan(value):
            raise ParameterError("value is NaN: nothing lies below it")
        if not self._counts.size or value == -math.inf:
            return 0.0
        # Edges are computed, and two neighbours may overlap in the last digit; order stays.
        place = int(np.searchsorted(self._edges[:, 0], value, side="left")) - 1
        if place < 0:
            return 0.0
        before = int(self._cumulative[place] - self._counts[place])
        low, high = float(self._edges[place, 0]), float(self._edges[place, 1])
        if value >= high or place == self._zero_place:
            return float(before + self._counts[place])
        share = (
            math.log(value / low) / _LOG_BASE
            if low > 0
            else 1 - (math.log(value / high) / _LOG_BASE)
        )
        return before + min(1.0, max(0.0, share)) * float(self._counts[place])

    def without_zeros(self) -> LogHistogram:
        """Leave the zeros out: the values of units that did anything at all."""
        return LogHistogram(self.positive, self.negative)

    def cells(self) -> tuple[Array, NDArray[np.int64]]:
        """Return a value for each bucket, rising, and the count of each bucket.

        Returns
        -------
        tuple of ndarray, shape (k,)
            Each value stands for its bucket within `RELATIVE_ERROR`.
        """
        low, high = self._edges[:, 0], self._edges[:, 1]
        with np.errstate(over="ignore"):
            inner = np.where(low > 0, low, high) * _MIDDLE
        values: Array = np.where(low == high, 0.0, np.clip(inner, -_LARGEST, _LARGEST))
        return values, self._counts.copy()

    def document(self) -> dict[str, object]:
        """Write as plain JSON values; `parse` reads it back."""
        return {
            "schema": _SCHEMA,
            "zeros": self.zeros,
            "positive": [list(bucket) for bucket in self.positive],
            "negative": [list(bucket) for bucket in self.negative],
        }

    @classmethod
    def parse(cls, document: Mapping[str, object]) -> LogHistogram:
        """Read what `document` wrote.

        Raises
        ------
        MomentsError
            If it is of another schema, or no histogram.
        """
        if document.get("schema") != _SCHEMA:
            raise MomentsError(f"schema is {document.get('schema')!r}, not {_SCHEMA!r}")
        zeros = document.get("zeros")
        if not isinstance(zeros, int):
            raise MomentsError(f"zeros is {zeros!r}: it must be an integer")
        return cls(_parsed(document.get("positive")), _parsed(document.get("negative")), zeros)

    @cached_property
    def _below_zero(self) -> int:
        return sum(count for _, count in self.negative)

    @cached_property
    def _zero_place(self) -> int:
        return len(self.negative) if self.zeros else -1

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        counts = [count for _, count in reversed(self.negative)]
        counts += [self.zeros] if self.zeros else []
        counts += [count for _, count in self.positive]
        return np.array(counts, dtype=np.int64)

    @cached_property
    def _cumulative(self) -> NDArray[np.int64]:
        return np.cumsum(self._counts)

    @cached_property
    def _edges(self) -> Array:
        negative = _edges(self.negative)[::-1, ::-1]
        zero = np.zeros((1 if self.zeros else 0, 2))
        return np.concatenate([-negative, zero, _edges(self.positive)])

    def _place(self, rank: int) -> int:
        if not 1 <= rank <= self.n:
            raise MomentsError(f"{self.n} values: there is none of rank {rank}")
        return int(np.searchsorted(self._cumulative, rank, side="left"))


def bucket_of(sizes: ArrayLike) -> NDArray[np.int64]:
    """Find the bucket of each positive number: ``floor(ln(x) / ln(1.01))``."""
    buckets: NDArray[np.int64] = np.floor(np.log(np.asarray(sizes)) / _LOG_BASE).astype(np.int64)
    return buckets


def _edges(buckets: Buckets) -> Array:
    places = np.array([place for place, _ in buckets], dtype=float)
    with np.errstate(over="ignore"):
        edges = np.exp(np.stack([places, places + 1], axis=-1) * _LOG_BASE)
    limited: Array = np.minimum(edges, _LARGEST)
    return limited


def _counted(sizes: Array) -> Buckets:
    places, counts = np.unique(bucket_of(sizes), return_counts=True)
    return tuple(zip(places.tolist(), counts.tolist(), strict=True))


def _merged(a: Buckets, b: Buckets) -> Buckets:
    total = dict(a)
    for place, count in b:
        total[place] = total.get(place, 0) + count
    return tuple(sorted(total.items()))


def _parsed(buckets: object) -> Buckets:
    if not isinstance(buckets, list | tuple):
        raise MomentsError(f"buckets must be a list of pairs, not {buckets!r}")
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in buckets):
        raise MomentsError("a bucket is a pair of its number and its count")
    return tuple((place, count) for place, count in buckets)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
