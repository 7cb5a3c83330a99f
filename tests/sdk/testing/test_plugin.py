"""The plugin, in pytest runs of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

APPLICATION = """
from flagstone import Client

client = Client("http://127.0.0.1:9", "fs_srv_0123456789abcdef", start_wait_seconds=0.0)

def checkout(unit):
    new = client.get_boolean("new-checkout", {"targetingKey": unit}, False)
    client.track("purchase", unit, 12.5 if new else 10)
    return "new" if new else "old"
"""
BOOLEAN = {
    "key": "new-checkout",
    "type": "boolean",
    "variants": {"off": {"value": False}, "on": {"value": True}},
    "rules": [{"id": "all", "track": True, "when": True, "serve": "on"}],
    "default": "off",
}
COLOUR = {
    "key": "colour",
    "type": "string",
    "variants": {name: {"value": name} for name in ("red", "green", "blue")},
    "default": "red",
}
FLAG_SET = {
    "schema": 1,
    "environment": "test",
    "version": 1,
    "flags": {"new-checkout": BOOLEAN, "colour": COLOUR},
    "segments": {},
}


class Runner:
    """Runs pytest over a small project that uses the plugin."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makepyfile(application=APPLICATION)
        pytester.syspathinsert()
        Path(pytester.path, "flags.json").write_text(json.dumps(FLAG_SET))

    def __call__(self, test: str, *arguments: str) -> pytest.RunResult:
        self.pytester.makepyfile(test_it=test)
        # Whether the plugin is installed by its entry point or not, it is loaded once.
        plugin = ("-p", "no:flagstone", "-p", "flagstone.testing", "--strict-markers")
        return self.pytester.runpytest_inprocess(*plugin, "-p", "no:cacheprovider", *arguments)


@pytest.fixture
def run(pytester: pytest.Pytester) -> Runner:
    return Runner(pytester)


def test_the_fixture_overrides_flags_of_a_client_that_the_application_made(run: Any) -> None:
    result = run(
        """
        from application import checkout

        def test_override(flagstone_flags):
            assert checkout("u1") == "old"
            flagstone_flags.override("new-checkout", True)
            assert checkout("u1") == "new"
            with flagstone_flags.override("new-checkout", False):
                assert checkout("u1") == "old"
            assert checkout("u2") == "new"
            flagstone_flags.assert_exposed("new-checkout", unit="u2", variant="override")
            assert flagstone_flags.assert_tracked("purchase", unit="u2").value == 12.5

        def test_nothing_stays(flagstone_flags):
            assert checkout("u1") == "old"
            assert not flagstone_flags.exposures
        """
    )
    result.assert_outcomes(passed=2)


def test_the_marker_overrides_with_and_without_the_fixture(run: Any) -> None:
    result = run(
        """
        import pytest
        import unittest
        from application import checkout

        @pytest.mark.flag("new-checkout", True)
        def test_without_the_fixture():
            assert checkout("u1") == "new"

        def test_without_the_marker():
            assert checkout("u1") == "old"

        @pytest.mark.flag("new-checkout", True)
        class TestTheClosestMarkerWins:
            def test_class(self):
                assert checkout("u1") == "new"

            @pytest.mark.flag("new-checkout", False)
            def test_function(self, flagstone_flags):
                assert checkout("u1") == "old"
                flagstone_flags.assert_exposed("new-checkout", unit="u1")

        class TestUnittest(unittest.TestCase):
            @pytest.mark.flag("new-checkout", True)
            def test_method(self):
                assert checkout("u1") == "new"
        """
    )
    result.assert_outcomes(passed=5)


def test_a_project_chooses_its_flag_set_in_its_conftest(run: Any) -> None:
    run.pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def flagstone_flag_set():
            return {"new-checkout": True}
        """
    )
    result = run(
        """
        from application import checkout

        def test_it(flagstone_flags):
            assert checkout("u1") == "new"
        """
    )
    result.assert_outcomes(passed=1)


def test_every_variant_of_a_flag_is_run(run: Any) -> None:
    result = run(
        """
        import pytest
        from application import client, checkout

        @pytest.mark.every_variant("colour", flag_set="flags.json")
        def test_colour(flagstone_variants):
            assert client.get_string("colour", {}, "none") == flagstone_variants["colour"]

        @pytest.mark.every_variant("new-checkout", flag_set="flags.json")
        @pytest.mark.every_variant("colour", flag_set="flags.json")
        def test_both(flagstone_variants, flagstone_flags):
            on = flagstone_variants["new-checkout"] == "on"
            assert checkout("u1") == ("new" if on else "old")
            flagstone_flags.assert_exposed("new-checkout", variant="on" if on else "off")
            assert client.get_string("colour", {}, "none") == flagstone_variants["colour"]
        """,
        "-v",
    )
    result.assert_outcomes(passed=3 + 6)
    result.stdout.fnmatch_lines(["*test_colour?colour=green? PASSED*", "*=off-colour=blue?*"])


def test_the_helper_takes_any_flag_set_and_meets_other_parameters(run: Any) -> None:
    result = run(
        """
        import json, pytest
        from flagstone.testing import every_variant
        from application import checkout
        FLAGS = json.load(open("flags.json"))

        @every_variant(FLAGS, "new-checkout")
        @pytest.mark.parametrize("unit", ["u1", "u2"])
        def test_it(unit, flagstone_variants):
            assert checkout(unit) == {"on": "new", "off": "old"}[flagstone_variants["new-checkout"]]
        """
    )
    result.assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ('every_variant("other", flag_set="flags.json")', "no such flag"),
        ('every_variant("colour")', "no flag_set"),
    ],
)
def test_a_flag_that_is_not_there_is_an_error_of_the_collection(
    run: Any, marker: str, said: str
) -> None:
    result = run(f"import pytest\n@pytest.mark.{marker}\ndef test_it(): pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{said}*"])


def test_an_override_that_proves_nothing_fails_the_test(run: Any) -> None:
    result = run(
        """
        import pytest

        @pytest.mark.every_variant("colour", flag_set="flags.json")
        @pytest.mark.flag("colour", 5)
        def test_it():
            pass
        """
    )
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["*flag 'colour' is a string, it cannot serve 5*"])


def test_with_a_flag_set_in_the_ini_file_nobody_talks_to_a_service(run: Any) -> None:
    run.pytester.makeini("[pytest]\nflagstone_flag_set = flags.json\n")
    result = run(
        """
        import pytest
        from flagstone import Client

        # Made while this module is being imported, as applications do.
        client = Client("http://127.0.0.1:9", "fs_srv_0123456789abcdef", start_wait_seconds=60)

        def test_without_any_fixture():
            assert client.get_boolean("new-checkout", {}, False) is True

        @pytest.mark.every_variant("colour")
        def test_variants(flagstone_variants):
            assert client.get_string("colour", {}, "none") == flagstone_variants["colour"]

        def test_base(flagstone_flags):
            assert client.get_boolean("new-checkout", {"targetingKey": "u1"}, False) is True
            flagstone_flags.assert_exposed("new-checkout", variant="on")
        """
    )
    result.assert_outcomes(passed=5)


def test_a_flag_set_that_cannot_be_read_is_said_at_once(run: Any) -> None:
    run.pytester.makeini("[pytest]\nflagstone_flag_set = missing.json\n")
    result = run("def test_it(): pass\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*flagstone_flag_set: *missing.json*"])


def test_fixtures_and_markers_are_documented(run: Any) -> None:
    run("def test_it(): pass\n", "--markers").stdout.fnmatch_lines(
        ["@pytest.mark.flag(key, *", "@pytest.mark.every_variant(key, *"]
    )
    run("def test_it(): pass\n", "--fixtures").stdout.fnmatch_lines(
        ["flagstone_flag_set -- *", "flagstone_flags -- *", "flagstone_variants -- *"]
    )
