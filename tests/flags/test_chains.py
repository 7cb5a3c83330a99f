"""Whatever is touched in an export or in the database, the first bad entry is named."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flags import audit
from flags.actor import Actor
from flags.chains import HASHED, ChainCheck, check_export, export_lines, line_of, read_line
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.services import create_flag, create_project, get_project

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ADA = Actor("user", "ada@example.org")
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("production", {"do": "turn_on", "flag": "käse"}),
    ("production", {"do": "add_segment", "segment": "eu", "condition": True}),
    ("staging", {"do": "kill", "flag": "käse"}),
    ("staging", {"do": "update_flag", "flag": "käse", "metadata": {"n": 1.5, "big": 1e22}}),
]


def filled(database: Database) -> int:
    with database.write() as session:
        create_project(session, key="other", actor=ADA, now=NOW)
        project = create_project(session, key="shop", actor=ADA, now=NOW)
        create_flag(session, "shop", {"key": "käse"}, actor=ADA, now=NOW)
        for number, (environment, instruction) in enumerate(CHANGES):
            change = parse_change({"comment": "“why” \\ \n", "instructions": [instruction]})
            later = NOW + dt.timedelta(seconds=number, microseconds=number)
            apply_change(session, "shop", environment, change, actor=ADA, now=later)
        assert project.id is not None
        return project.id


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Give the lines of an export."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('chains') / 'flagstone.db'}")
    database.create_all()
    project_id = filled(database)
    found = list(export_lines(audit.export_entries(project_id, database.read)))
    database.dispose()
    return found


def place_of(line: bytes) -> tuple[str, int]:
    document = json.loads(line)
    return document["chain"], document["number"]


def meaning(data: bytes) -> Any:
    try:
        return [read_line(line) for line in data.splitlines() if line.strip(b" \t\r\n")]
    except (ValueError, RecursionError):
        return None


def test_an_untouched_export_holds_and_says_where_it_ends(lines: list[bytes]) -> None:
    check = check_export(lines)
    assert check.broken is None
    assert sum(head.entries for head in check.heads.values()) == len(lines) - 1 == 10
    for chain, head in check.heads.items():
        last = [each for each in map(json.loads, lines[:-1]) if each["chain"] == chain][-1]
        assert (head.entries, head.hash) == (last["number"], last["hash"])


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), bit=st.integers(-1, 7))
@example(where=0.9999999, value=ord(" "), bit=-1)
def test_any_byte_that_is_flipped_is_found_in_its_entry(
    lines: list[bytes], where: float, value: int, bit: int
) -> None:
    data = b"".join(lines)
    position = int(where * len(data))
    touched = value if bit < 0 else data[position] ^ (1 << bit)
    flipped = data[:position] + bytes([touched]) + data[position + 1 :]
    check = check_export(
        flipped.splitlines(keepends=True) if b"\r" not in flipped else split(flipped)
    )
    if meaning(flipped) == meaning(data):
        assert check.broken is None
        return
    assert check.broken is not None
    line = data[:position].count(b"\n")
    assert check.broken.line == line + 1
    head = lines[line].index(b',"project_id"') if line < len(lines) - 1 else 0
    if (
        position - len(b"".join(lines[:line])) >= head > 0
        and data[position : position + 1] != b"\n"
    ):
        assert (check.broken.chain, check.broken.number) == place_of(lines[line])


def split(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")]


def test_space_order_and_escapes_that_mean_nothing_do_not_matter(lines: list[bytes]) -> None:
    def shuffled(line: bytes) -> bytes:
        document = json.loads(line)
        turned = dict(reversed(document.items()))
        return json.dumps(turned, ensure_ascii=True, separators=(" , ", ": ")).encode() + b" \r\n"

    assert check_export([b"\n", *map(shuffled, lines), b"\t\n"]).broken is None
    assert b"\\u" in shuffled(lines[-2]) or b"\\u" in shuffled(lines[3])


def test_a_missing_doubled_or_moved_line_is_named(lines: list[bytes]) -> None:
    for index in range(len(lines) - 1):
        chain, number = place_of(lines[index])
        check = check_export([*lines[:index], *lines[index + 1 :]])
        assert check.broken is not None
        assert check.broken.chain == chain
        # The one after the gap; at a chain's end the place that the export's last line tells of.
        assert check.broken.number in {number, number + 1}
        doubled = check_export([*lines[: index + 1], *lines[index:]])
        assert doubled.broken is not None
        assert (doubled.broken.chain, doubled.broken.number) == (chain, number)
    first = check_export(lines[1:])
    assert first.broken is not None
    cut = check_export(lines[:-1])
    assert cut.broken is not None
    assert "cut off" in cut.broken.reason
    beyond = check_export([*lines, lines[0]])
    assert beyond.broken is not None


def test_a_chain_that_was_cut_with_care_is_found_by_a_hash_that_was_written_down(
    lines: list[bytes],
) -> None:
    documents = [json.loads(line) for line in lines[:-1]]
    last = documents[-1]
    shorter = list(export_lines(documents[:-1]))
    assert check_export(shorter).broken is None
    for hash_ in (last["hash"], last["hash"][:16], last["hash"].upper()):
        assert check_export(lines, expected=[hash_]).missing == []
        assert check_export(shorter, expected=[hash_]).missing == [hash_]


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "1e999",
        "-Infinity",
        '{"a": 1, "a": 2}',
        '"\\ud800"',
        "18446744073709551616",
        "[" * 100_000,
    ],
)
def test_a_line_of_no_or_two_meanings_is_bad(lines: list[bytes], text: str) -> None:
    index = next(i for i, line in enumerate(lines) if b'"before":null' in line)
    touched = lines[index].replace(b'"before":null', b'"before":' + text.encode())
    check = check_export([*lines[:index], touched, *lines[index + 1 :]])
    assert check.broken is not None
    assert (check.broken.chain, check.broken.number) == place_of(lines[index])


def test_whatever_is_no_entry_is_named_and_nothing_raises(lines: list[bytes]) -> None:
    odd: list[Any] = [None, [], 7, {}, {"chain": "1"}, json.loads(lines[0]) | {"more": 1}]
    odd += [json.loads(lines[0]) | {"number": value} for value in (True, 1.0, "1", None, -1)]
    odd += [json.loads(lines[0]) | {"chain": value} for value in (1, None, [], {})]
    for document in odd:
        check = check_export([line_of(document), *lines[1:]])
        assert check.broken is not None
        assert check.broken.line == 1
    check = ChainCheck()
    check.add("no entry")
    assert check.broken is not None


DAMAGE: list[Any] = [None, "altered", b"\xff\x00"]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, int]]:
    """Give a database whose rows can be changed behind its back, without its checks."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('damaged') / 'flagstone.db'}")
    database.create_all()
    project_id = filled(database)
    with database.engine.begin() as connection:
        made = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = 'audit_entries'"
        ).scalar_one()
        columns = [c["name"] for c in sa.inspect(connection).get_columns("audit_entries")]
        assert "id INTEGER" in made
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql(f"CREATE TABLE bare ({', '.join(columns)})")
        connection.exec_driver_sql("INSERT INTO bare SELECT * FROM audit_entries")
        connection.exec_driver_sql("DROP TABLE audit_entries")
        connection.exec_driver_sql("ALTER TABLE bare RENAME TO audit_entries")
    yield database, project_id
    database.dispose()


@pytest.mark.parametrize("field", [*HASHED, "hash"])
def test_any_field_of_any_row_that_is_altered_is_found_there(
    damaged: tuple[Database, int], field: str
) -> None:
    database, project_id = damaged

    def checked(connection: sa.Connection) -> Any:
        from contextlib import contextmanager

        from sqlmodel import Session

        @contextmanager
        def reading() -> Iterator[Session]:
            with Session(connection) as session:
                yield session

        return check_export(export_lines(audit.export_entries(project_id, reading))).broken

    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT id, chain, number, {field} FROM audit_entries WHERE project_id = {project_id}"
        ).all()
        assert checked(connection) is None
        for row_id, chain, number, before in rows:
            values = [*DAMAGE, f"0{before}" if isinstance(before, str) else 7]
            if field in {"chain", "project_id", "environment_id"}:
                values += ["1", "2.3", "2.4", "9.9", 1, 4, 9]
            for value in values:
                if value == before and type(value) is type(before):
                    continue
                connection.exec_driver_sql(
                    f"UPDATE audit_entries SET {field} = ? WHERE id = ?", (value, row_id)
                )
                broken = checked(connection)
                connection.exec_driver_sql(
                    f"UPDATE audit_entries SET {field} = ? WHERE id = ?", (before, row_id)
                )
                assert broken is not None, (field, number, value)
                if field not in {"chain", "number"}:
                    assert (broken.chain, broken.number) == (chain, number), (field, value)
        connection.rollback()


def test_a_page_after_the_other_gives_the_whole_audit(shop: Any) -> None:
    shop.change({"do": "turn_on"})
    with shop.database.read() as session:
        project = get_project(session, shop.project)
        whole, end = audit.export_page(session, project.id)
        assert end is None
        for limit in (1, 2, 3, 50):
            found, after = audit.export_page(session, project.id, limit=limit)
            while after is not None:
                more, after = audit.export_page(session, project.id, after=after, limit=limit)
                found += more
            assert found == whole
    assert check_export(export_lines(whole)).broken is None
    assert len(whole) == 6
