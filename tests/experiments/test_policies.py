"""Stored policies: tried before they are saved, published, copied into plans, sealed with them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import plan_hash
from experiments.contract.policy import PROOF_28D
from experiments.errors import PlanError, TrialPendingError
from experiments.judging.record import verify
from experiments.models import Experiment
from experiments.people import services
from experiments.policies import services as policies
from experiments.policies.definition import parse_stored
from experiments.policies.models import PolicyTrial, PolicyVersion
from experiments.policies.standard import PROOF_28D_TRIAL
from experiments.policies.trying import try_policy
from experiments.policies.views import policy_document
from experiments.policies.words import trial_lines, warnings
from flags.actor import Actor
from flags.audit import verify_chain
from flags.errors import NotFoundError, StateError, VersionConflictError
from flags.models import AuditEntry
from tests.forecasting import FEW_RUNS, try_now

ANN = Actor("user", "ann@example.org")
SHORT: dict[str, Any] = {
    "looks": [{"every": "10s"}],
    "minimum": "30s",
    "ship_every": "10s",
    "ramp": [],
    "confirm_within": "60s",
    "settle": "0s",
    "day": "10s",
    "ship_ramp": [],
    "verify": "50s",
    "horizon": "100s",
    "description": "Days of ten seconds.",
}


def put(world: Any, name: str = "ours", expected: int | None = None, **changes: Any) -> int:
    with world.database.write() as session:
        row, _new = policies.put_policy(
            session,
            "shop",
            name,
            {**SHORT, **changes},
            expected_version=expected,
            actor=ANN,
            now=world.at(0),
        )
        assert row.version is not None
        return int(row.version)


def publish(world: Any, name: str = "ours", expected: int | None = None) -> int:
    with world.database.write() as session:
        row = policies.publish(
            session, "shop", name, expected_version=expected, actor=ANN, now=world.at(1)
        )
        assert row.version is not None
        return int(row.version)


def archive(world: Any, name: str = "ours", *, archived: bool = True) -> None:
    with world.database.write() as session:
        policies.set_archived(session, "shop", name, archived=archived, actor=ANN, now=world.at(2))


def tried(world: Any) -> int:
    """Try one policy, as a worker of its own."""
    return try_now(world.database, world.at(0))


def shown(world: Any, name: str = "ours") -> dict[str, Any]:
    with world.database.read() as session:
        row = policies.get_policy(session, "shop", name)
        trial = policies.trials(session, [row]).get(row.rules_hash)
        return policy_document(row, trial, policies.published_versions(session, [row]).get(row.id))


def test_a_policy_is_tried_published_copied_sealed_and_verified_without_the_store(
    world: Any, make_plan: Any
) -> None:
    assert put(world, alpha_harm=0.02) == 1
    with pytest.raises(TrialPendingError):
        publish(world)
    assert (tried(world), tried(world)) == (1, 0)
    assert publish(world, expected=1) == 2
    world.run(make_plan(policy="ours", prove_by=None))
    plan = world.experiment.plan
    assert plan["policy"]["name"] == "ours"
    assert (plan["policy"]["alpha_harm"], plan["policy_version"]) == (0.02, 2)
    assert plan["prove_by"] == "100s"
    sealed = world.experiment.plan_hash
    put(world, alpha_harm=0.4)
    archive(world)
    world.traffic(0, 20, 400, {"purchase": {"control": 0.2, "new": 0.25}})
    assert world.tick(30).looks == 1
    assert world.experiment.plan_hash == sealed == plan_hash(parse_plan(plan).to_document())
    exported = world.export()
    assert verify(exported).identical
    exported["records"][0]["body"]["plan"]["policy"]["alpha_harm"] = 0.4
    assert not verify(exported).identical


def test_every_change_is_a_version_with_an_entry_in_the_audit(world: Any) -> None:
    put(world)
    put(world)
    tried(world)
    assert publish(world) == publish(world) == 2
    assert put(world, alpha_ship=0.01) == 3
    assert put(world, alpha_ship=0.01, expected=3) == 3
    archive(world)
    archive(world, archived=False)
    with world.database.read() as session:
        row = policies.get_policy(session, "shop", "ours")
        history = policies.policy_history(session, row)
        entries = session.exec(select(AuditEntry)).all()
        assert verify_chain(entries) is None
    assert [(v.version, v.document["alpha_ship"], v.published, v.archived) for v in history] == [
        (5, 0.01, False, False),
        (4, 0.01, False, True),
        (3, 0.01, False, False),
        (2, 0.025, True, False),
        (1, 0.025, False, False),
    ]
    assert {v.actor for v in history} == {str(ANN)}
    ours = [entry for entry in entries if entry.resource == "policy:ours"]
    assert [entry.action for entry in ours] == [
        "policy_set",
        "policy_publish",
        "policy_set",
        "policy_archive",
        "policy_unarchive",
    ]
    assert ours[1].after["characteristics"]["runs"] == FEW_RUNS, "what the publisher saw"
    assert (ours[1].before["published"], ours[1].after["published"]) == (False, True)


def test_a_policy_that_moved_is_a_conflict_and_nothing_is_written(world: Any) -> None:
    put(world)
    tried(world)
    put(world, alpha_ship=0.4)
    with pytest.raises(VersionConflictError):
        publish(world, expected=1)
    for name, expected in (("ours", 1), ("other", 1)):
        with pytest.raises(VersionConflictError):
            put(world, name, expected)
    # What was tried was the draft before: nobody has seen what this one does.
    with pytest.raises(TrialPendingError, match="being computed"):
        publish(world, expected=2)
    with world.database.read() as session:
        assert len(session.exec(select(PolicyVersion)).all()) == 2
        with pytest.raises(NotFoundError):
            policies.get_policy(session, "shop", "other")


def test_a_kept_version_cannot_be_changed(sqlite_world: Any) -> None:
    world = sqlite_world
    put(world)
    with pytest.raises(TypeError, match="append-only"), world.database.write() as session:
        session.exec(select(PolicyVersion)).one().published = True


def test_a_new_description_is_published_with_its_rules(sqlite_world: Any) -> None:
    world = sqlite_world
    put(world)
    tried(world)
    publish(world)
    assert put(world, description="For small shops.") == 3
    assert (shown(world)["state"], shown(world)["published_version"]) == ("published", 3)
    assert put(world, alpha_ship=0.01) == 4
    assert (shown(world)["state"], shown(world)["published_version"]) == ("checking", 3)


def test_rules_that_were_tried_are_not_tried_again_under_another_name(sqlite_world: Any) -> None:
    world = sqlite_world
    put(world)
    assert tried(world) == 1
    put(world, "theirs")
    put(world, alpha_ship=0.01)
    put(world)
    assert tried(world) == 0
    assert publish(world, "theirs") == 2


def test_rules_are_tried_again_when_the_method_is_another(world: Any) -> None:
    put(world)
    tried(world)
    with world.database.write() as session:
        session.exec(select(PolicyTrial)).one().method = 0
    with pytest.raises(TrialPendingError):
        publish(world)
    assert (tried(world), shown(world)["state"]) == (1, "checked")


def test_an_archived_policy_waits_to_be_brought_back(sqlite_world: Any) -> None:
    world = sqlite_world
    put(world)
    archive(world)
    assert (tried(world), shown(world)["state"]) == (0, "archived")
    with pytest.raises(StateError, match="archived"):
        put(world, alpha_ship=0.01)
    with pytest.raises(StateError, match="archived"):
        publish(world)
    archive(world, archived=False)
    tried(world)
    assert publish(world) == 4
    with world.database.read() as session:
        assert [row.name for row in policies.list_policies(session, "shop")] == ["ours"]
        assert policies.list_policies(session, "shop", archived=True) == []


def test_a_policy_that_cannot_be_tried_is_not_published_and_keeps_nobody_waiting(
    sqlite_world: Any,
) -> None:
    world = sqlite_world
    put(world)
    put(world, "next", alpha_ship=0.01)
    with world.database.write() as session:
        # As if a rule had been allowed once that is not any more.
        row = policies.get_policy(session, "shop", "ours")
        row.document = {**row.document, "alpha_ship": 7}
    assert (tried(world), tried(world), tried(world)) == (1, 1, 0)
    found = shown(world)
    assert found["state"] == "refused"
    assert "must be more than 0" in found["characteristics"]["reason"]
    with pytest.raises(StateError, match="cannot be tried"):
        publish(world)
    assert shown(world, "next")["state"] == "checked"


def test_the_worker_tries_a_draft_by_itself(sqlite_world: Any) -> None:
    world = sqlite_world
    put(world, horizon="30s")
    assert world.tick(1).errors == ()
    assert shown(world)["characteristics"]["sentence"].startswith("Of 1,000 changes that do nothi")


def test_a_policy_with_lax_error_rates_shows_it_and_the_houses_own_warns_of_nothing() -> None:
    lax = parse_stored("lax", {**SHORT, "alpha_ship": 0.3, "alpha_harm": 0.3}).policy
    found = try_policy(lax, runs=1000)
    assert found["ship_if_worthless"]["value"] > 0.05
    said = "\n".join(trial_lines("lax", found))
    assert "Lax: of 1,000 changes that do nothing, " in said
    assert "Nervous: of 1,000 harmless changes, " in said
    assert "(proof-28d 19 ± 5)" in said
    assert warnings(PROOF_28D_TRIAL) == ()


def test_what_stands_beside_every_policy_is_what_trying_proof_28d_gives() -> None:
    """Other processors may move a simulated experiment or two over a bound."""
    found = try_policy(PROOF_28D)
    for name, kept in PROOF_28D_TRIAL.items():
        if isinstance(kept, dict):
            assert found[name]["value"] == pytest.approx(kept["value"], abs=1e-3), name
            assert found[name]["se"] == pytest.approx(kept["se"], rel=0.05), name
        else:
            assert found[name] == kept, name


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("Ours", {}, "name"),
        ("inline", {}, "name"),
        ("ours", {"name": "other"}, "name"),
        ("ours", {"description": 7}, "description"),
        ("ours", {"alpha_ship": 0.5}, "alpha_ship"),
        ("ours", {"alfa": 0.5}, "alfa"),
        ("ours", {"looks": []}, "looks"),
        ("ours", {"looks": [{"every": "0.1s"}], "horizon": "28d"}, "looks"),
        ("ours", {"minimum": "200s"}, "minimum"),
        ("ours", {"ramp": [{"coverage": 2, "hold": "1s"}]}, "ramp[0].coverage"),
    ],
)
def test_a_fault_in_a_policy_is_named(name: str, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_stored(name, {**SHORT, **changes})
    assert caught.value.field == field
    assert not caught.value.message.startswith("policy.")


def test_a_built_in_policy_cannot_be_written(sqlite_world: Any) -> None:
    world = sqlite_world
    for name in ("proof-28d", "release-1d"):
        for change in (put, publish, archive):
            with pytest.raises(StateError, match="built in") as caught:
                change(world, name)
            assert "another name" in str(caught.value.hint)


FAULTS: list[tuple[dict[str, Any], str, str | None]] = [
    ({"policy": "our"}, "policy", "did you mean ours?"),
    ({"policy": "zzz"}, "policy", "flagstone policies list"),
    ({"policy": "old"}, "policy", "bring it back"),
    ({"policy": "draft"}, "policy", "flagstone policies publish draft"),
    ({"policy": "ours", "policy_version": 1}, "policy_version", "the newest is 2"),
    ({"policy": "ours", "policy_version": 9}, "policy_version", "the newest is 2"),
    ({"policy": "ours", "policy_version": "2"}, "policy_version", None),
    ({"policy": {"name": "ours", "alpha_ship": 0.1}}, "policy", 'policy = "ours"'),
    ({"policy": {"name": "mine"}, "policy_version": 2}, "policy_version", "leave it out"),
    ({"policy": "proof-28d", "policy_version": 2}, "policy_version", "name the policy"),
    ({"policy_version": 2}, "policy_version", "name the policy"),
]


def test_a_name_that_cannot_be_followed_names_its_field_and_a_way_out(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    for name in ("ours", "old"):
        put(world, name)
    tried(world)
    publish(world)
    publish(world, "old")
    archive(world, "old")
    put(world, "draft")
    for said, field, hint in FAULTS:
        with pytest.raises(PlanError) as caught:
            world.create(make_plan(**{"policy": None, **said}))
        assert caught.value.field == field, said
        assert hint is None or hint in str(caught.value.hint), said


def test_a_plan_takes_the_newest_published_version_or_the_one_it_pins(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    put(world)
    tried(world)
    publish(world)
    put(world, alpha_ship=0.01)
    world.create(make_plan(policy="ours"))
    assert world.experiment.plan["policy"]["alpha_ship"] == 0.025, "a draft is taken by nobody"
    tried(world)
    publish(world)
    world.create(make_plan(policy="ours", key="other"))
    world.create(make_plan(policy="ours", policy_version=2, key="pinned"))
    with world.database.read() as session:
        taken = {
            each.key: (each.plan["policy_version"], each.plan["policy"]["alpha_ship"])
            for each in session.exec(select(Experiment))
        }
    assert taken == {"button": (2, 0.025), "other": (4, 0.01), "pinned": (2, 0.025)}


def test_a_plan_may_come_back_as_it_was_read_and_not_otherwise(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    put(world)
    tried(world)
    publish(world)
    world.create(make_plan(policy="ours"))
    plan = world.experiment.plan
    world.do(services.replace_plan, document=plan)
    assert world.experiment.plan == plan
    for changed in (
        {**plan, "policy": {**plan["policy"], "alpha_ship": 0.1}},
        {**plan, "policy_version": 1},
        {field: value for field, value in plan.items() if field != "policy_version"},
    ):
        with pytest.raises(PlanError, match="stored policy 'ours' already"):
            world.do(services.replace_plan, document=changed)


def test_a_newer_policy_is_pointed_out_on_a_draft_and_a_new_description_is_none(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    put(world)
    tried(world)
    publish(world)
    world.create(make_plan(policy="ours"))

    def newer() -> Any:
        with world.database.read() as session:
            return services.newer_policy(session, world.experiment)

    put(world, description="Other words.")
    put(world, alpha_ship=0.01)
    assert newer() is None
    tried(world)
    publish(world)
    found = {"policy": "ours", "version": 2, "newest": 5, "archived": False}
    assert newer() == found
    archive(world)
    assert newer() == {**found, "newest": 6, "archived": True}
    world.do(services.seal)
    assert newer() is None


def test_a_stored_policy_is_unknown_where_there_is_no_service(make_plan: Any) -> None:
    with pytest.raises(PlanError, match="names no policy") as caught:
        parse_plan(make_plan(policy="ours"))
    assert "is not read here" in str(caught.value.hint)


def test_a_release_may_take_a_stored_policy(sqlite_world: Any) -> None:
    world = sqlite_world
    put(world, looks=[{"every": "1h"}], horizon="1d", ship_every="1h", minimum="0s")
    tried(world)
    publish(world)
    short = {
        "flag": "checkout",
        "variant": "new",
        "control": "control",
        "guards": ["error"],
        "steps": [10, 100],
        "customer": "customer@example.org",
        "owner": "owner@example.org",
        "policy": "ours",
        "policy_version": 2,
    }
    with world.database.write() as session:
        made = services.create_experiment(session, "shop", short, actor=ANN, now=world.at(0))
        assert made.plan["policy_version"] == 2
        assert made.plan["policy"]["looks"] == [{"every": "1h"}]
