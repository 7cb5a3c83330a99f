"""flagd: flag definitions whose targeting is JSON Logic.

Targeting is a program that computes the name of a variant. It is evaluated here once without a
context, case by case, and what comes out are rules. What flagd's released Python SDK does is the
reference, to the odd corner; what cannot be written exactly as conditions is refused by name.

Not followed are arrays within arrays where a number is expected, numerals that only Python reads
(``1_000``, ``infinity``, digits of other scripts), versions with numbers beyond 15 digits, and a
list of one or two elements as the attribute that ``fractional`` buckets by.
"""

from __future__ import annotations

from flagstone.importers.flagd.document import HASH_VERSIONS, convert

__all__ = ["HASH_VERSIONS", "convert"]
