"""GrowthBook: one client, whose user changes from call to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from web.bench import cases
from web.bench.peers import Engine, load

DISTRIBUTION = "growthbook"


def feature(case: str) -> dict[str, Any]:
    """Write the feature of a case."""

    def force(condition: Any) -> dict[str, Any]:
        return {"condition": condition, "force": True}

    def split(on: float, **more: Any) -> dict[str, Any]:
        return {
            "key": case,
            "variations": [True, False],
            "weights": [on, 1 - on],
            "hashAttribute": "id",
            "hashVersion": 2,
            **more,
        }

    if case == cases.BOOLEAN:
        return {"defaultValue": True}
    if case == cases.ROLLOUT:
        rules = [split(0.5)]
    elif case == cases.TARGETING:
        condition = {
            "country": {"$in": list(cases.WANTED_COUNTRIES)},
            "email": {"$regex": "@acme\\.com$"},
            "age": {"$gte": 18},
        }
        rules = [split(0.2, condition=condition)]
    elif case == cases.RULES:
        rules = [force({"group": group}) for group in cases.GROUPS]
    else:
        rules = [force({"id": {"$in": list(cases.MEMBERS)}})]
    return {"defaultValue": False, "rules": rules}


def engine(question: cases.Question) -> Engine:
    """Start the SDK with its features in memory; a recorded exposure goes into a list."""
    growthbook = load("growthbook")
    others = (cases.BOOLEAN, cases.ROLLOUT, cases.TARGETING)
    features = {"asked": feature(question.kind)}
    features |= {f"other-{n}": feature(others[n % 3]) for n in range(question.filling)}
    recorded: list[Any] = []

    def track(**event: Any) -> None:
        recorded.append(event)
        if len(recorded) > 10_000:
            recorded.clear()

    client = growthbook.GrowthBook(
        features=features, **({"on_experiment_viewed": track} if question.recording else {})
    )
    function = _asking(client)
    return Engine(
        function,
        [({"id": person.unit, **person.attributes},) for person in question.people],
        client.destroy,
    )


def _asking(client: Any) -> Callable[[dict[str, Any]], Any]:
    set_attributes, is_on = client.set_attributes, client.is_on

    def ask(attributes: dict[str, Any]) -> Any:
        set_attributes(attributes)
        return is_on("asked")

    return ask
