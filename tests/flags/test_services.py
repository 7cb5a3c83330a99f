"""Projects, environments and flags: made, listed, read."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from flags import services
from flags.errors import AlreadyExistsError, InvalidInputError, NotFoundError


def test_a_new_project_has_production_and_staging(shop: Any) -> None:
    with shop.database.read() as session:
        found = services.list_environments(session, shop.project)
        assert [(each.key, each.production) for each in found] == [
            ("production", True),
            ("staging", False),
        ]
        assert shop.project in [each.key for each in services.list_projects(session)]
        assert services.get_project_by_id(session, found[0].project_id).key == shop.project
        assert services.get_environment_by_id(session, found[1].id).key == "staging"


def test_what_is_not_there_is_not_found(shop: Any) -> None:
    with shop.database.read() as session:
        for find in (
            lambda: services.get_project(session, "nope"),
            lambda: services.get_project_by_id(session, 999_999),
            lambda: services.get_environment(session, shop.project, "nope"),
            lambda: services.get_environment_by_id(session, 999_999),
            lambda: services.get_flag(session, shop.project, "nope"),
            lambda: services.get_segment(session, shop.project, "production", "nope"),
            lambda: services.list_flags(session, "nope"),
        ):
            with pytest.raises(NotFoundError):
                find()


def test_a_key_is_taken_only_once(shop: Any) -> None:
    with pytest.raises(AlreadyExistsError), shop.database.write() as session:
        services.create_project(session, key=shop.project, actor=shop.actor, now=shop.now)
    with pytest.raises(AlreadyExistsError), shop.database.write() as session:
        services.create_environment(
            session, shop.project, key="staging", actor=shop.actor, now=shop.now
        )
    with pytest.raises(AlreadyExistsError):
        shop.create({"key": "checkout"})
    shop.change({"do": "archive"})
    with pytest.raises(AlreadyExistsError, match="already has"):
        shop.create({"key": "checkout"})


@pytest.mark.parametrize("key", ["", "Shop", "a b", "a" * 65])
def test_a_key_that_cannot_be_one_is_refused(shop: Any, key: str) -> None:
    with pytest.raises(InvalidInputError), shop.database.write() as session:
        services.create_project(session, key=key, actor=shop.actor, now=shop.now)
    with pytest.raises(InvalidInputError), shop.database.write() as session:
        services.create_environment(session, shop.project, key=key, actor=shop.actor, now=shop.now)


def test_a_boolean_flag_needs_nothing_but_a_key(shop: Any) -> None:
    flag = shop.create({"key": "dark-mode"})
    assert flag.type == "boolean"
    assert flag.variants == {"on": {"value": True}, "off": {"value": False, "on": False}}
    here = flag.environments["production"]
    assert (here.document["off"], here.document["default"]) == ("off", "on")
    assert here.sentence == "In production, the flag is off: everyone gets off."
    assert here.state_word == "off"
    assert list(flag.environments) == ["production", "staging"]
    assert shop.flag_set()["flags"]["dark-mode"] == here.document


def test_off_and_default_are_the_authors_where_they_are_named(shop: Any) -> None:
    draft = {
        "type": "integer",
        "variants": {"few": {"value": 1}, "none": {"value": 0, "on": False}, "many": {"value": 9}},
    }
    state = shop.create({"key": "a", **draft}).environments["production"].state
    assert (state["off"], state["default"]) == ("none", "few")
    state = (
        shop.create({"key": "b", **draft, "off": None, "default": "many"})
        .environments["staging"]
        .state
    )
    assert (state["off"], state["default"]) == (None, "many")


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        ({}, "key"),
        ({"key": "a?b"}, "key"),
        ({"key": "/a"}, "key"),
        ({"key": "a", "extra": 1}, "extra"),
        ({"key": "a", "type": "number"}, "type"),
        ({"key": "a", "type": "string"}, "variants"),
        ({"key": "a", "variants": {"x": {}}}, "variants.x.value"),
        ({"key": "a", "variants": {"x": {"value": "true"}}}, "variants.x.value"),
        ({"key": "a", "off": "nope", "variants": {"x": {"value": True}}}, "off"),
        ({"key": "a", "off": "nope"}, "off"),
        ({"key": "a", "metadata": {"a": []}}, "metadata.a"),
        ({"key": "a", "name": "x" * 201}, "name"),
        ({"key": "a", "description": "\0"}, "description"),
    ],
)
def test_a_flag_that_cannot_be_made_is_refused_by_its_field(
    shop: Any, draft: dict[str, Any], field: str
) -> None:
    number = shop.number()
    with pytest.raises(InvalidInputError) as refusal:
        shop.create(draft)
    assert refusal.value.field == field
    assert shop.number() == number


def test_flags_are_listed_by_key(shop: Any) -> None:
    for key in ("alpha", "beta", "gamma"):
        shop.create({"key": key, "name": f"The {key} 100%_flag", "owner": "Growth"})
    shop.change({"do": "archive"}, flag="beta")

    def keys(**options: Any) -> list[str]:
        with shop.database.read() as session:
            return [flag.key for flag in services.list_flags(session, shop.project, **options)]

    assert keys() == ["alpha", "checkout", "gamma"]
    assert keys(archived=None) == ["alpha", "beta", "checkout", "gamma"]
    assert keys(archived=True) == ["beta"]
    assert keys(limit=2) == ["alpha", "checkout"]


def test_the_order_of_variants_is_the_authors(shop: Any) -> None:
    names = ["zebra", "apple", "mango"]
    shop.create(
        {"key": "fruit", "type": "string", "variants": {name: {"value": name} for name in names}}
    )
    assert list(shop.flag("fruit").variants) == names


def test_of_two_who_make_the_same_project_one_is_told_that_it_exists(shop: Any) -> None:
    key = f"{shop.project}-twice"
    outcomes: list[str] = []

    def make() -> None:
        together.wait(60)
        try:
            with shop.database.write() as session:
                services.create_project(session, key=key, actor=shop.actor, now=shop.now)
            outcomes.append("made")
        except AlreadyExistsError:
            outcomes.append("exists")

    together = threading.Barrier(4)
    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert sorted(outcomes) == ["exists", "exists", "exists", "made"]
