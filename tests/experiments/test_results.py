"""Results as rows and as a document: complete, exact, safe to open, silent where they mislead."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import experiments
from experiments.contract.parsing import parse_plan
from experiments.judging.looks import decide, read_look
from experiments.judging.record import verify
from experiments.people.results import COLUMNS, Results, read_results, results_csv, results_document
from experiments.telling.tables import write_csv
from tests.experiments.conftest import plan_document

BETTER = {
    "purchase": {"control": 0.2, "new": 0.3, "third": 0.22},
    "error": {"control": 0.1, "new": 0.1, "third": 0.1},
}
EFFECTS = ("estimate", "se", "low", "high", "relative", "mean_control", "mean_arm", "harm_z")
THREE_ARMS = {
    "treatments": ["new", "third"],
    "weights": {"control": 1, "new": 1, "third": 1},
}


def results(world: Any, seconds: float) -> Results:
    with world.database.read() as session:
        return read_results(session, world.experiment, now=world.at(seconds))


def rows(found: Results) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(results_csv(found), newline="")))


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three arms and four looks; the last one proves."""
    from flags.database import Database
    from tests.experiments.conftest import make_world

    place = tmp_path_factory.mktemp("proven")
    database = Database(f"sqlite:///{place / 'one.db'}")
    database.create_all()
    world = make_world(database, place)
    world.run(plan_document(**THREE_ARMS))
    for second in range(0, 40, 10):
        world.traffic(second, second + 10, 900, BETTER)
        world.tick(second + 10)
    yield world
    database.dispose()


def test_there_is_one_row_per_look_metric_and_treatment(proven: Any) -> None:
    found = rows(results(proven, 41))
    assert len(proven.looks) == 4
    expected = [
        (str(look), metric, arm)
        for look in (1, 2, 3, 4)
        for metric in ("purchase", "errors")
        for arm in ("new", "third")
    ]
    assert [(row["look"], row["metric"], row["arm"]) for row in found] == expected
    assert list(found[0]) == list(COLUMNS)
    assert [row["day"] for row in found[::4]] == ["1.0", "2.0", "3.0", "4.0"]
    assert found[0]["at"] == "2026-03-02T09:00:10+00:00"


def test_numbers_are_those_of_the_look_to_the_last_bit(proven: Any) -> None:
    found = rows(results(proven, 41))
    for row in found:
        look = proven.looks[int(row["look"]) - 1]
        for head, kinds in (
            ("harm", ("harm",)),
            ("proof", ("ship", "noninferiority")),
            ("futility", ("futility",)),
        ):
            tests = [
                test
                for test in look.decision["tests"]
                if test["kind"] in kinds
                and (test["metric"], test["arm"]) == (row["metric"], row["arm"])
            ]
            for name in ("z", "bound", "alpha_spent"):
                stored = tests[0][name] if tests else None
                assert row[f"{head}_{name}"] == ("" if stored is None else repr(stored))
            assert row[f"{head}_passed"] == (str(tests[0]["passed"]).lower() if tests else "")
        sums = look.data["look"]["metrics"][row["metric"]][row["arm"]]
        assert float(row["mean_arm"]) == sums["s1"] / sums["n"] + sums.get("shift", 0.0)
        assert float(row["matured_arm"]) == sums["n"]
    best = next(r for r in found if (r["look"], r["metric"], r["arm"]) == ("4", "purchase", "new"))
    assert best["proof"] == "ship"
    assert float(best["estimate"]) == pytest.approx(
        float(best["mean_arm"]) - float(best["mean_control"]), rel=1e-9
    )
    assert float(best["low"]) < float(best["estimate"]) < float(best["high"])


def test_a_sceptic_decides_again_from_the_document_alone(proven: Any) -> None:
    document = json.loads(json.dumps(results_document(results(proven, 41)), allow_nan=False))
    plan = parse_plan(document["plan"])
    looks = []
    for entry in document["looks"]:
        metrics: dict[str, dict[str, Any]] = {}
        for sums in document["sums"]:
            if sums["look"] == entry["look"]:
                plain = {
                    k: v for k, v in sums.items() if k not in {"look", "metric", "arm", "mean"}
                }
                metrics.setdefault(sums["metric"], {})[sums["arm"]] = plain
        counts = {arm: entry[f"units_{arm}"] for arm in plan.arms}
        looks.append(
            read_look({**entry, "number": entry["look"], "counts": counts, "metrics": metrics})
        )
        decision = decide(plan, looks).to_document()
        assert decision["verdict"] == entry["verdict"]
        stored = [test for test in document["tests"] if test["look"] == entry["look"]]
        assert [{"look": entry["look"], **test} for test in decision["tests"]] == stored


def test_the_document_carries_the_hashes_of_the_records(proven: Any) -> None:
    document = results_document(results(proven, 41))
    exported = proven.export()
    assert verify(exported).identical
    assert [each["hash"] for each in document["records"]] == [
        each["hash"] for each in exported["records"]
    ]
    assert document["plan_hash"] == exported["experiment"]["plan_hash"]
    assert document["results"][0]["look"] == 1
    assert list(document["results"][0]) == list(COLUMNS)


def test_before_the_first_ship_date_nothing_tells_an_effect(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 10, 900, BETTER)
    world.tick(10)
    found = results(world, 11)
    for row in rows(found):
        assert all(row[name] == "" for name in EFFECTS)
        assert row["matured_arm"] == row["proof_z"] == row["futility_bound"] == row["note"] == ""
        assert row["hidden_because"].startswith("Not shown before 3 days")
        assert row["harm_passed"] == "false"
        assert int(row["units_arm"]) > 0
    document = results_document(found)
    assert document["sums"] == document["tests"] == []
    assert document["hidden_because"].startswith("Not shown before")


def test_an_invalid_experiment_never_shows_effects(proven: Any) -> None:
    found = results(proven, 41)
    card = replace(found.card, verdict="INVALID", worth_hidden="Hidden: the experiment is invalid.")
    invalid = replace(found, card=card)
    for row in rows(invalid):
        assert all(row[name] == "" for name in EFFECTS)
        assert row["harm_passed"] == row["events_passed"] == row["proof_passed"] == ""
        assert row["hidden_because"] == "Hidden: the experiment is invalid."
    document = results_document(invalid)
    assert document["sums"] == document["tests"] == []
    assert all(look["winner"] is None for look in document["looks"])


def test_an_experiment_without_looks_is_a_head_without_rows(sqlite_world: Any) -> None:
    sqlite_world.run()
    found = results(sqlite_world, 1)
    assert results_csv(found) == ",".join(COLUMNS) + "\r\n"
    document = results_document(found)
    assert document["looks"] == document["results"] == document["tests"] == []
    assert document["hidden_because"] is None
    assert [each["kind"] for each in document["records"]] == ["seal", "start"]


def test_metrics_and_arms_named_like_formulas_are_texts_in_the_file(
    sqlite_world: Any, make_plan: Callable[..., Any]
) -> None:
    world, document = sqlite_world, make_plan()
    document["metrics"][0]["key"] = '=HYPERLINK("http://x","a")'
    document["metrics"][1]["key"] = 'a,"b"\r\n@c'
    world.run(document)
    world.traffic(0, 10, 100, BETTER)
    world.tick(10)
    found = rows(results(world, 11))
    assert [row["metric"] for row in found] == ['\'=HYPERLINK("http://x","a")', 'a,"b"\r\n@c']


@pytest.mark.parametrize(
    "text",
    ["=1", "+1", "-1", "@x", "|x", "%x", "\t=1", "\r1", "\n1", "  =1", "\uff1d1", "\uff0b1"],
)
def test_no_text_is_left_that_a_spreadsheet_would_compute(text: str) -> None:
    ((cell,),) = list(csv.reader(io.StringIO(write_csv(["x"], [[text]]), newline="")))[1:]
    assert cell == f"'{text}"


def test_what_is_no_formula_stays_as_it_is() -> None:
    given = ["new", "a-b", "", "5 %", "ümlaut", "'quoted", 'say "x", y', -0.1, 1e-300, math.pi, 7]
    written = write_csv([str(i) for i in range(len(given))], [given])
    read = list(csv.reader(io.StringIO(written, newline="")))[1]
    assert read[:7] == given[:7]
    assert [float(cell) for cell in read[7:]] == given[7:]
    assert write_csv(["a", "b", "c"], [[None, True, False]]) == "a,b,c\r\n,true,false\r\n"


def test_every_column_is_documented() -> None:
    readme = (Path(experiments.__file__).parent / "README.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        assert f"`{column}`" in readme, column
