"""Changes that wait, over REST: who may ask, approve and apply, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flags import services
from tests.web.api.conftest import Person, Service
from tests.web.managed import ACTOR

CHANGES = "/projects/shop/changes"
ON = {"do": "turn_on", "flag": "checkout"}


@pytest.fixture
def people(shop: Service) -> Callable[[str, str], Person]:
    """Give a shop with the flag ``checkout``, and people by name and role."""
    with shop.database.write() as session:
        services.create_flag(session, "shop", {"key": "checkout"}, actor=ACTOR, now=shop.clock())
    return lambda name, role: Person(shop, name, role)


def ask(person: Person, *instructions: dict[str, Any], **more: Any) -> Any:
    body = {"environment": "production", "instructions": list(instructions or (ON,)), **more}
    return person.ok("POST", CHANGES, {"mode": "request", **body})


def enabled(person: Person) -> bool:
    path = "/projects/shop/flags/checkout/environments/production"
    return bool(person.ok("GET", path)["enabled"])


def test_one_asks_another_approves_and_the_change_is_applied(people: Any) -> None:
    ada, bob = people("ada", "editor"), people("bob", "approver")
    asked = ask(ada, comment="launch")
    here = f"{CHANGES}/{asked['id']}"
    assert (asked["state"], asked["approvals_needed"]) == ("open", 1)
    assert not enabled(ada)
    assert ada.refused("POST", f"{here}/apply") == (403, "needs_approval")
    approved = bob.ok("POST", f"{here}/approve", {"content_hash": asked["content_hash"]})
    assert approved["state"] == "approved"
    applied = ada.ok("POST", f"{here}/apply")
    assert (applied["state"], applied["outcome"]["revision"]) == ("applied", 3)
    assert enabled(ada)
    assert ada.refused("POST", f"{here}/apply") == (409, "wrong_state")
    told = ada.ok("GET", "/projects/shop/audit?resource=change:1")["items"]
    assert [(each["action"], each["actor"]) for each in told] == [
        ("apply_change", "user:ada@example.org"),
        ("approve_change", "user:bob@example.org"),
        ("request_change", "user:ada@example.org"),
    ]


def test_what_would_do_something_else_by_now_is_stale_and_stays_so(people: Any) -> None:
    ada, bob = people("ada", "editor"), people("bob", "approver")
    asked = ask(ada)
    here = f"{CHANGES}/{asked['id']}"
    bob.ok("POST", f"{here}/approve", {"content_hash": asked["content_hash"]})
    off = {"do": "set_default", "flag": "checkout", "variant": "off"}
    body = {"environment": "production", "instructions": [off]}
    ada.ok("POST", CHANGES, body)
    assert ada.refused("POST", f"{here}/apply") == (409, "stale")
    kept = ada.ok("GET", here)
    assert kept["state"] == "stale"
    assert kept["outcome"]["present"] == {"flags.checkout.default": "off"}
    assert not enabled(ada)


def test_a_request_sent_twice_is_one_and_an_edit_knows_its_version(people: Any) -> None:
    ada = people("ada", "editor")
    body = {"environment": "production", "instructions": [ON], "mode": "request"}
    made = [ada.ok("POST", CHANGES, body, Idempotency_Key="once")["id"] for _ in range(2)]
    assert made[0] == made[1]
    here = f"{CHANGES}/{made[0]}"
    assert len(ada.ok("GET", f"{CHANGES}?state=open&flag=checkout")["items"]) == 1
    assert ada.call("PATCH", here, {"comment": "x"}, If_Match='"9"').status_code == 412
    assert ada.ok("PATCH", here, {"comment": "x"}, If_Match='"1"')["version"] == 2
