"""What the management application may bring into the process of the data plane."""

from __future__ import annotations

import subprocess
import sys


def test_the_application_brings_neither_numpy_nor_scipy_nor_the_event_stores() -> None:
    program = """
import sys
import web.app
heavy = {"numpy", "scipy", "stats", "duckdb", "pyarrow", "ibis"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_people_and_keys_do_not_need_flask() -> None:
    program = "import sys, web.auth.service; print('flask' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
