"""A small shop with something of everything: what the pages are looked at with.

Seeded through the services and decided by the real worker, day by day, with people who behave:
flags in every state, experiments with every verdict. It takes a few seconds, once per session.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import random
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.catalogue import demand
from experiments.catalogue import services as catalogue
from experiments.monitoring.monitor import tick
from experiments.moves import layers
from experiments.people import interventions, overrides, releases, requests, services
from experiments.policies import services as policies
from experiments.sources import services as sources
from experiments.store.base import Event
from experiments.store.embedded import EmbeddedStore
from flags import change_requests, changes, heartbeats
from flags import services as flag_services
from flags.actor import Actor
from flags.context_samples import hash_of, record
from flags.database import Database
from flags.request_rows import Writing
from flags.revisions import load_flag_set
from flagstone.engine import CompiledFlagSet, compile_flag_set, parse_flag_set
from tests.forecasting import forecast_now, stated
from tests.web.managed import Clock, make_app
from web.auth import service as auth
from web.auth.guard import SESSION_COOKIE
from web.auth.models import User
from web.webhooks import kill_hooks
from web.webhooks import services as webhooks

DAYS = 12
LOOKS = (4, 8, 12)
"""Days on which the worker is awake; it takes the newest look that it missed."""
CUSTOMER = "maria.head-of-sales@shop.example"
OWNER = "jonas.checkout@shop.example"
MACHINE = Actor("system", "set-up")
HERE = "/projects/shop/environments/production"

LONG = "checkout-for-returning-customers-with-a-saved-address-and-more-than-one-open-basket-v2"
POLICY: dict[str, Any] = {
    "name": "two-weeks",
    "looks": [{"every": "1d"}],
    "minimum": "3d",
    "ship_every": "1d",
    "ramp": [],
    "confirm_within": "7d",
    "settle": "0s",
    "stale": "36h",
    "ship_ramp": [],
    "verify": "2d",
}
VALUE = {
    "per_unit": {"low": 22, "likely": 31, "high": 38},
    "eligible_units_per_month": 30_000,
    "run_per_month": 400,
    "build": 8000,
    "currency": "EUR",
}
BASE = {"purchase": 0.2, "error": 0.1, "contact": 0.05}
METRICS: list[dict[str, Any]] = [
    {
        "key": "purchases",
        "role": "success",
        "kind": "conversion",
        "event": "purchase",
        "window": "12h",
        "mde": 0.1,
    },
    {
        "key": "checkout errors",
        "role": "guardrail",
        "kind": "conversion",
        "event": "error",
        "window": "12h",
        "direction": "down",
        "margin": 0.5,
    },
    {
        "key": "support contacts",
        "role": "explore",
        "kind": "conversion",
        "event": "contact",
        "window": "12h",
        "direction": "down",
    },
]


class Shop:
    """The service, its clock and its people; made once, then only read."""

    def __init__(self, folder: Path, furnish: Callable[[Shop], None] | None = None) -> None:
        self.database = Database(f"sqlite:///{folder / 'shop.db'}")
        self.database.create_all()
        self.store = EmbeddedStore(folder / "events")
        self.clock = Clock()
        self.began = self.clock()
        self.app = make_app(self.database, folder, self.clock, console=True)
        self.rng = random.Random(7)
        self.traffic: dict[str, tuple[int, Mapping[str, float]]] = {}
        (furnish or _furnish)(self)

    def cookie(self, email: str) -> dict[str, str]:
        """Give the cookie of somebody who is signed in."""
        with self.database.write() as session:
            user = auth.find_user(session, email)
            assert user is not None
            secret = auth.start_session(session, user, now=self.clock())
        return {"name": SESSION_COOKIE, "value": secret}

    def flag(self, key: str, *instructions: dict[str, Any], **draft: Any) -> None:
        """Make a flag, on unless it says otherwise, and change it step by step."""
        with self.database.write() as session:
            off = {} if "variants" in draft else {"default": "off", "off": "off"}
            given = {"key": key, "owner": OWNER, **off, **draft}
            flag_services.create_flag(
                session, "shop", given, actor=_person(OWNER), now=self.clock()
            )
        for each in instructions:
            self.clock.advance(minutes=11)
            self.change(key, each)

    def change(self, key: str, *instructions: dict[str, Any], **more: Any) -> None:
        """Change a flag in one environment, production unless told otherwise."""
        environment = more.pop("environment", "production")
        document = {"flag": key, "instructions": list(instructions), **more}
        with self.database.write() as session:
            changes.apply_change(
                session,
                "shop",
                environment,
                changes.parse_change(document),
                actor=_person(OWNER),
                now=self.clock(),
            )

    def ask(self, key: str, *instructions: dict[str, Any], **more: Any) -> None:
        """Ask for a change, or schedule it."""
        document = {"flag": key, "instructions": list(instructions), **more}
        by = Writing(_person(OWNER))
        with self.database.write() as session:
            change_requests.submit(
                session,
                "shop",
                "production",
                changes.parse_change(document),
                by=by,
                now=self.clock(),
            )

    def experiment(
        self, key: str, *steps: str, units: int = 150, rates: Any = None, **more: Any
    ) -> None:
        """Draft an experiment on a flag of its own, and take it through some steps."""
        flag = more.setdefault("flag", key)
        control, new = ("off", "on") if flag == "checkout" else ("control", "new")
        if flag != "checkout":
            self.flag(flag, {"do": "turn_on"}, **_two_texts())
        document = {
            "key": key,
            "environment": "production",
            "control": control,
            "treatments": [new],
            "weights": {control: 50, new: 50},
            "hypothesis": f"The new {key.replace('-', ' ')} makes more visitors buy.",
            "customer": CUSTOMER,
            "owner": OWNER,
            "prove_by": "28d",
            "metrics": METRICS,
            "policy": POLICY,
            **more,
        }
        with self.database.write() as session:
            services.create_experiment(
                session, "shop", stated(document), actor=_person(OWNER), now=self.clock()
            )
        for step in steps:
            self.do(getattr(services, step), key)
        if rates is not None:
            self.traffic[flag] = (units, {f"{new} {name}": share for name, share in rates.items()})

    def do(self, what: Any, key: str, by: str = OWNER, **said: Any) -> None:
        """Do what a person does to an experiment."""
        if what is services.start:
            forecast_now(self.database, self.clock())
        with self.database.write() as session:
            what(
                session,
                "shop",
                "production",
                key,
                actor=_person(by),
                now=self.clock(),
                **said,
            )

    def day(self, hours: float = 12) -> None:
        """Let one day pass, in whose first hours people come, meet the flags and act."""
        begin, compiled = self.clock.now, self._compiled()
        events: list[Event] = []
        for flag, (units, rates) in self.traffic.items():
            for number in range(units):
                at = begin.timestamp() + 3600 * hours * number / units
                unit = f"{flag}-{begin:%j}-{number}"
                events += self._visit(compiled, flag, rates, unit, at)
        for first in range(0, len(events), 1000):
            self.store.append(events[first : first + 1000])
        self.clock.advance(days=1)

    def look(self) -> None:
        """Let the worker do whatever is due."""
        tick(self.database, self.store, holder="worker", now=self.clock())

    def _visit(
        self,
        compiled: CompiledFlagSet,
        flag: str,
        rates: Mapping[str, float],
        unit: str,
        at: float,
    ) -> list[Event]:
        found = compiled.evaluate(flag, {"targetingKey": unit}, at)
        if not found.track or found.variant is None:
            return []
        # A broken page loses some of those who should have seen it.
        if self.rng.random() < rates.get(f"{found.variant} lost", 0.0):
            return []
        met = functools.partial(Event, environment_id=1, unit=unit)
        seen = met(
            id=self._id(),
            time=at,
            flag=flag,
            variant=found.variant,
            rule=found.rule_id,
            revision=1,
        )
        acts = [
            met(id=self._id(), time=at + 600 + 3000 * self.rng.random(), name=name)
            for name in dict.fromkeys([*BASE, *(key.split(" ")[1] for key in rates)])
            if self.rng.random() < rates.get(f"{found.variant} {name}", BASE.get(name, 0.0))
        ]
        return [seen, *acts]

    def _id(self) -> bytes:
        return uuid.UUID(int=self.rng.getrandbits(128)).bytes

    def _compiled(self) -> CompiledFlagSet:
        with self.database.read() as session:
            return compile_flag_set(parse_flag_set(load_flag_set(session, 1)))


def _person(email: str) -> Actor:
    return Actor("user", email)


def _two_texts() -> dict[str, Any]:
    return {
        "type": "string",
        "variants": {"control": {"value": "old"}, "new": {"value": "new"}},
        "default": "control",
        "off": "control",
    }


def open_shop(shop: Shop, **more: str) -> None:
    """Make the project, empty ones beside it, and the people."""
    with shop.database.write() as session:
        for key, name in {"shop": "Web shop", **more}.items():
            flag_services.create_project(
                session, key=key, name=name, actor=MACHINE, now=shop.clock()
            )
        people = {CUSTOMER: "admin", OWNER: "editor", "viewer@shop.example": "viewer"}
        for email, role in people.items():
            session.add(User(email=email, role=role, password_hash="none", created_at=shop.clock()))


def _furnish(shop: Shop) -> None:
    open_shop(shop, empty="Nothing yet")
    _make_flags(shop)
    _make_experiments(shop)
    for number in range(1, DAYS + 1):
        shop.day()
        if number == DAYS:
            _make_catalogue(shop)
            _make_drafts(shop)
        if number in LOOKS:
            shop.look()
        if number == LOOKS[1]:
            shop.do(services.confirm, "guest-checkout", by=CUSTOMER)
            said = {
                "arm": "new",
                "reason": "contract",
                "text": "The bank's logo must be there by the end of the year.",
                "predicted_effect": 0.02,
                "review_at": shop.clock() + dt.timedelta(days=3),
            }
            shop.do(overrides.override, "trust-badges", **said)
            del shop.traffic["app-banner"]
            shop.do(services.stop, "loud-header", reason="Legal does not like the wording.")
    said |= {"text": "The campaign was sold with it.", "reason": "strategy"}
    said["review_at"] = shop.clock() + dt.timedelta(days=60)
    shop.do(overrides.override, "calmer-colours", **said)
    words = (
        "Red hides the price on small screens, and people go back to look for it.\n"
        "Try a banner that stands below the price."
    )
    shop.do(interventions.learn, "red-banner", text=words)
    _make_what_waits(shop)
    _make_hooks(shop)
    shop.clock.advance(minutes=7)
    _connect(shop)


def _make_hooks(shop: Shop) -> None:
    by: dict[str, Any] = {"actor": _person(OWNER), "now": shop.clock()}
    with shop.database.write() as session:
        _, made = webhooks.create_webhook(
            session, "shop", name="release bot", url="https://hooks.example.com/in", **by
        )
        webhooks.try_webhook(session, "shop", made.id or 0, **by)
        kill_hooks.create_hook(
            session,
            "shop",
            "production",
            name="payments alerts",
            scope="owner",
            names=[OWNER],
            **by,
        )


def _make_catalogue(shop: Shop) -> None:
    buyers = {"kind": "conversion", "event": "purchase", "window": "7d"}
    revenue = {
        "kind": "mean",
        "event": "purchase",
        "window": "7d",
        "description": "What one visitor spends within a week of the first visit, before returns.",
    }
    with shop.database.write() as session:
        by: dict[str, Any] = {"actor": _person(OWNER), "now": shop.clock()}
        catalogue.put_metric(session, "shop", "buyers", buyers, **by)
        catalogue.put_metric(session, "shop", "revenue-per-visitor", revenue, **by)
        demand.set_event_type(
            session, "shop", "contact", "failure", description="asks the support", **by
        )
        demand.set_event_type(session, "shop", "purchase", "value", description="pays", **by)
        policies.put_policy(session, "shop", "ours", {"confirm_within": "5d"}, **by)
        lake = {"kind": "parquet", "url_env": "LAKE_URL", "tracks": {"table": "events"}}
        sources.put_source(session, "shop", "lake", lake, **by)
    with shop.database.write() as session:
        auth.create_token(
            session,
            auth.TokenKind.SERVER,
            name="checkout service",
            created_by=_person(CUSTOMER),
            project_id=1,
            environment_id=1,
            now=shop.clock(),
        )


def _make_flags(shop: Shop) -> None:
    rule = {"do": "add_rule", "rule": _rollout(0.25)}
    shop.flag("checkout", {"do": "turn_on"}, description="The checkout on one page.")
    shop.flag("dark-mode", {"do": "turn_on"}, {"do": "set_default", "variant": "on"})
    shop.flag("gift-wrapping")
    shop.flag("new-search", {"do": "turn_on"}, rule)
    shop.flag("recommendations", {"do": "turn_on"}, rule)
    shop.clock.advance(minutes=30)
    shop.change("recommendations", {"do": "kill"}, comment="The provider answers after 9 seconds.")
    shop.flag(LONG, {"do": "turn_on"}, rule, description="For those who come back. " * 8)
    shop.flag("old-banner", {"do": "turn_on"}, {"do": "archive"})
    shop.flag(
        "prices",
        {"do": "turn_on"},
        {"do": "add_targets", "variant": "higher", "keys": [f"tester-{n}" for n in range(40)]},
        {
            "do": "add_rule",
            "rule": {
                "id": "switzerland",
                "when": {"attr": "country", "op": "in", "values": ["CH", "LI", "AT"]},
                "serve": "higher",
            },
        },
        type="object",
        variants={
            "today": {"value": {"currency": "EUR", "factor": 1.0, "rounding": [0.99, 0.49]}},
            "higher": {"value": {"currency": "EUR", "factor": 1.08, "rounding": [0.95]}},
        },
        default="today",
        off="today",
    )
    for key in ("new-search", "dark-mode"):
        shop.change(key, {"do": "turn_on"}, environment="staging")


def _rollout(share: float) -> dict[str, Any]:
    return {
        "id": "rollout",
        "serve": {"split": {"weights": {"on": 1}, "coverage": share}},
    }


BETTER = {"purchase": 0.42}


def _make_experiments(shop: Shop) -> None:
    live = ("seal", "start")
    shop.experiment("one-page", *live, flag="checkout", value=VALUE, rates={"purchase": 0.21})
    shop.experiment("free-delivery", *live, value=VALUE, units=500, rates={"purchase": 0.33})
    shop.experiment("red-banner", *live, units=400, rates={"purchase": 0.1, "error": 0.2})
    shop.experiment("shorter-form", *live, units=700, rates={"purchase": 0.19})
    shop.experiment("guest-checkout", *live, value=VALUE, units=600, rates=BETTER, prove_by="10d")
    shop.experiment("calmer-colours", *live, units=60, rates={}, prove_by="10d")
    shop.experiment("lost-visitors", *live, units=600, rates={"lost": 0.3})
    shop.experiment("app-banner", *live, units=60, rates={})
    shop.experiment("trust-badges", *live, units=60, rates={})
    shop.experiment("loud-header", *live, units=60, rates={})


def _make_drafts(shop: Shop) -> None:
    shop.experiment("gift-cards")
    shop.experiment("express-lane", "seal")
    shop.experiment("wish-list", "seal")
    shop.do(services.stop, "wish-list", reason="The supplier ends the service.")


def _make_what_waits(shop: Shop) -> None:
    """What asks something of somebody: changes, requests, a release, layers."""
    by: dict[str, Any] = {"actor": _person(OWNER), "now": shop.clock()}
    wider = {"do": "set_coverage", "rule": "rollout", "value": 0.5}
    at = (shop.clock() + dt.timedelta(days=1)).isoformat()
    shop.ask("new-search", wider, mode="schedule", at=at, comment="Refunds are shown safe.")
    shop.ask("new-search", {"do": "turn_off"}, mode="request", comment="The index is stale.")
    shop.ask(LONG, wider, mode="request", comment="No complaints after a week. " * 6)
    release = {
        "flag": "gift-wrapping",
        "variant": "on",
        "customer": CUSTOMER,
        "guards": ["error"],
        "steps": [{"share": 0.05, "approval": True}, 25, 50, 100],
    }
    shop.change("gift-wrapping", {"do": "turn_on"})
    with shop.database.write() as session:
        made = releases.create(session, "shop", release, **by)
        layers.put_layer(
            session, "shop", "production", "checkout", description="One page, one change.", **by
        )
        wish = {"title": "Let me pay by invoice", "demand": "value", "asker": "support"}
        requests.create_request(session, "shop", text="Many firms ask for it.", **wish, **by)
        fault = {"title": "The new search finds nothing with umlauts", "demand": "failure"}
        found = requests.create_request(session, "shop", text="", asker=OWNER, **fault, **by)
        assert found.id is not None
        cause: dict[str, Any] = {"flag_key": "new-search", "relation": "causes"}
        requests.link_request(session, "shop", found.id, version=found.version, **cause, **by)
    shop.do(releases.start, made.key)


def _connect(shop: Shop) -> None:
    """Let programs be connected: who is told, what may kill, who serves which revision."""
    seen = [{"targetingKey": f"user-{n}", "country": "CH" if n % 3 else "DE"} for n in range(400)]
    with shop.database.write() as session:
        record(session, 1, [(hash_of(each), json.dumps(each), shop.clock()) for each in seen])
    by: dict[str, Any] = {"actor": _person(CUSTOMER), "now": shop.clock()}
    with shop.database.write() as session:
        _secret, made = webhooks.create_webhook(
            session, "shop", name="release bot", url="https://hooks.example.com/in", **by
        )
        webhooks.try_webhook(session, "shop", made.id or 0, **by)
        kill_hooks.create_hook(
            session,
            "shop",
            "production",
            name="payments alerts",
            scope="flags",
            names=["checkout", "new-search"],
            **by,
        )
        newest = flag_services.get_environment(session, "shop", "production").revision
        heartbeats.record(
            session,
            [
                heartbeats.Heartbeat(
                    environment_id=1,
                    id=str(uuid.UUID(int=number)),
                    sdk="flagstone-python 0.1.0",
                    runtime="python 3.13",
                    host=f"checkout-{number}.shop.example",
                    revision=newest - (number == 3) * 4,
                    etag=None,
                    source="network",
                    started_at=shop.clock() - dt.timedelta(hours=30 + number),
                    seen_at=shop.clock() - dt.timedelta(seconds=number),
                    events={},
                    unknown_flags=["old-name"] if number == 1 else [],
                    defaults="{}",
                    defaults_complete=True,
                )
                for number in (1, 2, 3)
            ],
        )
