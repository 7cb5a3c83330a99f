"""The SDK needs nothing but Python: read in its source, and tried in bare interpreters."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).resolve().parents[2] / "sdk"
SOURCES = sorted((SDK / "flagstone").rglob("*.py"))
# The interpreter's own SHA-256, called so since Python 3.12; the engine has a fallback.
YOUNGER = {"_sha2"}
# Modules that nobody loads but who asks for them, and what they may import besides.
OPT_IN = {
    "flagstone/provider.py": {"openfeature"},
    "flagstone/flask.py": {"flask"},
    "flagstone/testing/__init__.py": {"pytest"},
    "flagstone/testing/plugin.py": {"pytest"},
}
VERSIONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]

SMOKE = """
import sys
sys.path.insert(0, sys.argv[1])
import flagstone
from flagstone import Client, Timing

flag = {
    "key": "f", "type": "string", "version": 1, "enabled": True, "off": None, "default": "a",
    "variants": {"a": {"value": "old"}, "b": {"value": "new"}},
    "rules": [{"id": "r", "when": {"attr": "plan", "op": "in", "values": ["pro"]}, "serve": {
        "split": {"salt": "s", "to": [{"variant": "b", "ranges": [[0, 10000]]}]}}}],
}
flags = {"schema": 1, "environment": "e", "version": 1, "flags": {"f": flag}, "segments": {}}
context = {"targetingKey": "u1", "plan": "pro"}
assert flagstone.evaluate(flags, "f", context).value == "new"
assert flagstone.evaluate(flags, "f", context, 5.0).reason.value == "SPLIT"
assert flagstone.evaluate(flags, "f", {}).value == "old"
assert flagstone.evaluate(flags, "g", {}).error_code.value == "FLAG_NOT_FOUND"
assert all(hasattr(flagstone, name) for name in flagstone.__all__)
with Client("http://127.0.0.1:9", "fs_srv_x", start_wait_seconds=0.05) as client:
    assert client.get_string("f", context, "mine") == "mine"
    client.track("n", "u")
    client.close(0.2)
assert client.status().closed
loaded = {name.partition(".")[0] for name in sys.modules} - {"flagstone", "__main__"}
foreign = {n for n in loaded - set(sys.stdlib_module_names) if not n.startswith("_sysconfig")}
assert not foreign, foreign
print("%d.%d" % sys.version_info[:2])
"""

LIGHT = """
import sys
sys.path.insert(0, sys.argv[1])
heavy = {"ssl", "http", "email", "urllib.request", "asyncio", "multiprocessing"}
import flagstone
assert not [name for name in sys.modules if name.startswith("flagstone.client")]
flagstone.Client
print(*sorted(heavy & set(sys.modules)))
"""

OPT_IN_LOADED = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
module = importlib.import_module(sys.argv[2])
for name in module.__all__:
    getattr(module, name)
opt_in = {"flagstone.provider", "flagstone.flask", "openfeature", "flask", "pytest"}
print(*sorted(opt_in & set(sys.modules)))
"""


def imported(source: str) -> set[str]:
    """Top-level names that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).partition(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SDK)))
def test_a_module_imports_the_standard_library_and_the_sdk_only(path: Path) -> None:
    foreign = imported(path.read_text()) - sys.stdlib_module_names
    allowed = OPT_IN.get(path.relative_to(SDK).as_posix(), set())
    assert not foreign - YOUNGER - allowed - {"flagstone"}


@pytest.mark.parametrize(
    ("module", "options"), [("flagstone", ["-I"]), ("flagstone.testing", ["-S", "-I"])]
)
def test_importing_a_module_loads_no_opt_in_module(module: str, options: list[str]) -> None:
    """Nor does using its names; ``testing`` is a plugin where there is pytest, and needs none."""
    answer = subprocess.run(
        [sys.executable, *options, "-c", OPT_IN_LOADED, str(SDK), module],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == ""


def test_the_check_sees_imports_wherever_they_stand() -> None:
    source = "def f():\n    import numpy.linalg as x\nif 1:\n    from requests.x import y\n"
    assert imported(source) == {"numpy", "requests"}
    assert len(SOURCES) > 15


def interpreters() -> dict[str, str]:
    """Pythons on this machine, by version: on the path, of pyenv, in FLAGSTONE_TEST_PYTHONS."""
    named = os.environ.get("FLAGSTONE_TEST_PYTHONS", "").split(os.pathsep)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable, *filter(None, named)]
    candidates += [found for v in VERSIONS if (found := shutil.which(f"python{v}"))]
    candidates += [str(path) for path in sorted(pyenv.glob("3.*/bin/python"))]
    found: dict[str, str] = {}
    for candidate in candidates:
        try:
            answer = subprocess.run(
                [candidate, "-ISc", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0:
            found.setdefault(answer.stdout.strip(), candidate)
    return found


@pytest.fixture(scope="module")
def pythons() -> dict[str, str]:
    return interpreters()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bare_interpreter_evaluates_flags(pythons: dict[str, str], version: str) -> None:
    if version not in pythons:
        pytest.skip(f"Python {version} is absent on this machine")
    answer = subprocess.run(
        [pythons[version], "-S", "-I", "-W", "error", "-c", SMOKE, str(SDK)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == version


def test_importing_the_client_loads_neither_tls_nor_http() -> None:
    answer = subprocess.run(
        [sys.executable, "-S", "-I", "-c", LIGHT, str(SDK)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.strip() == ""
