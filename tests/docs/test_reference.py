"""The reference pages are what the code says, and leave nothing out."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import experiments.contract
import web.auth.oidc_settings
import web.problems
from web.reference import plans, problems, settings, webhooks
from web.reference.instructions import MODELS
from web.settings import Settings
from web.webhooks.payload import body_of

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = REPOSITORY / "docs" / "reference"
CONTRACT = Path(experiments.contract.__file__).parent
READS = {"take", "text", "choice", "number", "key", "integer", "duration", "boolean", "tables"}
# Modules that read no part of a plan: the base of all readers, and documents of their own.
ELSEWHERE = {"document.py", "source.py"}
# Read under a name that is no literal there, or a part of a field that is described as a whole.
COMPUTED = {*("customer", "owner", "layer", "source", "event", "denominator_event", "sql")}
COMPUTED |= {*("run_per_month", "support_per_month", "cleanup", "build", "low", "likely", "high")}
COMPUTED |= {"alpha_ship", "alpha_guardrail", "alpha_harm", "beta_futility", "epsilon"}
COMPUTED |= {*("environment", "audience", "policy", "policy_version", "unit", "window", "from")}
COMPUTED |= {*("most_events_per_day", "failure_demand", "attrition", "value", "metrics")}
PARTS = {*("every", "until", "coverage", "hold", "share", "approval", "minimum_units", "low")}
PARTS |= {"likely", "high", "from", "window", "event"}


def test_the_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "web.reference", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"run `make docs`:\n{done.stderr}"


def test_the_figures_are_what_stats_and_the_benchmarks_say() -> None:
    done = subprocess.run(
        [sys.executable, "docs/figures.py", "--check"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"run `make docs`:\n{done.stderr}"


def described() -> set[str]:
    """Give every name of a field that plans.md has, and the parts of dotted ones."""
    tables = (plans.PLAN, plans.METRIC, plans.VALUE, plans.EXPECTED, plans.REPLAY)
    names = {each.name for fields in (*tables, plans.RELEASE, plans.POLICY) for each in fields}
    return {part for name in names for part in name.split(".")} - {"KEY"}


def read_by_name() -> set[str]:
    """Give every name that the readers of plans take, where it stands as a literal."""
    found = set()
    for path in sorted(CONTRACT.glob("*.py")):
        if path.name in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                name = node.args[0]
                if node.func.attr in READS and isinstance(name, ast.Constant):
                    found.add(str(name.value))
    return found


def test_every_field_that_a_plan_may_have_is_described() -> None:
    assert read_by_name() - described() - PARTS == set(), "describe them in web/reference/plans.py"


def test_no_field_is_described_that_nobody_reads() -> None:
    assert described() - read_by_name() - COMPUTED == set(), "take them out of the reference"


@pytest.mark.parametrize("name", sorted(COMPUTED))
def test_a_computed_name_stands_in_the_code(name: str) -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in CONTRACT.glob("*.py"))
    assert f'"{name}"' in code


def test_policies_are_described_with_all_their_defaults() -> None:
    names = {each.name for each in plans.POLICY}
    for policy in (plans.PROOF_28D, plans.RELEASE_1D):
        assert set(plans.defaults(policy)) == names


def test_every_code_of_the_door_is_described() -> None:
    code = Path(web.problems.__file__).read_text(encoding="utf-8")
    literal = set(re.findall(r'Problem\(\s*\d{3},\s*"([a-z_]+)"', code))
    assert len(literal) > 4
    assert literal - problems.codes().keys() == set()


def test_every_field_of_a_webhooks_body_is_described() -> None:
    body = json.loads(body_of(webhooks.NOTICE, "shop", form="full", public_url=""))
    own = {*body.pop("data").keys()} - webhooks.NOTICE.facts.keys()
    names = {*body, *(f"data.{name}" for name in own)}
    assert names == webhooks.SAYS.keys() - {"data. …"}


def test_every_setting_is_described_with_its_default() -> None:
    code = Path(web.auth.oidc_settings.__file__).read_text(encoding="utf-8")
    signing_in = set(re.findall(r"FLAGSTONE_[A-Z_]+[A-Z]", code))
    own = {*Settings().to_environment(), "FLAGSTONE_READY_FILE"}
    assert set(settings.variables()) == own | signing_in
    assert all(text for text in settings.variables().values())
    assert f"| {Settings().port} |" in settings.settings_page()
    assert f"| {Settings().api_requests_per_minute} |" in settings.settings_page()


def test_every_instruction_has_a_section() -> None:
    text = (PAGES / "instructions.md").read_text(encoding="utf-8")
    for model in MODELS:
        (word,) = model.model_fields["do"].annotation.__args__  # type: ignore[union-attr]
        assert f"\n### {word}\n" in text
