"""The audit: complete, and it shows when it was touched."""

from __future__ import annotations

import copy
import datetime as dt
import zlib
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import col, select

from flags import audit
from flags.anchors import find_altered
from flags.chains import HASHED, check_export, export_lines, line_of
from flags.diff import differences
from flags.models import Environment, Revision
from flags.services import flag_history, get_environment, get_project


@pytest.fixture
def history(shop: Any) -> list[dict[str, Any]]:
    """Give the documents of a project's entries, oldest first, after some changes."""
    shop.change({"do": "turn_on"}, comment="go")
    shop.change({"do": "add_segment", "segment": "eu", "condition": True})
    shop.change({"do": "kill"}, environment="staging")
    with shop.database.read() as session:
        project = get_project(session, shop.project)
        found = audit.entries(session, project.id, limit=None)
        return [audit.entry_document(entry) for entry in reversed(found)]


def test_every_revision_has_an_entry_with_the_fields_that_changed(shop: Any) -> None:
    shop.change({"do": "turn_on"}, {"do": "set_default", "variant": "new"}, comment="go")
    with shop.database.read() as session:
        (entry, created) = flag_history(
            session, shop.project, "checkout", environment_key="production"
        )
    assert (entry.action, entry.resource, entry.comment) == ("change", "flag:checkout", "go")
    assert entry.actor == "user:ada@example.org"
    assert entry.at == shop.now
    assert entry.before == {"version": 1, "enabled": False, "default": "control"}
    assert entry.after == {"version": 2, "enabled": True, "default": "new"}
    assert entry.revision == shop.number()
    assert created.action == "create_flag"
    assert created.before is None
    assert created.after["variants"] == shop.document()["variants"]


def test_an_entry_is_named_after_its_instruction(shop: Any) -> None:
    shop.create({"key": "other"})
    shop.change(
        {"do": "turn_on"},
        {"do": "kill", "flag": "other"},
        {"do": "add_segment", "segment": "eu", "condition": True},
    )
    with shop.database.read() as session:
        project = get_project(session, shop.project)
        environment = get_environment(session, shop.project, "production")
        found = audit.entries(session, project.id, environment_id=environment.id, limit=3)
    assert {(entry.resource, entry.action) for entry in found} == {
        ("flag:checkout", "turn_on"),
        ("flag:other", "kill"),
        ("segment:eu", "add_segment"),
    }


def test_what_is_the_same_everywhere_is_audited_in_every_environment(shop: Any) -> None:
    shop.change({"do": "update_variant", "variant": "new", "value": "newer"})
    with shop.database.read() as session:
        found = flag_history(session, shop.project, "checkout", limit=2)
    assert {entry.environment_id for entry in found} == {shop.id(), shop.id("staging")}
    for entry in found:
        assert entry.action == "update_variant"
        assert entry.before["variants.new.value"] == "new"
        assert entry.after["variants.new.value"] == "newer"


def test_an_untouched_chain_holds(shop: Any, history: list[dict[str, Any]]) -> None:
    assert len(history) == 8
    assert audit.verify_chain(history) is None
    assert audit.verify_chain(reversed(history)) is None
    chains = {entry["chain"] for entry in history}
    assert chains == {
        f"{shop.project_id}",
        f"{shop.project_id}.{shop.id()}",
        f"{shop.project_id}.{shop.id('staging')}",
    }


def test_an_altered_field_breaks_the_chain_there(history: list[dict[str, Any]]) -> None:
    for name in sorted({*HASHED, "hash"} - {"chain", "number"}):
        for index, entry in enumerate(history):
            touched = copy.deepcopy(history)
            touched[index][name] = "f" * 64 if "hash" in name else "altered"
            broken = audit.verify_chain(touched)
            assert broken is not None, name
            assert (broken.chain, broken.number) == (entry["chain"], entry["number"])
            assert str(entry["number"]) in str(broken)


def test_a_missing_or_doubled_entry_breaks_the_chain(
    shop: Any, history: list[dict[str, Any]]
) -> None:
    chain = [entry for entry in history if entry["environment_id"] == shop.id()]
    assert len(chain) > 2
    for index in range(len(chain) - 1):
        assert audit.verify_chain(chain[:index] + chain[index + 1 :]) is not None
        assert audit.verify_chain([*chain, chain[index]]) is not None
    forged = {**chain[1], "number": 3}
    assert audit.verify_chain([chain[0], chain[1], forged]) is not None


def test_an_entry_that_was_rewritten_with_its_hash_breaks_the_next_one(
    shop: Any, history: list[dict[str, Any]]
) -> None:
    chain = [entry for entry in history if entry["environment_id"] == shop.id()]
    chain[0] = {**chain[0], "actor": "user:nobody"}
    chain[0]["hash"] = audit.entry_hash(chain[0])
    broken = audit.verify_chain(chain)
    assert broken is not None
    assert broken.number == 2


def test_entries_cannot_be_edited_or_deleted(shop: Any) -> None:
    with pytest.raises(TypeError, match="append-only"), shop.database.write() as session:
        audit.entries(session, shop.project_id)[0].actor = "user:nobody"
    with pytest.raises(TypeError, match="append-only"), shop.database.write() as session:
        session.delete(audit.entries(session, shop.project_id)[0])


def test_other_packages_append_to_the_projects_own_chain(shop: Any) -> None:
    with shop.database.write() as session:
        for number in range(3):
            audit.append(
                session,
                project_id=shop.project_id,
                actor=shop.actor,
                action="create_token",
                resource=f"token:{number}",
                after={"name": "ci", "at": None},
                now=shop.now + dt.timedelta(microseconds=number),
            )
    with shop.database.read() as session:
        found = audit.entries(session, shop.project_id, limit=None)
        assert audit.verify_chain(found) is None
        assert [entry.number for entry in found if entry.environment_id is None] == [4, 3, 2, 1]
        assert [entry.resource for entry in audit.entries(session, shop.project_id, limit=1)] == [
            "token:2"
        ]
        before = audit.entries(session, shop.project_id, before_id=found[0].id, limit=1)
        assert [entry.resource for entry in before] == ["token:1"]


# -- what was published


def altered(shop: Any) -> tuple[str, str] | None:
    """Give the environment's chain and the reason, if something is not stored as it was told."""
    with shop.database.read() as session:
        found = audit.entries(session, shop.project_id, limit=None)
    assert audit.verify_chain(reversed(found)) is None, "the chains themselves hold"
    broken = find_altered(shop.project_id, shop.database.read)
    return None if broken is None else (f"{broken.chain} {broken.number}", broken.reason)


def revisions(shop: Any) -> list[Revision]:
    with shop.database.read() as session:
        own = select(Environment.id).where(Environment.project_id == shop.project_id)
        return list(session.exec(select(Revision).where(col(Revision.environment_id).in_(own))))


def execute(shop: Any, statement: str, **values: Any) -> None:
    """Write past every guard, as somebody at the database would."""
    with shop.database.write() as session:
        assert session.execute(sa.text(statement), values).rowcount == 1


def test_every_revision_is_anchored_in_an_entry(shop: Any, history: list[dict[str, Any]]) -> None:
    del history
    with shop.database.read() as session:
        anchored = {
            (entry.environment_id, entry.revision): entry.flag_set_hash
            for entry in audit.entries(session, shop.project_id, limit=None)
            if entry.flag_set_hash is not None
        }
    assert {(each.environment_id, each.number): each.etag for each in revisions(shop)} == anchored
    assert altered(shop) is None


def test_a_flipped_byte_of_any_published_flag_set_is_named(
    shop: Any, history: list[dict[str, Any]]
) -> None:
    del history
    rows = [(each.id, each.number, each.flag_set) for each in revisions(shop)]
    write = "UPDATE revisions SET flag_set = :data WHERE id = :id"
    for row_id, number, data in rows:
        for place in (2, len(data) // 2, len(data) - 1):
            flipped = bytearray(data)
            flipped[place] ^= 0x10
            execute(shop, write, data=bytes(flipped), id=row_id)
            told = altered(shop)
            assert told is not None
            assert told[1].startswith(f"the flag set of revision {number} "), told
        swapped = zlib.compress(zlib.decompress(data).replace(b"checkout", b"chequeot"))
        execute(shop, write, data=swapped, id=row_id)
        if b"checkout" in zlib.decompress(data):
            assert altered(shop) is not None
        execute(shop, write, data=data, id=row_id)
    assert altered(shop) is None
    execute(shop, "DELETE FROM revisions WHERE id = :id", id=rows[1][0])
    assert altered(shop) is not None


def test_a_flag_that_was_changed_past_the_audit_is_named(
    shop: Any, history: list[dict[str, Any]]
) -> None:
    del history
    owner = "UPDATE flags SET owner = :owner WHERE key = 'checkout' AND project_id = :id"
    execute(shop, owner, owner="somebody else", id=shop.project_id)
    told = altered(shop)
    assert told is not None
    assert "are not stored as revision" in told[1]
    execute(shop, owner, owner="", id=shop.project_id)
    assert altered(shop) is None


def test_an_entry_from_before_flag_sets_were_hashed_holds(shop: Any) -> None:
    shop.change({"do": "turn_on"}, comment="go")
    with shop.database.read() as session:
        entry = audit.entries(session, shop.project_id, limit=1)[0]
        document = audit.entry_document(entry)
    old = {name: value for name, value in document.items() if name != "flag_set_hash"}
    assert audit.entry_hash(old) != document["hash"], "it cannot be taken away again"
    old["hash"] = audit.entry_hash(old)
    chain = check_export([line_of(old | {"number": 1, "previous_hash": audit.START})])
    assert chain.broken is not None
    whole = old | {"number": 1, "previous_hash": audit.START}
    whole["hash"] = audit.entry_hash(whole)
    assert check_export(list(export_lines([whole]))).broken is None


@pytest.mark.parametrize(
    ("before", "after", "old", "new"),
    [
        ({"a": 1}, {"a": 1}, {}, {}),
        ({"a": 1}, {"a": True}, {"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}, {"a": 1}, {"a": 1.0}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, {"a.b": 1}, {"a.b": 3}),
        ({"a": 1}, {}, {"a": 1}, {}),
        ({}, {"a": None}, {}, {"a": None}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {"a": [1, 2]}, {"a": [2, 1]}),
        (
            {"rules": [{"id": "x", "n": 1}, {"id": "y"}]},
            {"rules": [{"id": "y"}, {"id": "x", "n": 2}, {"id": "z"}]},
            {"rules.order": ["x", "y"], "rules[x].n": 1},
            {"rules.order": ["y", "x", "z"], "rules[x].n": 2, "rules[z]": {"id": "z"}},
        ),
        ({"a.b": {"c": 1}}, {"a.b": {"c": 2}}, {'"a.b".c': 1}, {'"a.b".c': 2}),
        ({"v": {"rules": [1]}}, {"v": {"rules": [2]}}, {"v.rules": [1]}, {"v.rules": [2]}),
        (
            {"rules": [{"id": "x"}, {"id": "x"}]},
            {"rules": [{"id": "x"}]},
            {"rules": [{"id": "x"}, {"id": "x"}]},
            {"rules": [{"id": "x"}]},
        ),
    ],
)
def test_only_the_fields_that_differ_are_kept(before: Any, after: Any, old: Any, new: Any) -> None:
    assert differences(before, after) == (old, new)


def test_entries_that_are_written_together_are_those_written_one_by_one(shop: Any) -> None:
    """Byte for byte, whatever their number is beside the size of a batch."""
    deeds = [
        audit.Deed("create_flag", f"flag:f{i}", None, {"variants": {"on": i / 7}, "x": [None, "ü"]})
        for i in range(5)
    ]
    deeds.append(audit.Deed("import_segment", "segment:eu", {"condition": True}, None))
    written = []
    for together in (True, False):
        with shop.database.write() as session:
            here = get_environment(session, shop.project, "staging")
            revision = session.exec(
                select(Revision).where(Revision.environment_id == here.id)
            ).first()
            common: dict[str, Any] = {
                "project_id": here.project_id,
                "environment_id": here.id,
                "actor": shop.actor,
                "comment": "all at once",
                "revision": revision,
                "now": shop.now + dt.timedelta(microseconds=7),
            }
            if together:
                audit.append_together(session, [*deeds, deeds[0]], **common)
            for each in () if together else [*deeds, deeds[0]]:
                audit.append(
                    session,
                    action=each.action,
                    resource=each.resource,
                    before=each.before,
                    after=each.after,
                    **common,
                )
            session.flush()
            session.expire_all()
            found = audit.entries(session, here.project_id, limit=None)
            assert audit.verify_chain(found) is None
            written.append([line_of(audit.entry_document(entry)) for entry in found])
            session.rollback()
    assert written[0] == written[1]
    assert len(written[0]) >= len(deeds) + 1
