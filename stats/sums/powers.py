"""Algebra of power sums: what adding a constant, or mixing two columns, does to them.

Written once for floats and for arrays of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Number = TypeVar("Number", float, Array)


class PairSums(NamedTuple):
    """All sums of products of ``a`` and ``b`` up to degree three: what two columns leave.

    The one algebra behind an outcome with its covariate and a numerator with its denominator.
    """

    a1: float
    a2: float
    a3: float
    b1: float
    b2: float
    b3: float
    ab: float
    b2a: float
    ba2: float

    def moved(self, n: float, a: float, b: float) -> PairSums:
        """Add ``a`` and ``b`` to every value."""
        a1, a2, a3 = moved_powers(n, self[:3], a)
        b1, b2, b3 = moved_powers(n, self[3:6], b)
        a2, b2 = possible_square(n, a1, a2), possible_square(n, b1, b2)
        b2a = self.b2a + 2 * b * self.ab + b * b * self.a1
        ba2 = self.ba2 + 2 * a * self.ab + a * a * self.b1
        return PairSums(
            a1,
            a2,
            a3,
            b1,
            b2,
            b3,
            possible_product(self.ab + b * self.a1 + a * self.b1 + n * a * b, a2, b2),
            b2a + a * (self.b2 + 2 * b * self.b1 + n * b * b),
            ba2 + b * (self.a2 + 2 * a * self.a1 + n * a * a),
        )


def possible_square(n: float, first: float, square: float) -> float:
    """Put a sum of squares back where rounding may have pushed it out: not below Σ²/n."""
    return max(square, first * first / n) if n > 0 else 0.0


def possible_product(product: float, one: float, other: float) -> float:
    """Put a sum of products back between the limits of Cauchy and Schwarz."""
    limit = math.sqrt(one) * math.sqrt(other)
    return max(-limit, min(limit, product))


def summed_pairs(
    first: Sequence[float], second: Sequence[float], shifts: tuple[float, float]
) -> tuple[float, PairSums]:
    """Sum up two raw columns."""
    pairs = [
        (float(a) - shifts[0], float(b) - shifts[1]) for a, b in zip(first, second, strict=True)
    ]
    powers = ((1, 0), (2, 0), (3, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1))
    return float(len(pairs)), PairSums(
        *(math.fsum(a**i * b**j for a, b in pairs) for i, j in powers)
    )


def moved_powers(
    n: Number, powers: tuple[Number, Number, Number], by: Number
) -> tuple[Number, Number, Number]:
    """Turn the sums of ``w``, ``w**2``, ``w**3`` into those of ``w + by``."""
    w1, w2, w3 = powers
    return (
        w1 + n * by,
        w2 + 2 * by * w1 + n * by * by,
        w3 + 3 * by * w2 + 3 * by * by * w1 + n * by * by * by,
    )


def combined_powers(
    n: Number, pair: Sequence[Number], weights: tuple[Number, Number], constant: Number
) -> tuple[Number, Number, Number]:
    """Expand the sums of ``w = p a + q b + constant`` and its powers; ``pair`` as in `PairSums`."""
    a1, a2, a3, b1, b2, b3, ab, b2a, ba2 = pair
    p, q = weights
    plain = (
        p * a1 + q * b1,
        p * p * a2 + 2 * p * q * ab + q * q * b2,
        p * p * p * a3 + 3 * p * p * q * ba2 + 3 * p * q * q * b2a + q * q * q * b3,
    )
    return moved_powers(n, plain, constant)


def without_dust(
    n: Number, powers: tuple[Number, Number, Number], scale: Number
) -> tuple[Array, Array, Array]:
    """Call a sample constant whose spread is only the rounding of terms as large as ``scale``.

    A perfect fit leaves such dust, perhaps on the wrong side of zero; a test of it would divide
    rounding by rounding.
    """
    w1, w2, w3 = powers
    # Units are never negative, and without any all sums are zero.
    mean = w1 / np.maximum(n, np.finfo(float).tiny)
    dust = w2 - w1 * mean <= 1e-13 * scale
    return np.asarray(w1), np.where(dust, w1 * mean, w2), np.where(dust, w1 * mean * mean, w3)
