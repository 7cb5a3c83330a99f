"""Bounds beside those of R's rpact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.calibrations.line import Finding, Line, Run
from benchmarks.methods.sequential import gst_bounds

_DESIGNS = Path(__file__).parent / "rpact.json"


def x1(_: Run) -> Iterator[Finding]:
    designs = json.loads(_DESIGNS.read_text())["designs"]
    worst = max(
        abs(ours - theirs)
        for design in designs
        for ours, theirs in zip(gst_bounds(design["inputs"])["z"], design["z"], strict=True)
    )
    what = f"largest difference over {len(designs)} designs, in 1e-6"
    yield Finding(what, worst * 1e6, at_most=20.0)


LINES = (Line("X1", "bounds beside those of rpact (exact)", x1),)
