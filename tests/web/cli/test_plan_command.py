"""``flagstone plan``: the answer first, its table and chart, and what is wrong with the input."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

ENOUGH = ("--baseline", "10%", "--mde", "5%", "--per-day", "5000")
TOO_FEW = ("--baseline", "10%", "--mde", "5%", "--per-day", "3000", "--share", "50%")
WAIT = ("--guardrail", "wait=2.1,sd=3,margin=2%,down")
SVG = "{http://www.w3.org/2000/svg}"


def test_enough_days_are_told_first_with_units_and_costs(alone: Any) -> None:
    answer = alone.terminal("plan", *ENOUGH)
    assert answer.code == 0, answer.everything
    text = answer.out.replace("\xa0", " ")
    first, second, third, *_ = text.splitlines()
    assert first == "28 days are enough to prove a rise of 5 % with a power of 80 %."
    assert second.startswith("The effect needs 60,7")
    assert second.endswith("28 days bring 70,000 units per arm.")
    assert "5.1 % more units than one look at the end" in third
    assert "What would help" not in text
    assert "MDE over days" in text
    assert text.count("●") == 4, "one dot a week"


def test_a_deadline_that_is_too_near_comes_with_what_binds_and_what_helps(alone: Any) -> None:
    text = alone.terminal("plan", *TOO_FEW, *WAIT).out.replace("\xa0", " ")
    assert text.startswith("28 days are not enough to prove a rise of 5 %")
    assert "Guardrail wait with its margin of 2 % needs" in text
    assert "What would help, each alone:" in text
    for help_ in ("covariate (CUPED)", "settle for an MDE of", "a margin of", "Not even all"):
        assert help_ in text, help_


def test_in_a_pipe_it_is_a_document(alone: Any) -> None:
    found = alone.ok("plan", *TOO_FEW)
    assert (found["enough"], found["binding"], found["days"]) == (False, "metric", 28)
    assert found["first_enough_days"] > 28
    assert [deadline["days"] for deadline in found["deadlines"]] == [7, 14, 21, 28]
    seen = [deadline["metrics"][0]["detectable"] for deadline in found["deadlines"]]
    assert seen == sorted(seen, reverse=True)
    assert found["remedies"]["targets"] == {"metric": seen[-1]}
    assert found["simulated"] is None


def test_what_would_help_does_help(alone: Any) -> None:
    asked = ("--baseline", "10%", "--mde", "5%", "--per-day", "9000", "--share", "20%")
    before = alone.ok("plan", *asked)
    remedies = before["remedies"]
    assert not before["enough"]
    share = ("--share", repr(remedies["share"] * 1.001))
    covariate = ("--covariate", repr(remedies["covariate"] + 0.001))
    mde = ("--mde", repr(remedies["targets"]["metric"] * 1.001))
    days = ("--days", str(remedies["days"]))
    for change in (share, covariate, mde, days):
        assert alone.ok("plan", *asked, *change)["enough"], change
    assert not alone.ok("plan", *asked, "--days", str(remedies["days"] - 7))["enough"]


def test_an_uneven_split_can_be_the_whole_trouble(alone: Any) -> None:
    asked = ("--baseline", "10%", "--mde", "5%", "--per-day", "5000")
    uneven = alone.ok("plan", *asked, "--split", "80/20")
    assert not uneven["enough"]
    assert uneven["remedies"]["even_split"]


def test_a_test_of_the_answer_is_in_the_exit_code(alone: Any) -> None:
    assert alone.pipe("plan", *ENOUGH, "--test").code == 0
    assert alone.pipe("plan", *TOO_FEW, "--test").code == 10


def test_trying_the_plan_shows_its_error_rates_and_is_the_same_every_time(alone: Any) -> None:
    found = alone.ok("plan", *ENOUGH, "--days", "14", "--simulate")["simulated"]
    assert list(found) == ["worthless", "worth having", "harmful"]
    assert found["worthless"]["ships"]["value"] < 0.03
    assert found["harmful"]["ships"]["value"] < 0.001
    assert found == alone.ok("plan", *ENOUGH, "--days", "14", "--simulate")["simulated"]
    text = alone.terminal("plan", *ENOUGH, "--days", "14", "--simulate", columns=120).out
    assert "Tried 20,000 times each" in text
    assert "nothing changes" in text


def test_the_chart_is_one_file_that_needs_nothing_and_says_all_in_words(
    alone: Any, tmp_path: Path
) -> None:
    path = tmp_path / "plan.svg"
    alone.ok("plan", *TOO_FEW, *WAIT, "--svg", str(path))
    text = path.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert "not enough" in (title.text or "")
    assert "28 days: metric" in (description.text or "")
    assert len(root.findall(f"{SVG}g")) == 2, "a panel for each metric"
    for foreign in ("href", "url(", "@import", "@font-face", "<script", "<image"):
        assert foreign not in text
    labels = [label.text or "" for label in root.iter(f"{SVG}text")]
    assert any("5\xa0% wanted" in label for label in labels)
    width = float(root.get("width", "0"))
    for line in root.iter(f"{SVG}polyline"):
        for point in line.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= 210


def test_a_name_with_markup_stays_a_name(alone: Any, tmp_path: Path) -> None:
    path = tmp_path / "plan.svg"
    guardrail = ("--guardrail", "<b>&=3%,margin=10%")
    alone.ok("plan", *ENOUGH, *guardrail, "--svg", str(path))
    assert "&lt;b&gt;&amp;" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("--baseline", "110%"), "--baseline"),
        (("--baseline", "24.5"), "--baseline"),
        (("--baseline", "0", "--sd", "1"), "--baseline"),
        (("--baseline", "nan"), "--baseline"),
        (("--sd", "-1"), "--baseline"),
        (("--mde", "five"), "--mde"),
        (("--mde", "0"), "--mde"),
        (("--mde", "-5%"), "--mde"),
        (("--mde", "1000%"), "--mde"),
        (("--per-day", "900,,900"), "--per-day"),
        (("--per-day", "0"), "--per-day"),
        (("--per-day", "1"), "--per-day"),
        (("--share", "120%"), "--share"),
        (("--split", "100"), "--split"),
        (("--split", "100/0"), "--split"),
        (("--days", "6"), "--days"),
        (("--window", "28"), "--days"),
        (("--power", "1"), "--power"),
        (("--covariate", "1"), "--covariate"),
        (("--guardrail", "refunds"), "--guardrail"),
        (("--guardrail", "refunds=3%"), "--guardrail"),
        (("--guardrail", "refunds=3%,margin=10%,up"), "--guardrail"),
        (("--guardrail", "refunds=3%,margin=0"), "--guardrail"),
        (("--guardrail", "metric=3%,margin=1%"), "--guardrail"),
        (("--guardrail", "r=3%,margin=1%", "--power", "99.5%"), "--power"),
    ],
)
def test_bad_input_is_a_usage_error_with_its_place_and_a_hint(
    alone: Any, change: tuple[str, ...], field: str
) -> None:
    answer = alone.pipe("plan", *ENOUGH, *change)
    assert answer.code == 2, answer.everything
    assert f"  at:   {field}" in answer.error
    assert "  hint: " in answer.error


def test_a_chart_that_cannot_be_written_is_an_error(alone: Any, tmp_path: Path) -> None:
    answer = alone.pipe("plan", *ENOUGH, "--svg", str(tmp_path / "nowhere" / "plan.svg"))
    assert answer.code == 1
    assert "No such file" in answer.error


def test_numbers_may_be_shares_or_percents(alone: Any) -> None:
    percents = alone.ok("plan", *ENOUGH)
    shares = ("--baseline", "0.1", "--mde", "0.05", "--power", ".8", "--share", "1")
    assert alone.ok("plan", "--per-day", "5000", *shares) == percents


def test_a_terminal_without_utf8_gets_ascii(alone: Any) -> None:
    alone.variables["PYTHONIOENCODING"] = "ascii"
    text = alone.terminal("plan", *TOO_FEW).out
    assert text.isascii()
    assert "o" in text.split("MDE over days")[1]
