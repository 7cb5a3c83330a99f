"""Any story of an experiment, in a real database: row, flag, records and audit tell the same."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlmodel import col, select

from experiments.judging.record import verify
from experiments.models import Experiment
from experiments.people import interventions, overrides, services
from flags.actor import Actor
from flags.database import Database
from flags.errors import FlagstoneError
from flags.models import AuditEntry
from tests.experiments.conftest import CUSTOMER, OWNER, make_world, plan_document
from tests.experiments.test_monitor import _exposures
from tests.sdk.engine.fuzzing import examples

SECOND = Actor("user", "second@example.org")
EVIDENCE = {
    "same": {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}},
    "better": {"purchase": {"control": 0.2, "new": 0.35}, "error": {"control": 0.1, "new": 0.1}},
    "worse": {"purchase": {"control": 0.4, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}},
}
EDITS = [{"do": "set_coverage", "rule": "exp-button", "value": 0.3}, {"do": "archive"}]
OVER = {"CLOSED", "ABANDONED"}


class AnyStory(RuleBasedStateMachine):
    """Evidence comes as it likes, people do what they like; some of it is refused, in words."""

    @initialize(steps=st.booleans(), authorised=st.booleans())
    def begin(self, *, steps: bool, authorised: bool) -> None:
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name)
        database = Database(f"sqlite:///{path / 'one.db'}")
        database.create_all()
        self.world, self.second, self.edited = make_world(database, path), 0, False
        policy = plan_document()["policy"] | {"stale": "25s", "explain_within": "15s"}
        if steps:
            policy |= {
                "ramp": [{"coverage": 0.5, "hold": "10s"}],
                "ship_ramp": [{"share": 0.75, "hold": "10s"}],
            }
        self.world.run(plan_document(policy=policy, authorised_in_advance=authorised))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.database.dispose()
            self.directory.cleanup()

    @property
    def state(self) -> str:
        return str(self.world.experiment.state)

    @rule(evidence=st.sampled_from(["better", "better", "same", "worse"]))
    def people_come_and_time_passes(self, evidence: str) -> None:
        if not self.edited:
            self.world.traffic(self.second, self.second + 10, 1000, EVIDENCE[evidence])
        self.pass_time(10)

    @rule(seconds=st.sampled_from([10, 30]))
    def nobody_comes(self, seconds: int) -> None:
        self.pass_time(seconds)

    @rule()
    def some_meet_both(self) -> None:
        units = [f"both{self.second}-{i}" for i in range(120)]
        for arm in ("control", "new"):
            self.world.store.append(_exposures(self.world, units, arm))
        self.pass_time(10)

    @precondition(lambda self: self.state not in OVER)
    @rule(
        what=st.sampled_from(
            ["confirm", "explain", "extend", "override", "approve", "decline", "close"]
        )
    )
    def somebody_acts(self, what: str) -> None:
        verbs: dict[str, tuple[Callable[..., Experiment], Actor, dict[str, Any]]] = {
            "confirm": (services.confirm, CUSTOMER, {}),
            "explain": (interventions.explain, OWNER, {"text": "testers"}),
            "extend": (interventions.extend, CUSTOMER, {"by": "50s"}),
            "override": (overrides.override, OWNER, self.override()),
            "approve": (overrides.approve, SECOND, {}),
            "decline": (overrides.decline, SECOND, {"note": "no"}),
            "close": (interventions.close, OWNER, {"note": "gone"}),
        }
        verb, actor, said = verbs[what]
        self.act(verb, actor, said)

    @rule(chance=st.integers(0, 3))
    def somebody_stops(self, chance: int) -> None:
        if chance == 0:
            self.act(services.stop, OWNER, {"reason": "enough"})

    @precondition(lambda self: self.state not in OVER)
    @rule(edit=st.sampled_from(EDITS), chance=st.integers(0, 3))
    def somebody_edits_the_flag(self, edit: dict[str, Any], chance: int) -> None:
        if chance:
            return
        try:
            self.world.edit(edit, now=self.second)
        except FlagstoneError:
            return
        self.edited = True
        self.pass_time(1)

    @rule(text=st.sampled_from(["they click", "they leave"]))
    def somebody_says_what_was_learned(self, text: str) -> None:
        self.act(interventions.learn, OWNER, {"text": text})

    def override(self) -> dict[str, Any]:
        return {
            "arm": "new",
            "reason": "strategy",
            "text": "wanted",
            "predicted_effect": 0.1,
            "review_at": self.world.at(10_000),
        }

    def act(self, verb: Callable[..., Experiment], actor: Actor, said: dict[str, Any]) -> None:
        with contextlib.suppress(FlagstoneError):
            self.world.do(verb, actor=actor, now=self.second, **said)

    def pass_time(self, seconds: int) -> None:
        self.second += seconds
        result = self.world.tick(self.second)
        assert result.errors == ()

    @invariant()
    def row_and_records_tell_the_same(self) -> None:
        if not hasattr(self, "world"):
            return
        experiment, records = self.world.experiment, self.world.records
        last = next(r["body"] for r in reversed(records) if "state" in r["body"])
        assert (last["state"], last["verdict"]) == (experiment.state, experiment.verdict)
        result = verify(self.world.export())
        assert result.identical, result.sentence
        ended = experiment.state in {"ROLLED_BACK", "CLEANUP", "CLOSED"}
        assert result.complete is ended
        if experiment.verdict is not None:
            assert experiment.verdicts[-1]["verdict"] == experiment.verdict
        assert (experiment.state == "HELD") == (experiment.held_cause is not None)
        assert (experiment.explain_by is not None) == (experiment.held_cause == "quality")

    @invariant()
    def the_audit_tells_the_same(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.world.database.read() as session:
            query = (
                select(AuditEntry)
                .where(AuditEntry.resource == "experiment:button")
                .where(AuditEntry.action != "experiment_learn")
                .order_by(col(AuditEntry.id).desc())
            )
            newest = session.exec(query).first()
        assert newest is not None
        assert newest.after["state"] == self.state

    @invariant()
    def what_is_served_is_what_the_state_says(self) -> None:
        if not hasattr(self, "world") or self.edited:
            return
        served, state = set(self.world.served(400).values()), self.state
        if state in {"ROLLED_BACK", "ABANDONED"}:
            assert served == {"control"}
        elif state == "CLEANUP":
            assert served == {"new"}
        elif state in {"SHIPPING", "VERIFYING", "RAMPING", "RUNNING", "HELD"}:
            assert served == {"control", "new"}

    @invariant()
    def every_card_can_be_read(self) -> None:
        if hasattr(self, "world"):
            card = self.world.card(self.second)
            assert card.instruction
            assert card.sentence
            assert card.next.who


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(
    max_examples=examples(6),
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
