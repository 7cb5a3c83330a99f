"""What a web process loads before its first management request."""

from __future__ import annotations

import subprocess
import sys


def test_the_data_plane_loads_neither_arrays_nor_flask() -> None:
    code = (
        "import sys, web.edge.app, web.asgi; web.asgi.create_app;"
        "print(*sorted({'numpy', 'scipy', 'flask', 'duckdb', 'pyarrow', 'pandas', 'stats'}"
        " & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.split() == []
