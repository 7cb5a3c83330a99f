"""Where in a context an imported condition looks."""

from __future__ import annotations

import pytest

from flagstone.engine.bucketing import bucket
from flagstone.importers.flagsmith.shares import BUCKETS
from tests.sdk.importers.flagsmith.building import PREFIX, ask, context_file, rule, user


def test_the_environment_is_read_from_the_context_or_else_from_the_file() -> None:
    inside = [rule("ALL", ("$.environment.name", "EQUAL", "Production"))]
    document = context_file("own", (inside, {"value": "produced"}))
    assert ask(document, user()).value == "produced"
    assert ask(document, {**user(), "environment": {"name": "Production"}}).value == "produced"
    assert ask(document, {**user(), "environment": {"name": "Staging"}}).value == "own"


@pytest.mark.parametrize("identifier", ["7", "007", "u1", "😀"])
def test_a_list_of_identifiers_is_found_in_the_default_key_too(identifier: str) -> None:
    listed = [rule("ALL", ("$.identity.identifier", "IN", ["7", "u1", "😀"]))]
    document = context_file("own", (listed, {"value": "listed"}))
    assert ask(document, user(identifier)).value == "listed"
    assert ask(document, {"targetingKey": f"{PREFIX}{identifier}"}).value == "listed"
    assert ask(document, {"targetingKey": identifier}).value == "own"


@pytest.mark.parametrize("identifier", ["70", "07.0", "-7", "u", "u12"])
def test_another_identifier_is_not_in_the_list(identifier: str) -> None:
    listed = [rule("ALL", ("$.identity.identifier", "IN", ["7", "u1", "0"]))]
    document = context_file("own", (listed, {"value": "listed"}))
    assert ask(document, user(identifier)).value == "own"
    assert ask(document, {"targetingKey": f"{PREFIX}{identifier}"}).value == "own"


def test_many_numbers_are_found_in_the_default_key_as_they_are_written() -> None:
    numbers = [str(number * 7919) for number in range(500)]
    listed = [rule("ALL", ("$.identity.identifier", "IN", numbers))]
    document = context_file("own", (listed, {"value": "listed"}))
    assert ask(document, {"targetingKey": f"{PREFIX}7919"}).value == "listed"
    assert ask(document, {"targetingKey": f"{PREFIX}007919"}).value == "own"
    assert ask(document, user("007919")).value == "listed"


def test_a_trait_with_a_percentage_hashes_as_flagsmith_prints_it() -> None:
    half = [rule("ALL", ("trait", "PERCENTAGE_SPLIT", "50"))]
    document = context_file("out", (half, {"value": "in"}))
    for trait, printed in (("007", "7"), ("1.50", "1.5"), (True, "True"), (1.5, "1.5"), ("x", "x")):
        inside = bucket("flagsmith", "1", printed, BUCKETS) <= BUCKETS // 2
        assert ask(document, user(trait=trait)).value == ("in" if inside else "out")
