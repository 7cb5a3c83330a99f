"""``flagstone experiments`` and ``verify``: from a plan to a record that stands or does not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import wait_until

PLAN = """
key = "{key}"
flag = "{key}"
control = "off"
treatments = ["on"]
weights = {{ off = 50, on = 50 }}
hypothesis = "More visitors buy."
customer = "head of the shop"
owner = "checkout team"
prove_by = "1h"

[[metrics]]
key = "purchases"
role = "success"
kind = "conversion"
event = "purchase"
window = "1s"
mde = 0.1

[expected]
units_per_day = 100
metrics = {{ purchases = {{ baseline = 0.2 }} }}

[policy]
name = "quick"
looks = [{{ every = "1s" }}]
minimum = "1800s"
ship_every = "1800s"
ramp = []
settle = "0s"
stale = "1h"
day = "1s"
"""


def write_plan(folder: Path, key: str) -> str:
    path = folder / f"{key}.toml"
    path.write_text(PLAN.format(key=key), encoding="utf-8")
    return str(path)


def until_forecast(cli: Any, key: str) -> None:
    """Wait for what a worker makes, longer than the command does on a busy machine."""
    wait_until(lambda: cli.ok("experiments", "forecast", key)["status"] == "ready", seconds=120)


@pytest.fixture
def drafted(cli: Any, new_key: str, tmp_path: Path) -> str:
    """A drafted experiment on a flag that is on."""
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "on", new_key)
    cli.ok("experiments", "create", write_plan(tmp_path, new_key))
    return new_key


@pytest.fixture(scope="session")
def stopped(cli: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A key of an experiment that was looked at and then stopped."""
    key = "stopped"
    cli.ok("flags", "create", key)
    cli.ok("flags", "on", key)
    cli.ok("experiments", "create", write_plan(tmp_path_factory.mktemp("plan"), key))
    cli.ok("experiments", "seal", key)
    until_forecast(cli, key)
    cli.ok("experiments", "start", key)
    wait_until(lambda: cli.ok("experiments", "status", key)["looks"] >= 2, seconds=120, every=0.3)
    assert cli.ok("experiments", "stop", key, "-m", "a test")["state"] == "ROLLED_BACK"
    return key


def test_an_experiment_goes_its_way_in_words(cli: Any, new_key: str, tmp_path: Path) -> None:
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "on", new_key)
    plan = write_plan(tmp_path, new_key)
    for arguments, words in (
        (("create", plan), f"Drafted {new_key}."),
        (("seal", new_key), f"{new_key} is sealed as "),
        (("start", new_key), f"{new_key} has started."),
        (("status", new_key), f"{new_key}: R"),
        (("list", "--flag", new_key), new_key),
        (("card", new_key), "NEXT"),
        (("stop", new_key, "-m", "enough"), f"{new_key} is stopped and rolled back."),
        (("status", new_key), f"{new_key}: ROLLED_BACK, OVERRIDE_STOP"),
    ):
        answer = cli.terminal("experiments", *arguments, columns=140)
        assert answer.code == 0, answer.everything
        assert words in answer.out
        if arguments[0] == "seal":
            until_forecast(cli, new_key)
    heading = cli.terminal("experiments", "list", columns=140).out.splitlines()[0]
    assert heading.split() == [
        *("experiment", "flag", "environment", "state", "verdict", "looks", "next", "look")
    ]


def test_a_pipe_gets_the_service_s_documents(cli: Any, drafted: str) -> None:
    assert cli.ok("experiments", "seal", drafted)["state"] == "SEALED"
    until_forecast(cli, drafted)
    started = cli.ok("experiments", "start", drafted, "-e", "production")
    assert started["state"] in {"RAMPING", "RUNNING"}
    found = cli.ok("experiments", "list", "--flag", drafted, "-e", "production")
    assert [each["key"] for each in found] == [drafted]
    assert found[0]["plan_hash"] == started["plan_hash"]
    assert cli.ok("experiments", "list", "--flag", drafted, "--state", "DRAFT") == []
    mine = ("experiments", "list", "--filter", drafted)
    assert [len(cli.ok(*mine, each)) for each in ("--running", "--waiting")] == [1, 0]
    assert len(cli.ok("experiments", "list", "--limit", "1")) == 1

    def told() -> str:
        document: dict[str, str] = cli.ok("--json", "experiments", "card", drafted)
        # A day of this experiment lasts a second.
        return re.sub(r"It is day \d+", "", document["card"].strip())

    def of_one_moment() -> tuple[str, Any] | None:
        # It is looked at every second: what was the same before and after was the same meanwhile.
        before, card = told(), cli.pipe("experiments", "card", drafted)
        return (before, card) if told() == before else None

    text, card = wait_until(of_one_moment)
    assert card.code == 0
    assert "NEXT" in card.out, "a card is text, in a pipe too"
    assert re.sub(r"It is day \d+", "", card.out.strip()) == text


def test_steps_out_of_order_are_conflicts(cli: Any, drafted: str) -> None:
    assert cli.pipe("experiments", "start", drafted).code == 3
    assert cli.pipe("experiments", "confirm", drafted).code == 3
    cli.ok("experiments", "seal", drafted)
    again = cli.pipe("experiments", "seal", drafted)
    assert (again.code, again.out) == (3, "")
    assert again.error.startswith("Error: ")


def test_anybody_looks_between_looks_and_is_told_that_it_decides_nothing(
    cli: Any, drafted: str, stopped: str
) -> None:
    refused = cli.pipe("experiments", "look", drafted, "--now")
    assert refused.code == 3
    assert "nothing to read between looks" in refused.error
    never = cli.terminal("experiments", "look", stopped)
    assert "Nobody has asked between looks." in never.out
    cli.ok("experiments", "seal", drafted)
    until_forecast(cli, drafted)
    cli.ok("experiments", "start", drafted)
    said = cli.terminal("experiments", "look", drafted, "--now")
    assert said.code == 0, said.everything
    assert "NEXT" in said.out
    assert "NOW    Read between looks, up to " in said.out
    assert "It decides nothing: only scheduled looks do" in " ".join(said.out.split())
    assert "too few units: 0 and 0" in said.out
    found = cli.ok("experiments", "look", drafted)
    assert (found["now"]["status"], found["now"]["reading"]["rows"][0]["metric"]) == (
        "ready",
        "purchases",
    )
    cli.ok("experiments", "stop", drafted, "-m", "a test")


def test_a_verdict_that_is_not_proven_exits_with_10_when_tested(cli: Any, stopped: str) -> None:
    assert cli.pipe("experiments", "status", stopped).code == 0
    tested = cli.pipe("experiments", "status", stopped, "--test")
    assert (tested.code, tested.json["verdict"]) == (10, "OVERRIDE_STOP")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('role = "success"', "role = success"), "line 14"),
        (('control = "off"', ""), "at:   control"),
        (("mde = 0.1", ""), "at:   metrics[0].mde"),
        (("mde = 0.1", "mde = nan"), "JSON"),
        (('prove_by = "1h"', "prove_by = 2026-12-01"), "at:   prove_by"),
        (('owner = "checkout team"', 'owner = "head of the shop"'), "hint: nobody confirms"),
        (('every = "1s"', 'every = "0s"'), "policy.looks[0].every"),
    ],
)
def test_a_bad_plan_is_refused_at_its_place(
    cli: Any, new_key: str, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    path = Path(write_plan(tmp_path, new_key))
    text = path.read_text(encoding="utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change), encoding="utf-8")
    answer = cli.pipe("experiments", "create", str(path))
    assert answer.code == 1, answer.everything
    assert words in answer.error


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plan.toml", b"\x7fELF\xff\x00"),
        ("plan.toml", b"\x00"),
        ("plan.json", b"{"),
        ("plan.json", b"[" * 100_000),
        ("plan.json", b"[1]"),
        ("plan.json", b'{"key": "\\ud800"}'),
    ],
)
def test_a_file_that_is_no_plan_is_named(
    cli: Any, tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    answer = cli.pipe("experiments", "create", str(path))
    assert answer.code == 1, answer.everything
    assert answer.error.startswith("Error: ")


def test_a_record_is_identical_until_one_character_is_flipped(
    cli: Any, alone: Any, stopped: str, tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    written = cli.terminal("experiments", "record", stopped, "--out", str(path))
    assert f"records to {path}" in written.out
    assert cli.ok("experiments", "record", stopped) == json.loads(path.read_text())
    identical = alone.terminal("verify", str(path))
    assert identical.code == 0, identical.everything
    assert identical.out.startswith("Identical: ")
    assert alone.ok("verify", str(path))["identical"] is True

    text = path.read_text(encoding="utf-8")
    place = text.index('"actor": "user:') if '"actor": "user:' in text else text.index('"actor": "')
    at = place + len('"actor": "')
    path.write_text(text[:at] + "X" + text[at + 1 :], encoding="utf-8")
    different = alone.terminal("verify", str(path))
    assert different.code == 1
    assert different.out.startswith("DIFFERENT at record 1, hash: ")
    assert alone.pipe("verify", str(path)).json["differences"]


def test_results_come_as_a_document_as_csv_and_as_a_table(
    cli: Any, stopped: str, tmp_path: Path
) -> None:
    document = cli.ok("experiments", "results", stopped)
    assert document["experiment"]["key"] == stopped
    assert [each["hash"] for each in document["records"]]
    path = tmp_path / "results.csv"
    assert cli.ok("experiments", "results", stopped, "--csv", "--out", str(path)) == {
        "file": str(path)
    }
    printed = cli.pipe("experiments", "results", stopped, "--csv").out
    assert path.read_bytes().count(b"\r\n") > 1
    assert printed == path.read_bytes().decode().replace("\r\n", "\n")
    assert printed.startswith("look,at,day,look_verdict,")
    segments = cli.pipe("experiments", "results", stopped, "--by-segment").out
    assert segments.startswith("look,attribute,what,value,")
    table = cli.terminal("experiments", "results", stopped).out
    assert "metric" in table
    assert "purchase" in table


def test_a_damaged_record_never_ends_in_a_traceback(
    cli: Any, alone: Any, stopped: str, tmp_path: Path
) -> None:
    records = cli.ok("experiments", "record", stopped)
    assert records["records"]
    text = json.dumps(records)
    path = tmp_path / "record.json"
    for at in range(0, len(text), max(1, len(text) // 60)):
        path.write_text(text[:at] + "~" + text[at + 1 :], encoding="utf-8")
        answer = alone.pipe("verify", str(path))
        assert answer.code in {0, 1}
        assert answer.out or answer.error.startswith("Error: ")
    for damage in ('{"records": [{}]}', "[]", "{", '{"records": [{"kind": "seal"}]}'):
        path.write_text(damage)
        answer = alone.pipe("verify", str(path))
        assert answer.code == 1, damage
    path.write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in alone.pipe("verify", str(path)).error


def test_a_record_that_cannot_be_written_names_the_file(
    cli: Any, stopped: str, tmp_path: Path
) -> None:
    path = tmp_path / "nowhere" / "record.json"
    answer = cli.pipe("experiments", "record", stopped, "--out", str(path))
    assert answer.code == 1
    assert f"{path}: No such file or directory" in answer.error


def test_an_unknown_experiment_is_named(cli: Any) -> None:
    for verb in ("seal", "start", "confirm", "status", "card", "record", "results"):
        answer = cli.pipe("experiments", verb, "nowhere at all")
        assert (answer.code, answer.out) == (1, "")
        assert "nowhere at all" in answer.error
    assert cli.pipe("experiments", "stop", "nowhere").code == 2, "a stop needs its reason"


def test_the_list_says_which_review_is_due(cli: Any, drafted: str) -> None:
    cli.ok("experiments", "seal", drafted)
    until_forecast(cli, drafted)
    cli.ok("experiments", "start", drafted)
    said = ("--arm", "on", "--reason", "legal", "-m", "a law", "--effect", "0.1")
    cli.ok("experiments", "override", drafted, *said, "--review", "2199-06-01T09:00:00Z")
    listed = cli.terminal("experiments", "list", "--flag", drafted, columns=160).out
    assert listed.splitlines()[0].split()[-1] == "review"
    assert "due on 2199-06-01 09:00:00Z" in listed
    assert "Review: due on 2199-06-01" in cli.terminal("experiments", "status", drafted).out
    (found,) = cli.ok("experiments", "list", "--flag", drafted)
    assert (found["review"]["overdue"], found["review"]["by"]) == (False, found["override"]["by"])
    cli.ok("experiments", "stop", drafted, "-m", "a test")
    assert cli.ok("experiments", "list", "--flag", drafted)[0]["review"] is None
