"""A record that was touched anywhere says where."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from experiments.contract.document import sha256_of
from experiments.errors import RecordError
from experiments.judging.record import NO_HASH, verify
from flags.database import Database
from tests.experiments.conftest import make_world

BETTER = {"purchase": {"control": 0.2, "new": 0.3}, "error": {"control": 0.1, "new": 0.1}}


@pytest.fixture(scope="module")
def text_of_record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A record as JSON: made once, since that takes longer than to verify it in every test."""
    folder = tmp_path_factory.mktemp("record")
    database = Database(f"sqlite:///{folder / 'one.db'}")
    database.create_all()
    world = make_world(database, folder)
    world.run()
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 1500, BETTER)
        world.tick(second + 10)
    yield json.dumps(world.export())
    database.dispose()


@pytest.fixture
def exported(text_of_record: str) -> Any:
    return json.loads(text_of_record)


def rehash(document: dict[str, Any]) -> dict[str, Any]:
    """Make the chain right again, as a forger would."""
    previous = NO_HASH
    for record in document["records"]:
        record["previous_hash"] = previous
        record.pop("hash", None)
        record["hash"] = previous = sha256_of(record)
    return document


def test_what_was_stored_verifies_and_says_what_was_checked(exported: Any) -> None:
    result = verify(exported)
    assert result.identical
    assert (result.records, result.looks, result.complete) == (5, 3, False)
    assert result.sentence == (
        "Identical: 5 records, 3 looks decided again. The chain has no end yet."
    )


def test_the_record_holds_what_a_judge_needs(exported: Any) -> None:
    seal, start, look = exported["records"][:3]
    assert seal["body"]["plan"]["customer"] == "customer@example.org"
    assert seal["plan_hash"] == sha256_of(seal["body"]["plan"])
    assert start["body"]["flag"]["after"] == start["body"]["flag"]["before"] + 1
    assert start["engine"].startswith("flagstone")
    assert look["body"]["policy"] == "short"
    sums = look["body"]["look"]["metrics"]["purchase"]["new"]
    assert set(sums) == {"n", "s1", "s2", "s3", "shift"}
    test = next(t for t in look["body"]["decision"]["tests"] if t["kind"] == "ship")
    assert {"estimate", "se", "z", "bound", "alpha_spent", "passed"} <= set(test)
    assert look["sentence"]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, (*path, i))
    else:
        yield path


def touched(document: Any, path: tuple[Any, ...]) -> Any:
    document = copy.deepcopy(document)
    place = document
    for step in path[:-1]:
        place = place[step]
    old = place[path[-1]]
    if isinstance(old, bool):
        new: Any = not old
    elif isinstance(old, int | float):
        new = old + 1
    else:
        new = f"{old}!"
    place[path[-1]] = new
    return document


def test_any_single_value_that_is_touched_is_found_in_its_record(exported: Any) -> None:
    for path in leaves({"records": exported["records"]}):
        result = verify(touched(exported, path))
        assert not result.identical, path
        assert result.differences[0].record == path[1] + 1, path


@pytest.mark.parametrize(
    ("number", "path", "where"),
    [
        (3, ("look", "metrics", "purchase", "new", "s1"), "body.decision.tests[0]"),
        (4, ("look", "counts", "new"), "body.decision.srm_log_e"),
        (5, ("decision", "verdict"), "body.decision.verdict"),
        (5, ("decision", "tests", 1, "bound"), "body.decision.tests[1].bound"),
        (4, ("look", "spending_time"), "body.decision"),
    ],
)
def test_a_forger_who_makes_the_chain_right_is_found_by_deciding_again(
    exported: Any, number: int, path: tuple[Any, ...], where: str
) -> None:
    forged = rehash(touched(exported, ("records", number - 1, "body", *path)))
    result = verify(forged)
    assert not result.identical
    assert result.differences[0].record == number
    assert result.differences[0].path.startswith(where)
    assert f"record {number}" in result.sentence


def test_a_forged_plan_is_found_by_its_seal(exported: Any) -> None:
    forged = rehash(touched(exported, ("records", 0, "body", "plan", "metrics", 0, "mde")))
    assert "plan_hash" in {d.path for d in verify(forged).differences}


@pytest.mark.parametrize("name", ["key", "flag", "state", "verdict", "plan_hash"])
def test_a_head_that_says_something_else_than_the_chain_is_found(exported: Any, name: str) -> None:
    forged = copy.deepcopy(exported)
    forged["experiment"][name] = "something else"
    result = verify(forged)
    assert [difference.path for difference in result.differences] == [f"experiment.{name}"]


def test_a_record_that_is_missing_or_moved_is_found(exported: Any) -> None:
    missing = copy.deepcopy(exported)
    del missing["records"][2]
    assert verify(missing).differences[0].record == 3
    swapped = copy.deepcopy(exported)
    swapped["records"][2:4] = reversed(swapped["records"][2:4])
    assert verify(swapped).differences[0].record == 3


@pytest.mark.parametrize("document", [None, [], {}, {"records": 1}, {"records": []}])
def test_what_is_no_record_is_refused(document: Any) -> None:
    with pytest.raises(RecordError):
        verify(document)


def test_a_mangled_body_is_a_difference_and_not_a_crash(exported: Any) -> None:
    mangled = copy.deepcopy(exported)
    del mangled["records"][3]["body"]["look"]["counts"]
    result = verify(rehash(mangled))
    assert not result.identical
