"""Random files of every vendor come from the benchmarks, which hold the importers against them."""

from __future__ import annotations

import sys
from pathlib import Path

# The modules under ``benchmarks/differences`` import each other by this folder too.
BENCHMARKS = str(Path(__file__).resolve().parents[3] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)
