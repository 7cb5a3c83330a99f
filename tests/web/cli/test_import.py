"""``flagstone import``: into a file or a service, with a report; what cannot be read is refused."""

from __future__ import annotations

import importlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flagstone.engine import parse_flag_set
from web.cli.imports import VENDORS

SHARD = {"salt": "split-new", "ranges": [{"start": 0, "end": 5000}]}


def eppo_file(**more: Any) -> dict[str, Any]:
    flag = {
        "key": "checkout",
        "enabled": True,
        "variationType": "BOOLEAN",
        "totalShards": 10000,
        "variations": {"on": {"key": "on", "value": True}},
        "allocations": [{"key": "half", "splits": [{"variationKey": "on", "shards": [SHARD]}]}],
    }
    return {"format": "SERVER", "flags": {"checkout": flag, **more}}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "eppo.json"
    path.write_text(json.dumps(eppo_file(odd={"variationType": "VIDEO"})), encoding="utf-8")
    return str(path)


def test_a_file_becomes_a_flag_set_and_a_report(alone: Any, file: str, tmp_path: Path) -> None:
    out = tmp_path / "flagset.json"
    answer = alone.pipe("import", "eppo", file, "--out", str(out), "-e", "staging")
    assert (answer.code, answer.out) == (0, "")
    report = json.loads(answer.error)
    assert report["imported"] == 1
    assert [each["flag"] for each in report["refused"]] == ["odd"]
    flag_set = json.loads(out.read_text(encoding="utf-8"))
    assert flag_set["environment"] == "staging"
    assert list(parse_flag_set(flag_set, strict=True).flags) == ["checkout"]
    asked = alone.ok(
        "eval", "checkout", "--flagset", str(out), "--context", '{"targetingKey": "a"}'
    )
    assert asked["flag"] == "checkout"


def test_nothing_is_left_beside_the_file_and_links_are_followed(
    alone: Any, file: str, tmp_path: Path
) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("before")
    link.symlink_to(real)
    assert alone.pipe("import", "eppo", file, "--out", str(link)).code == 0
    assert link.is_symlink()
    assert json.loads(real.read_text())["schema"] == 1
    assert {each.name for each in tmp_path.iterdir()} == {"eppo.json", "real.json", "link.json"}


def test_pipes_can_be_read_and_written(alone: Any, file: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "web.cli", "import", "eppo", "-", "--out", "-"],
        input=Path(file).read_bytes(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["flags"]) == ["checkout"]
    assert json.loads(done.stderr)["imported"] == 1


def test_quiet_says_nothing(alone: Any, file: str, tmp_path: Path) -> None:
    answer = alone.pipe("-q", "import", "eppo", file, "--out", str(tmp_path / "o.json"))
    assert (answer.code, answer.everything) == (0, "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[]", "the file must hold a JSON object"),
        (b"{}", "flags"),
        (b'{"format": "CLIENT", "flags": {}}', "hint: "),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_an_unusable_file_is_an_error_and_writes_nothing(
    alone: Any, tmp_path: Path, content: bytes, words: str
) -> None:
    path, out = tmp_path / "eppo.json", tmp_path / "flagset.json"
    path.write_bytes(content)
    answer = alone.pipe("import", "eppo", str(path), "--out", str(out))
    assert answer.code == 1, answer.everything
    assert words in answer.error
    assert str(path) in answer.error
    assert not out.exists()


def test_what_cannot_be_opened_is_named(alone: Any, file: str, tmp_path: Path) -> None:
    missing = alone.pipe("import", "eppo", str(tmp_path / "none.json"), "--out", "x")
    assert (missing.code, "none.json: No such file" in missing.error) == (1, True)
    nowhere = alone.pipe("import", "eppo", file, "--out", str(tmp_path / "none" / "x.json"))
    assert (nowhere.code, "No such file or directory" in nowhere.error) == (1, True)
    folder = alone.pipe("import", "eppo", file, "--out", str(tmp_path))
    assert (folder.code, "Is a directory" in folder.error) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eppo", "FILE"), "say where to"),
        (("eppo", "FILE", "--out", "a", "--into", "b/c"), "say where to"),
        (("eppo", "FILE", "--into", "shop"), "is not PROJECT/ENV"),
        (("eppo", "FILE", "--into", "shop/a/b"), "is not PROJECT/ENV"),
        (("eppo", "FILE", "--out", "a", "--flagd-hash", "v3"), "is for flagd, not for eppo"),
        (("flagd", "FILE", "--out", "a", "--growthbook-edge", "inclusive"), "is for growthbook"),
        (("flagd", "FILE", "--out", "a", "--flagd-hash", "v1"), "v1"),
        (("excel", "FILE", "--out", "a"), "excel"),
    ],
)
def test_bad_options_are_usage_errors(
    alone: Any, file: str, arguments: tuple[str, ...], words: str
) -> None:
    answer = alone.pipe("import", *(file if each == "FILE" else each for each in arguments))
    assert answer.code == 2, answer.everything
    assert words in answer.error


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendor_has_its_importer_and_its_options(
    alone: Any, tmp_path: Path, vendor: str
) -> None:
    importer = importlib.import_module(f"flagstone.importers.{vendor}")
    assert importer.convert.__doc__
    path = tmp_path / "file.json"
    path.write_text("[]")
    options = {
        "flagd": ("--flagd-hash", "v3"),
        "growthbook": ("--growthbook-edge", "exclusive"),
        "flagsmith": ("--flagsmith-values", "null"),
    }.get(vendor, ())
    answer = alone.pipe("import", vendor, str(path), "--out", str(tmp_path / "o"), *options)
    assert answer.code == 1, answer.everything
    assert answer.error.startswith("Error: ")


def test_a_flagsmith_toggle_is_a_boolean_unless_null_is_wanted(alone: Any, tmp_path: Path) -> None:
    feature = {"key": "1", "name": "beta", "enabled": True, "value": None}
    file = {"environment": {"key": "e", "name": "e"}, "features": {"beta": feature}}
    (tmp_path / "file.json").write_text(json.dumps(file))
    for options, kind in (((), "boolean"), (("--flagsmith-values", "null"), "object")):
        out = tmp_path / "out.json"
        arguments = ("flagsmith", str(tmp_path / "file.json"), "--out", str(out), *options)
        assert alone.pipe("import", *arguments).code == 0
        assert json.loads(out.read_text())["flags"]["beta"]["type"] == kind


def test_into_a_service_is_a_preview_until_it_is_applied(cli: Any, tmp_path: Path) -> None:
    given = eppo_file()
    given["flags"]["piped"] = given["flags"].pop("checkout") | {"key": "piped"}
    path = tmp_path / "eppo.json"
    path.write_text(json.dumps(given))
    arguments = ("import", "eppo", str(path), "--into", f"{cli.project}/production")
    seen = cli.pipe(*arguments)
    assert seen.code == 0, seen.everything
    assert (seen.json["mode"], seen.json["created"]) == ("preview", ["piped"])
    assert json.loads(seen.error)["imported"] == 1
    assert cli.pipe("flags", "show", "piped").code == 1
    done = cli.ok(*arguments, "--yes", "-m", "moving in")
    assert (done["mode"], done["after"]) == ("apply", seen.json["after"])
    shown = cli.ok("flags", "show", "piped")
    split = shown["rules"][0]["serve"]["split"]
    assert (split["hash"], split["salt"], split["to"][0]["ranges"]) == (
        "eppo",
        "split-new",
        [[0, 5000]],
    )
    assert cli.ok("flags", "history", "piped")[0]["comment"] == "moving in"
    again = cli.ok(*arguments, "--yes")
    assert (again["mode"], again["changed"], again["unchanged"]) == ("preview", False, ["piped"])


@pytest.mark.parametrize(("typed", "applied"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_it_asks(
    cli: Any, new_key: str, tmp_path: Path, typed: str, applied: bool
) -> None:
    given = eppo_file()
    given["flags"] = {new_key: given["flags"]["checkout"]}
    path = tmp_path / "eppo.json"
    path.write_text(json.dumps(given))
    code, said = talk(
        cli, typed, "import", "eppo", str(path), "--into", f"{cli.project}/production"
    )
    assert code == 0, said
    assert "Preview; nothing is written." in said
    assert f"new {new_key}: In production, 50 % of users get on" in said
    assert "Apply this? [y/N]" in said
    assert ("is at revision" in said) is applied
    assert ("Nothing is written." in said.split("[y/N]")[1]) is not applied
    assert (cli.pipe("flags", "show", new_key).code == 0) is applied


def test_what_cannot_be_sent_does_not_hold_up_the_rest(
    cli: Any, new_key: str, tmp_path: Path
) -> None:
    given = eppo_file()
    half = given["flags"].pop("checkout")
    condition = {"attribute": "x", "operator": "GTE", "value": 1e300}
    large = {"key": "a", "rules": [{"conditions": [condition]}], "splits": []}
    text = {"variationType": "STRING", "variations": {"on": {"key": "on", "value": "\ud800"}}}
    given["flags"] = {new_key: half | {"allocations": [large, *half["allocations"]]}}
    given["flags"][f"{new_key}-text"] = half | text
    path = tmp_path / "eppo.json"
    path.write_text(json.dumps(given))
    arguments = ("import", "eppo", str(path), "--into", f"{cli.project}/production", "--yes")
    done = cli.ok(*arguments)
    assert done["created"] == [new_key]
    (refused,) = done["refused"]
    assert refused["name"] == f"{new_key}-text"
    assert "half a surrogate pair" in refused["reason"]


def test_what_the_service_refuses_is_named(cli: Any, new_key: str, tmp_path: Path) -> None:
    cli.ok("flags", "create", new_key)
    given = eppo_file()
    given["flags"] = {new_key: given["flags"]["checkout"]}
    path = tmp_path / "eppo.json"
    path.write_text(json.dumps(given))
    arguments = ("import", "eppo", str(path), "--into", f"{cli.project}/production", "--yes")
    shown = cli.terminal(*arguments)
    assert shown.code == 0
    assert f"refused {new_key}: exists already, with other variants" in " ".join(shown.out.split())
    assert "Nothing changes." in shown.out
    absent = cli.pipe("import", "eppo", str(path), "--into", "nowhere/production")
    assert (absent.code, "no project 'nowhere'" in absent.error) == (1, True)


def talk(cli: Any, typed: str, *arguments: str) -> tuple[int, str]:
    """Run on a terminal and type an answer there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "web.cli", *arguments],
        env={**cli.environment, "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(ours)
    return process.wait(timeout=60), said.decode().replace("\r\n", "\n")
