"""Every example in the documentation of stats runs, and every public function is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stats

MODULES = [module.name for module in pkgutil.walk_packages(stats.__path__, "stats.")]
FOLDER = Path(inspect.getfile(stats)).parent


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module, extraglobs=vars(stats)).failed == 0


def test_the_examples_of_the_readme_run() -> None:
    results = doctest.testfile(str(FOLDER / "README.md"), module_relative=False)
    assert results.attempted >= 20
    assert results.failed == 0


def test_the_readme_is_a_page_and_names_the_errors_base() -> None:
    text = (FOLDER / "README.md").read_text()
    assert len(text.splitlines()) <= 180
    assert "StatsError" in text


def test_every_public_name_is_documented() -> None:
    for name in stats.__all__:
        assert inspect.getdoc(getattr(stats, name)), name


def test_every_error_descends_from_one_base_and_stands_in_the_tree() -> None:
    from stats import errors

    kinds = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert kinds
    for kind in kinds:
        assert issubclass(kind, stats.StatsError)
        assert kind.__name__.endswith("Error")
        assert kind.__name__ in (errors.__doc__ or "")


def test_it_imports_alone(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "stats", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import importlib, pkgutil, stats, sys\n"
        "for part in pkgutil.walk_packages(stats.__path__, 'stats.'):\n"
        "    importlib.import_module(part.name)\n"
        "tops = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(tops & {'flags', 'experiments', 'web', 'flagstone', 'sqlmodel', 'flask'}))\n"
        "print(stats.__file__, 'scipy.stats' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", f"{tmp_path / 'stats' / '__init__.py'} False"]


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER))
)
def test_no_module_hides_more_than_one_decision(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500
