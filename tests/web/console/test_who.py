"""What does this user see: asked on a page, answered for every environment, now and then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.console.conftest import Page

WHO = "/projects/shop/environments/production/who"
EU = {"attr": "country", "op": "in", "values": ["DE"]}


def asked(browser: Any, **given: str) -> Page:
    answer = browser.press(WHO, "Show", given)
    assert answer.status_code == 200, answer.get_data(as_text=True)[-2000:]
    return Page(answer.get_data(as_text=True))


def test_one_flag_is_explained_in_every_environment_now_and_then(console: Any) -> None:
    before = console.clock()
    console.clock.advance(hours=1)
    rule = {"id": "eu", "when": EU, "serve": "on"}
    console.change("checkout", {"do": "turn_on"}, {"do": "add_rule", "rule": rule})
    console.clock.advance(hours=1)
    viewer = console.person("viewer")
    known = {"who": "u1", "attributes": '{"country": "DE"}', "flag": "checkout"}
    now = " ".join(asked(viewer, **known).words.split())
    assert "true on targeting match, rule eu" in now
    assert "staging" in now
    assert "disabled" in now
    then = " ".join(asked(viewer, **known, at=f"{before:%Y-%m-%d %H:%M:%S} UTC").words.split())
    assert "rule eu" not in then
    long_ago = asked(viewer, **known, at="2001-01-01T00:00:00Z").words
    assert "no revision yet" in long_ago


def test_without_a_flag_all_of_them_are_shown(console: Any) -> None:
    for number in range(210):
        console.flag(f"many-{number:03}")
    words = asked(console.person("viewer"), who="u1").words
    assert "many-000" in words
    assert "more; name a flag to see it" in words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"attributes": "country = DE"}, "not a JSON object"),
        ({"attributes": "[]"}, "not a JSON object"),
        ({"at": "yesterday"}, "not an instant"),
        ({"who": "{not json"}, "the context is not a JSON object"),
    ],
)
def test_what_cannot_be_read_comes_back_with_the_form(
    console: Any, given: dict[str, str], words: str
) -> None:
    answer = console.person("viewer").press(WHO, "Show", given)
    assert answer.status_code == 400
    assert words in answer.get_data(as_text=True)


def test_one_box_takes_a_key_or_all_that_is_known(small_console: Any) -> None:
    rule = {"id": "eu", "when": EU, "serve": "on"}
    small_console.change("checkout", {"do": "turn_on"}, {"do": "add_rule", "rule": rule})
    viewer = small_console.person("viewer")
    known = asked(viewer, who='{"targetingKey": "u1", "country": "DE"}', flag="checkout")
    assert "rule eu" in " ".join(known.words.split())
    key = " ".join(asked(viewer, who="u1", flag="checkout").words.split())
    assert "on targeting match" not in key


def test_of_all_flags_each_says_why_and_why_not(small_console: Any) -> None:
    rule = {"id": "eu", "when": EU, "serve": "on"}
    small_console.flag("banner")
    small_console.change("checkout", {"do": "turn_on"}, {"do": "add_rule", "rule": rule})
    page = asked(small_console.person("viewer"), who="u1")
    words = " ".join(page.words.split())
    # One for each flag in each environment, folded away.
    assert words.count("Why?") == 4
    assert "country" in words
    assert "disabled" in words
