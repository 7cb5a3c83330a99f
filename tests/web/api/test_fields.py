"""``?fields=``: of an answer only what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

P = "/projects/shop"


@pytest.fixture
def viewer(shop: Any) -> Any:
    shop.caller("editor").ok("POST", f"{P}/flags", {"key": "checkout", "owner": "growth"})
    return shop.caller("viewer")


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (f"{P}/flags?fields=owner,key", ["owner", "key"]),
        (f"{P}/flags?limit=1&fields=%20key%20,", ["key"]),
        (f"{P}/environments?fields=after", ["after"]),
        (f"{P}/lifecycle?all=true&fields=flag,verdict", ["flag", "verdict"]),
    ],
)
def test_each_entry_of_a_list_has_the_chosen_keys(viewer: Any, path: str, keys: list[str]) -> None:
    found = viewer.ok("GET", path)
    assert "next_cursor" in found
    assert found["items"]
    assert all(list(each) == keys for each in found["items"])


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (f"{P}/flags/checkout?fields=key", ["key"]),
        (
            f"{P}/flags/checkout/environments/production?fields=sentence,rules",
            ["sentence", "rules"],
        ),
        ("/whoami?fields=role", ["role"]),
        (f"{P}/files?fields=base", ["base"]),
    ],
)
def test_a_single_thing_has_the_chosen_keys(viewer: Any, path: str, keys: list[str]) -> None:
    answer = viewer.get(path)
    assert list(answer.get_json()) == keys
    assert int(answer.headers["Content-Length"]) == len(answer.get_data())


def test_an_etag_is_the_whole_things(viewer: Any) -> None:
    path = f"{P}/flags/checkout?fields=key"
    etag = viewer.get(path).headers["ETag"]
    assert etag == viewer.get(f"{P}/flags/checkout").headers["ETag"]
    assert viewer.get(path, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("chosen", ["colour", "key,colour", "", ",", "key&fields=owner"])
def test_what_is_not_there_is_refused_by_name(viewer: Any, chosen: str) -> None:
    answer = viewer.get(f"{P}/flags?fields={chosen}")
    assert answer.status_code == 400
    problem = answer.get_json()
    assert problem["field"] == "fields"
    if "colour" in chosen:
        assert "owner" in problem["hint"]


def test_only_answers_of_json_have_fields(viewer: Any, shop: Any) -> None:
    assert viewer.get("/docs?fields=x").status_code == 400
    editor = shop.caller("editor")
    made = editor.post(f"{P}/flags?fields=key", {"key": "b"})
    assert (made.status_code, made.get_json()["field"]) == (400, "fields")


def test_a_list_that_is_read_whole_has_pages_too(viewer: Any) -> None:
    for path in ("/projects/shop/environments", "/projects/shop/policies"):
        every = viewer.ok("GET", path)
        assert every["next_cursor"] is None
        met, cursor = [], ""
        while cursor is not None:
            page = viewer.ok(
                "GET", f"{path}?limit=1&cursor={cursor}" if cursor else f"{path}?limit=1"
            )
            assert len(page["items"]) == 1
            met += page["items"]
            cursor = page["next_cursor"]
        assert met == every["items"]
        assert len(met) > 1
        assert viewer.get(f"{path}?cursor=bm9uZQ").get_json()["field"] == "cursor"
