"""The environment document: overrides of identities, and what salts a hash."""

from __future__ import annotations

from typing import Any

from flagstone.importers.flagsmith import convert
from tests.sdk.importers.flagsmith.building import (
    PREFIX,
    ask,
    document_file,
    segment,
    share,
    state,
    user,
)


def split_of(document: dict[str, Any]) -> dict[str, Any]:
    serves = [one["serve"] for one in convert(document).flags["flag"]["rules"]]
    return next(one["split"] for one in serves if isinstance(one, dict))


def test_without_an_identity_the_document_asks_no_segment() -> None:
    strangers = [
        {"type": "NONE", "conditions": [{"property_": "plan", "operator": "IS_SET", "value": None}]}
    ]
    document = document_file(segments=[segment(1, strangers, state(value="stranger"))])
    assert ask(document, {}).value == "own"
    assert ask(document, {"targetingKey": None}).value == "own"
    assert ask(document, user()).value == "stranger"
    assert ask(document, user(plan="pro")).value == "own"


def test_identity_overrides_come_before_segments_and_carry_no_options() -> None:
    mine = state(value="mine", multivariate_feature_state_values=[share("a", "A", 100)])
    document = document_file(
        segments=[segment(1, [{"type": "ALL"}], state(value="all"))],
        identity_overrides=[
            {"identifier": "u1", "identity_features": [mine]},
            {"identifier": "u1", "identity_features": [state(value="second")]},
        ],
    )
    assert ask(document, user("u1")).value == "mine"
    assert ask(document, {"targetingKey": f"{PREFIX}u1"}).value == "mine"
    assert ask(document, user("u2")).value == "all"


def test_identities_with_one_state_share_a_rule() -> None:
    overrides = [
        {"identifier": f"u{number}", "identity_features": [state(value="mine")]}
        for number in range(1000)
    ]
    result = convert(document_file(identity_overrides=overrides))
    assert len(result.flags["flag"]["rules"]) == 1


def test_options_without_ids_stand_in_the_order_of_their_uuids() -> None:
    one, two = share("one", "1", 30, 0), share("two", "2", 30, 0)
    one["mv_fs_value_uuid"], two["mv_fs_value_uuid"] = (f"{'0' * 31}{n}" for n in (2, 1))
    document = document_file(state(multivariate_feature_state_values=[one, two]))
    split = split_of(document)
    assert [part["variant"] for part in split["to"]] == ["two", "one", "control"]


def test_a_django_id_salts_before_the_uuid() -> None:
    document = document_file(
        state(django_id=77, multivariate_feature_state_values=[share("a", "A", 50)])
    )
    assert split_of(document)["salt"] == "77"


def test_an_environment_that_hashes_on_database_ids_is_refused_flag_by_flag() -> None:
    half = [
        {
            "type": "ALL",
            "conditions": [{"property_": "", "operator": "PERCENTAGE_SPLIT", "value": "50"}],
        }
    ]
    by_key = [
        {
            "type": "ALL",
            "conditions": [
                {"property_": "$.identity.key", "operator": "PERCENTAGE_SPLIT", "value": "50"}
            ],
        }
    ]
    split = state("split", multivariate_feature_state_values=[share("a", "A", 50)])
    document = document_file(
        state("plain"),
        split,
        state("rollout"),
        state("keyed"),
        segments=[segment(1, half, state("rollout")), segment(2, by_key, state("keyed"))],
        use_identity_composite_key_for_hashing=False,
    )
    result = convert(document)
    assert list(result.flags) == ["plain"]
    assert [note.flag for note in result.refused] == ["split", "rollout", "keyed"]
    assert all("database ids" in note.reason for note in result.refused)
    document["use_identity_composite_key_for_hashing"] = True
    assert convert(document).refused == []
