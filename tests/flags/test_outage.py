"""What an outage would change: callers' defaults against what is served."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import col

from flags.context_samples import Sample, hash_of
from flags.context_samples import record as keep_contexts
from flags.database import Database
from flags.heartbeats import SILENT_AFTER, record
from flags.models import SdkInstance
from flags.outage import MAX_EVALUATIONS, Group, _groups, outage_of, preview_outage
from flagstone.engine import CompiledFlagSet, compile_flag_set, parse_flag_set
from tests.flags.conftest import NOW, Shop
from tests.flags.test_instances import told

PEOPLE = tuple({"targetingKey": f"u{n}", "country": "DE" if n < 72 else "US"} for n in range(100))
SAMPLE = Sample(PEOPLE, units=100)


def flag(
    kind: str, values: dict[str, Any], rules: list[Any] | None = None, default: str | None = "off"
) -> dict[str, Any]:
    return {
        "type": kind,
        "variants": {name: {"value": value} for name, value in values.items()},
        "enabled": True,
        "off": "off",
        "default": default,
        "rules": rules or [],
    }


GERMANY = {"id": "de", "when": {"attr": "country", "op": "in", "values": ["DE"]}, "serve": "on"}


def flag_set(**flags: dict[str, Any]) -> CompiledFlagSet:
    keyed = {key: {"key": key, "version": 1, **each} for key, each in flags.items()}
    document = {
        "schema": 1,
        "environment": "production",
        "version": 1,
        "flags": keyed,
        "segments": {},
    }
    return compile_flag_set(parse_flag_set(document, strict=True))


def default(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "value": value}


def flips(
    kind: str, values: dict[str, Any], defaults: list[dict[str, Any]], **more: Any
) -> int | None:
    compiled = flag_set(f=flag(kind, values, [GERMANY], **more))
    found = outage_of(compiled, [Group(1, {"f": defaults})], SAMPLE, now=0.0).flips
    return None if found is None else found.count


@pytest.mark.parametrize(
    ("kind", "values", "said", "count"),
    [
        ("boolean", {"off": False, "on": True}, default("boolean", False), 72),
        ("boolean", {"off": False, "on": True}, default("boolean", True), 28),
        # Who asks for another type gets the default already.
        ("boolean", {"off": False, "on": True}, default("string", "x"), 0),
        ("integer", {"off": 1, "on": 2}, default("float", 1.0), 72),
        ("integer", {"off": 0, "on": 1}, default("boolean", False), 0),
        ("float", {"off": 0.0, "on": 2.5}, default("float", 0), 72),
        ("float", {"off": 1.0, "on": 2.5}, default("integer", 3), 28),
        ("object", {"off": {"a": 1, "b": 2}, "on": {}}, default("object", {"b": 2, "a": 1}), 72),
        ("string", {"off": "a", "on": "b"}, default("null", None), 100),
        # Not told, since it is too long.
        ("string", {"off": "a", "on": "b"}, {"type": "string"}, 0),
    ],
)
def test_a_context_notices_if_its_caller_would_get_another_value(
    kind: str, values: dict[str, Any], said: dict[str, Any], count: int
) -> None:
    assert flips(kind, values, [said]) == count


def test_who_gets_the_callers_default_already_notices_nothing() -> None:
    values = {"off": False, "on": True}
    assert flips("boolean", values, [default("boolean", False)], default=None) == 72
    assert flips("boolean", values, [default("boolean", True)], default=None) == 0
    # Whoever asks for no type in particular, too.
    assert flips("boolean", values, [default("null", None)], default=None) == 72


def test_the_share_of_the_environment_joins_flags_and_weighs_clients() -> None:
    switch = {"off": False, "on": True}
    compiled = flag_set(
        germany=flag("boolean", switch, [GERMANY]), everybody=flag("boolean", switch, [], "on")
    )
    false = [default("boolean", False)]
    groups = [
        Group(3, {"germany": false, "gone": false}),
        Group(1, {"germany": [default("boolean", True)], "everybody": false}),
    ]
    found = outage_of(compiled, groups, SAMPLE, now=0.0)
    assert found.flips is not None
    # Three clients: 72 of 100 notice; one: everybody does.
    assert found.flips.count == 79
    assert [each.flag for each in found.flags] == ["everybody", "germany", "gone"]
    everybody, germany, gone = found.flags
    assert [(d.value, d.instances, d.flips and d.flips.count) for d in germany.defaults] == [
        (False, 3, 72),
        (True, 1, 28),
    ]
    assert germany.disagree
    assert germany.flips is not None
    assert germany.flips.count == 61
    assert everybody.served == ((True, 100),)
    assert (gone.flag_type, gone.flips and gone.flips.count) == (None, 0)
    assert found.sentence.startswith(
        "If the service and its snapshots were gone now, 79 % would get another answer "
        "(of all 70 % to 86 %), most by everybody (100 %), germany (61 %)."
    )


def test_what_nobody_told_or_saw_is_not_counted() -> None:
    compiled = flag_set(f=flag("boolean", {"off": False, "on": True}))
    group = Group(2, {"f": [default("boolean", True)]})
    nobody = outage_of(compiled, [], SAMPLE, now=0.0)
    assert (nobody.flips, nobody.flags) == (None, ())
    assert "No SDK has told its defaults yet" in nobody.sentence
    unseen = outage_of(compiled, [group], Sample(), now=0.0)
    assert unseen.flips is None
    assert "No context was seen here" in unseen.sentence
    one_of_many = outage_of(compiled, [group, Group(999, {"f": []})], SAMPLE, now=0.0)
    assert one_of_many.flips is not None
    assert one_of_many.flips.count == 1
    assert "nobody would notice" not in one_of_many.sentence


def test_many_flags_are_counted_over_fewer_contexts() -> None:
    flags = {f"f{n}": flag("boolean", {"off": False, "on": True}) for n in range(2000)}
    said = Group(1, {key: [default("boolean", False)] for key in flags})
    found = outage_of(flag_set(**flags), [said], SAMPLE, now=0.0)
    assert found.looked_at == MAX_EVALUATIONS // 2000
    assert found.flips is not None
    assert found.flips.count == 0
    assert "nobody would notice (at most" in found.sentence


def test_only_living_clients_are_asked(shop: Shop) -> None:
    database: Database = shop.database
    shop.create({"key": "gate", "type": "boolean", "default": "on", "off": "off"})
    shop.change({"do": "turn_on"}, flag="gate")
    environment = shop.id()
    false, true = ({"gate": [default("boolean", value)]} for value in (False, True))
    with database.write() as session:
        keep_contexts(
            session, environment, [(hash_of(each), json.dumps(each), NOW) for each in PEOPLE]
        )
        here = {"environment_id": environment, "seen_at": NOW}
        record(
            session,
            [
                told(1, **here, defaults=true, defaults_complete=False),
                told(2, **{**here, "seen_at": NOW - 2 * SILENT_AFTER}, defaults=false),
                told(3, **here, defaults=None),
            ],
        )
    with database.read() as session:
        found = preview_outage(session, shop.project, "production", now=NOW)
    assert (found.instances, found.incomplete, found.looked_at) == (1, 1, 100)
    assert found.flips is not None
    assert found.flips.count == 0
    document = found.document()
    assert document["flags"][0]["served"][0]["value"] is True
    assert document["revision"] == found.revision > 0


def test_groups_as_large_as_each_other_come_in_one_order_on_every_database(shop: Shop) -> None:
    """Else it would be chance which of them are looked at where there are very many."""
    numbers = [3, 1, 4, 15, 9, 2, 6, 5, 35, 8]
    here = shop.id()
    with shop.database.write() as session:
        said = [
            told(number, environment_id=here, defaults={"f": [default("integer", number)]})
            for number in numbers
        ]
        record(session, said)
    with shop.database.read() as session:
        found, _ = _groups(session, here, NOW)
        hashes = session.execute(
            sa.select(col(SdkInstance.defaults_hash), col(SdkInstance.defaults)).where(
                col(SdkInstance.environment_id) == here
            )
        ).all()
    wanted = [json.loads(text) for _, text in sorted(hashes)]
    assert [group.defaults for group in found] == wanted
