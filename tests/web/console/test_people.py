"""The page People: a matrix of who may do what where, and a form that changes it."""

from __future__ import annotations

import re

from flags import change_requests, changes
from flags.actor import Actor
from flags.models import ChangeRequest
from flags.request_rows import Writing
from tests.web.console.conftest import HERE, Console
from web.auth.models import User
from web.console.people import PAGE

PEOPLE = f"{HERE}/people"


def test_an_owner_sees_who_may_do_what_where_and_changes_it(small_console: Console) -> None:
    admin = small_console.person("admin")
    bob = small_console.person("viewer")
    page = admin.page(PEOPLE)
    assert "Staging" in page.words
    given = {"email": bob.email, "where": "staging", "role": "editor"}
    assert admin.press(PEOPLE, "Set role", given).status_code == 303
    page = admin.page(PEOPLE)
    assert "only here" in page.words
    assert bob.get(f"{HERE}/new-flag").status_code == 403
    assert bob.get(HERE.replace("production", "staging") + "/flags").status_code == 200
    assert admin.press(PEOPLE, "Set role", given | {"role": "unsaid"}).status_code == 303
    assert "only here" not in admin.page(PEOPLE).words
    everywhere = {"email": bob.email, "where": "*", "role": "none"}
    assert admin.press(PEOPLE, "Set role", everywhere).status_code == 303
    assert bob.get(f"{HERE}/flags").status_code == 404


def test_a_mistake_is_told_beside_the_form_and_keeps_what_was_typed(
    small_console: Console,
) -> None:
    admin = small_console.person("admin")
    wrong = admin.press(PEOPLE, "Set role", {"email": "x@example.org", "where": "staging"})
    html = wrong.get_data(as_text=True)
    assert wrong.status_code == 404
    assert "there is nobody with the address" in html
    assert 'value="x@example.org"' in html


def test_many_people_are_shown_in_pages_and_found_by_a_part_of_their_address(
    small_console: Console,
) -> None:
    admin = small_console.person("admin")
    assert "Find somebody" not in admin.page(PEOPLE).html
    now = small_console.clock()
    with small_console.database.write() as session:
        session.add_all(
            User(email=f"p{n:03}@shop.example", role="viewer", password_hash="-", created_at=now)
            for n in range(PAGE + 5)
        )
    first = admin.page(PEOPLE)
    (following,) = [link for link in first.links if link.startswith("?after=")]
    second = admin.page(f"{PEOPLE}{following}")
    shown = [set(re.findall(r"[a-z0-9]+@[a-z.]+", page.words)) for page in (first, second)]
    assert len(shown[0] & {f"p{n:03}@shop.example" for n in range(PAGE + 5)}) >= PAGE - 3
    assert "p054@shop.example" in shown[1]
    assert not {each for each in shown[0] & shown[1] if each.startswith("p")}
    found = admin.page(f"{PEOPLE}?words=P05")
    assert sorted(re.findall(r"p\d+@", found.words)) == [f"p05{n}@" for n in range(5)]
    assert "Nobody is found" in admin.page(f"{PEOPLE}?words=nobody").words


def test_the_page_is_for_the_projects_administrators(small_console: Console) -> None:
    for role in ("viewer", "editor", "approver"):
        assert small_console.person(role).get(PEOPLE).status_code == 403


def test_what_one_may_not_do_here_is_not_offered(small_console: Console) -> None:
    admin = small_console.person("admin")
    editor = small_console.person("editor")
    assert "New flag" in editor.page(f"{HERE}/flags").words
    given = {"email": editor.email, "where": "production", "role": "viewer"}
    admin.press(PEOPLE, "Set role", given)
    # The flag page offers no verb in production, the one in staging does.
    staging = HERE.replace("production", "staging")
    assert editor.get(f"{staging}/flags").status_code == 200
    assert editor.get(f"{HERE}/new-experiment").status_code == 403
    assert editor.get(f"{staging}/new-experiment").status_code == 200


def test_the_path_of_one_environment_does_not_open_another_ones_change(
    small_console: Console,
) -> None:
    admin, editor = small_console.person("admin"), small_console.person("editor")
    instruction = {"do": "update_flag", "owner": "somebody else"}
    document = {"flag": "checkout", "mode": "request", "instructions": [instruction]}
    with small_console.database.write() as session:
        made = change_requests.submit(
            session,
            "shop",
            "production",
            changes.parse_change(document),
            by=Writing(Actor("user", admin.email)),
            now=small_console.clock(),
        )
    given = {"email": editor.email, "where": "production", "role": "viewer"}
    admin.press(PEOPLE, "Set role", given)
    staging = HERE.replace("production", "staging")
    form = editor.page(f"{staging}/new-flag").form("Create flag")
    for verb in ("apply", "withdraw", "edit"):
        answer = editor.client.post(
            f"{staging}/changes/{made.id}/{verb}",
            data={"csrf_token": form.fields["csrf_token"], "comment": "mine now"},
            headers={"Accept": "text/html"},
        )
        assert answer.status_code == 403, verb
    with small_console.database.read() as session:
        row = session.get_one(ChangeRequest, made.id)
        assert (row.state, row.comment, row.version) == ("open", "", 1)
