"""Flags in the hands of a test, without pytest's help."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone import Client, FlagSetError, Reason
from flagstone.engine import parse_flag_set
from flagstone.errors import OverrideError
from flagstone.testing import Flags, OfflineClient, flags

URL = "http://127.0.0.1:9"  # nobody listens there
KEY = "fs_srv_0123456789abcdef"
UNIT = {"targetingKey": "u1"}


def document() -> dict[str, Any]:
    split = {"salt": "s", "to": [{"variant": "new", "ranges": [[0, 10000]]}]}
    checkout = {
        "key": "checkout",
        "type": "string",
        "variants": {"old": {"value": "old"}, "new": {"value": "new"}, "empty": {"value": ""}},
        "rules": [{"id": "exp", "track": True, "when": True, "serve": {"split": split}}],
        "default": "old",
        "metadata": {"owner": "growth"},
    }
    quiet = {"key": "quiet", "type": "integer", "variants": {"one": {"value": 1}}, "default": "one"}
    needs = {
        "key": "needs",
        "type": "boolean",
        "variants": {"on": {"value": True}, "off": {"value": False}},
        "prerequisites": [{"flag": "checkout", "variants": ["old"]}],
        "off": "off",
        "default": "on",
    }
    made = {"checkout": checkout, "quiet": quiet, "needs": needs}
    return {"schema": 1, "environment": "test", "version": 7, "flags": made, "segments": {}}


@pytest.fixture
def made() -> Flags:
    return Flags(document())


# -- what is served -----------------------------------------------------------------------------


def test_flags_start_from_documents_flag_sets_files_and_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(document()))
    for base in (document(), parse_flag_set(document()), path, str(path)):
        assert Flags(base).client.get_string("checkout", UNIT, "x") == "new"
    values = {"a": True, "b": "text", "c": 3, "d": 0.5, "e": {"k": [1]}, "f": [1, 2]}
    client = Flags(values).client
    assert {key: client.get_details(key, {}, None).value for key in values} == values
    assert client.get_integer("c", {}, 0) == 3
    assert Flags().client.get_string("checkout", UNIT, "mine") == "mine"


def test_a_flag_that_cannot_be_read_is_an_error_at_once() -> None:
    broken = document()
    broken["flags"]["checkout"]["default"] = "no such variant"
    with pytest.raises(FlagSetError):
        Flags(broken)


def test_an_override_stays_until_it_is_undone(made: Flags) -> None:
    override = made.override("checkout", "else")
    assert made.client.get_string("checkout", UNIT, "x") == "else"
    override.undo()
    override.undo()
    assert made.client.get_string("checkout", UNIT, "x") == "new"


def test_overrides_nest_and_may_end_in_any_order(made: Flags) -> None:
    first = made.override("checkout", variant="old")
    with made.override("checkout", "third"):
        assert made.client.get_string("checkout", UNIT, "x") == "third"
        first.undo()
        assert made.client.get_string("checkout", UNIT, "x") == "third"
    assert made.client.get_string("checkout", UNIT, "x") == "new"


def test_a_value_of_a_known_variant_serves_that_variant(made: Flags) -> None:
    made.override("checkout", "")
    details = made.client.get_details("checkout", UNIT, "x", str)
    assert (details.value, details.variant) == ("", "empty")
    assert details.metadata == {"owner": "growth"}
    assert details.reason is Reason.TARGETING_MATCH


def test_prerequisites_see_overrides(made: Flags) -> None:
    assert made.client.get_boolean("needs", UNIT, True) is False
    made.override("checkout", variant="old")
    assert made.client.get_boolean("needs", UNIT, False) is True


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("quiet", True, "is an integer"),
        ("quiet", "1", "is an integer"),
        ("quiet", 1.5, "is an integer"),
        ("needs", 1, "is a boolean"),
        ("checkout", None, "is a string"),
        ("new-one", None, "cannot serve a NoneType"),
    ],
)
def test_what_a_flag_could_never_serve_is_refused(
    made: Flags, key: str, value: Any, said: str
) -> None:
    with pytest.raises(OverrideError, match=said):
        made.override(key, value)


def test_unknown_variants_and_half_given_overrides_are_refused(made: Flags) -> None:
    with pytest.raises(OverrideError, match="only empty, new, old"):
        made.override("checkout", variant="neu")
    with pytest.raises(OverrideError, match="no flag 'other'"):
        made.override("other", variant="on")
    with pytest.raises(OverrideError, match="not both"):
        made.override("checkout", "new", variant="new")
    with pytest.raises(OverrideError, match="not both"):
        made.override("checkout")
    assert made.variants("checkout") == ("old", "new", "empty")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=8), st.data())
def test_the_latest_override_that_stands_wins(given_: list[tuple[str, int]], data: Any) -> None:
    made = Flags({"a": -1, "b": -1})
    standing = [(key, value, made.override(key, value)) for key, value in given_]
    while standing:
        index = data.draw(st.integers(0, len(standing) - 1))
        standing.pop(index)[2].undo()
        for key in "ab":
            wanted = next((v for k, v, _ in reversed(standing) if k == key), -1)
            assert made.client.get_integer(key, {}, 0) == wanted


def test_reset_takes_everything_back(made: Flags) -> None:
    made.override("checkout", "x")
    made.client.get_string("checkout", UNIT, "")
    made.client.track("purchase", "u1")
    made.client.track("purchase", None)
    assert (len(made.exposures), len(made.events), made.refused) == (1, 1, 1)
    made.reset()
    assert (made.exposures, made.events, made.refused) == ([], [], 0)
    assert made.client.get_string("checkout", UNIT, "") == "new"


def test_on_change_hears_of_overrides(made: Flags) -> None:
    heard: list[Any] = []
    made.client.on_change(heard.append)
    made.override("checkout", "x")
    assert [change.flags for change in heard] == [("checkout",)]
    assert heard[0].revision > heard[0].previous_revision
    made.serve({"other": 1})
    assert made.client.get_integer("other", {}, 0) == 1
    assert made.client.get_string("checkout", UNIT, "") == "x"


# -- exposures and events -----------------------------------------------------------------------


def test_exposures_are_asserted_by_flag_unit_and_variant(made: Flags) -> None:
    made.client.get_string("checkout", UNIT, "x")
    made.client.get_string("checkout", {"targetingKey": 7}, "x")
    exposure = made.assert_exposed("checkout", unit="u1", variant="new")
    assert (exposure.flag, exposure.unit, exposure.rule) == ("checkout", "u1", "exp")
    assert made.assert_exposed("checkout", unit=7).unit == "7"
    made.assert_not_exposed("checkout", unit="u2")
    made.assert_not_exposed("checkout", variant="old")
    with pytest.raises(AssertionError, match=r"unit 'u2' and variant 'old'; 'u1' met 'new'; '7'"):
        made.assert_exposed("checkout", unit="u2", variant="old")
    with pytest.raises(AssertionError, match="was exposed: 'u1' met 'new'"):
        made.assert_not_exposed("checkout", unit="u1")


def test_an_untracked_flag_is_not_exposed_though_it_is_overridden(made: Flags) -> None:
    made.override("quiet", 5)
    assert made.client.get_integer("quiet", UNIT, 0) == 5
    with pytest.raises(AssertionError, match="none at all"):
        made.assert_exposed("quiet")


def test_an_overridden_experiment_and_a_made_flag_are_exposed(made: Flags) -> None:
    made.override("checkout", variant="old")
    made.override("made", True)
    made.client.get_string("checkout", UNIT, "x")
    made.client.get_boolean("made", UNIT, False)
    made.assert_exposed("checkout", variant="old")
    made.assert_exposed("made", unit="u1", variant="override")


def test_events_are_asserted_by_name_unit_and_value(made: Flags) -> None:
    made.client.track("purchase", "u1", 12.5)
    made.client.track("visit", UNIT, time=5.0)
    assert made.assert_tracked("purchase", unit="u1", value=12.5).value == 12.5
    assert made.assert_tracked("visit").time == 5.0
    made.assert_not_tracked("purchase", unit="u2")
    with pytest.raises(AssertionError, match=r"'purchase' of 'u1', value 12\.5"):
        made.assert_tracked("purchase", value=13)
    with pytest.raises(AssertionError, match="was tracked"):
        made.assert_not_tracked("visit")


# -- every client of the process ----------------------------------------------------------------


def test_a_client_that_exists_is_served_from_the_flags_meanwhile(
    service: Any, connect: Any, tools: Any
) -> None:
    service.publish(3, tools.flag("checkout", "published", track=True))
    client = connect()
    assert client.get_string("checkout", UNIT, "x") == "published"
    with Flags({"checkout": "tested"}) as made:
        assert client.get_string("checkout", UNIT, "x") == "tested"
        client.track("purchase", "u1")
        made.assert_exposed("checkout", unit="u1")
        made.assert_tracked("purchase")
        with Flags({"checkout": "inner"}):
            assert client.get_string("checkout", UNIT, "x") == "inner"
        assert client.get_string("checkout", UNIT, "x") == "tested"
    assert client.get_string("checkout", UNIT, "x") == "published"
    assert client.flush()
    stored = [(event["type"], event.get("variant")) for event in service.stored.values()]
    assert stored == [("exposure", "given")]


def test_a_client_made_meanwhile_opens_no_connection(service: Any, connect: Any) -> None:
    with flags({"checkout": "tested"}):
        client = connect(start_wait_seconds=60)
        assert client.get_string("checkout", UNIT, "x") == "tested"
        assert client.wait_until_ready()
        assert client.flush()
        client.after_fork()  # as in a forked child
        assert client.get_string("checkout", UNIT, "x") == "tested"
        assert not client._workers.updater.alive
    assert client.get_string("checkout", UNIT, "mine") == "mine"
    client.close()
    assert service.requests == []


def test_a_client_made_meanwhile_waits_for_nobody() -> None:
    with flags({"f": True}), Client(URL, KEY, start_wait_seconds=60) as client:
        assert client.get_boolean("f", {}, False) is True
        assert client.status().source == "offline"


def test_an_offline_client_is_served_from_the_flags_too() -> None:
    client = OfflineClient(document())
    with Flags({"checkout": "tested"}) as outer, Flags({"checkout": "inner"}) as inner:
        assert client.get_string("checkout", UNIT, "x") == "inner"
        assert outer.client.get_string("checkout", UNIT, "x") == "tested"
        assert inner.client.get_string("checkout", UNIT, "x") == "inner"
    assert client.get_string("checkout", UNIT, "x") == "new"


class ASuiteOfUnittest(unittest.TestCase):
    """As people write it who do not use pytest."""

    def setUp(self) -> None:
        self.flags = flags({"checkout": True})
        self.flags.install()
        self.addCleanup(self.flags.uninstall)

    def test_flags_serve_a_unittest(self) -> None:
        with Client(URL, KEY) as client:
            assert client.get_boolean("checkout", UNIT, False)
        self.flags.assert_exposed("checkout", unit="u1")


def test_an_offline_client_has_every_method_of_a_client() -> None:
    public = {name for name in dir(Client) if not name.startswith("_")}
    theirs = {name for name in dir(OfflineClient) if not name.startswith("_")}
    assert public - theirs == {"after_fork", "at_exit"}
