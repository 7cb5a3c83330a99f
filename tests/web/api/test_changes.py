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
