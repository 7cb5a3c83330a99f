"""What the decision engine promises, tried by simulation: STATISTICS.md 4.

Each module has ``LINES``: what every id simulates. `benchmarks.calibration` is the command. What is
decided is decided by public functions of ``stats``; only the worlds are made here.
"""

from benchmarks.calibrations import longitudinal, null, numeric, plans, power, values
from benchmarks.calibrations.line import Finding, Line, Run

__all__ = ["LINES", "Finding", "Line", "Run"]

_PARTS = (null, values, longitudinal, power, plans, numeric)
_FOUND = {line.id: line for part in _PARTS for line in part.LINES}

#: Every id, in the order of the document.
LINES: dict[str, Line] = {
    name: _FOUND.pop(name)
    for name in (
        *("A1", "A2", "A3", "A4", "A5", "A6", "A7"),
        *("P1", "P2", "P3", "P4"),
        *("F1", "F2", "C1", "C2", "D1", "D2", "S1", "E1", "Z1", "X1"),
    )
}
assert not _FOUND, f"lines without a place: {_FOUND}"
