"""The real machine under simulated visitors: store, worker, services, flags and the SDK's engine.

Nothing of the product is replaced. Time is simulated: visitors come by, are evaluated by the flag
set that is published at that moment, are recorded in the event store, and the worker's step is run
at every instant at which a look is due.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlmodel import Session

from benchmarks.trials.trial import (
    Trial,
    deal,
    faults_of_looks,
    faults_of_serving,
    flag_document,
)
from benchmarks.trials.worlds import (
    ARMS,
    CUSTOMER,
    DAY,
    MEASURES,
    OWNER,
    Design,
    draw_visitors,
    event_name,
    plan_document,
    sized_targets,
    truths,
)
from experiments.contract.policy import look_schedule
from experiments.judging.record import verify
from experiments.machine.lifecycle import State
from experiments.models import Experiment
from experiments.monitoring.monitor import tick
from experiments.moves.enact import position_of
from experiments.people import services
from experiments.planning.forecast_words import RISKS
from experiments.rules.serving import salt_of
from experiments.store.base import Event
from experiments.store.embedded import EmbeddedStore
from flags import services as flag_services
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.revisions import load_flag_set
from flagstone.engine import CompiledFlagSet, compile_flag_set, parse_flag_set

START = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
PROJECT, ENVIRONMENT = "shop", "production"
_BATCH = 5000
_DECIDING = frozenset({State.RAMPING, State.RUNNING, State.HELD})
_SHIPPING = frozenset({State.SHIPPING, State.VERIFYING})
_SLEEP = DAY / 2


class Machine:
    """One database, one event store, one worker, and the experiments that live in them.

    Parameters
    ----------
    design : Design
        What the experiments are like.
    directory : Path
        An empty folder.
    """

    def __init__(self, design: Design, directory: Path) -> None:
        self.design = design
        self.database = Database(f"sqlite:///{directory / 'flagstone.db'}")
        self.database.create_all()
        self.store = EmbeddedStore(directory / "events")
        self.trials: list[Trial] = []
        self.looks = 0
        self._compiled: CompiledFlagSet | None = None
        self._ids = 0
        with self.database.write() as session:
            project = {"key": PROJECT, "name": "Shop"}
            flag_services.create_project(session, **project, actor=_owner(), now=START)
            environment = flag_services.get_environment(session, PROJECT, ENVIRONMENT)
            assert environment.id is not None
            self.environment_id = environment.id

    def close(self) -> None:
        """Close the database and the store."""
        self.store.close()
        self.database.dispose()

    # --- what people do

    def begin(self, world: str, key: str, seed: np.random.SeedSequence) -> Trial:
        """Draft, seal and start one experiment on a flag of its own: the only place that does."""
        targets = sized_targets(self.design)
        visitors = draw_visitors(self.design, key, truths(targets)[world], seed)
        document = plan_document(self.design, key, targets)
        place = (PROJECT, ENVIRONMENT, key)
        with self.database.write() as session:
            _create_flag(session, document["flag"])
            services.create_experiment(session, PROJECT, document, actor=_owner(), now=START)
            services.seal(session, *place, actor=_owner(), now=START)
        # The worker forecasts; what it says is no part of the trial, and the customer signs.
        tick(self.database, self.store, holder="worker", now=START)
        with self.database.write() as session:
            customer = Actor("user", CUSTOMER)
            services.accept(session, *place, risks=RISKS, actor=customer, now=START)
            started = services.start(session, *place, actor=_owner(), now=START)
            trial = Trial(world, key, visitors, plan=services.plan_of(started), state=started.state)
            assert trial.plan is not None
            assert started.id is not None
            trial.salt = salt_of(trial.plan, started.id)
        self.trials.append(trial)
        self._compiled = None
        return trial

    def _confirm(self, trial: Trial, now: float) -> None:
        with self.database.write() as session:
            actor = Actor("user", CUSTOMER)
            place = (PROJECT, ENVIRONMENT, trial.key)
            services.confirm(session, *place, actor=actor, now=_at(now))
        self._compiled = None

    # --- what happens

    def run(self) -> Iterator[float]:
        """Let time pass until every experiment has ended; yield the days that have passed."""
        for instant in self._instants():
            self._pass_time(instant)
            self._work(instant)
            yield instant / DAY
            if all(trial.over is not None for trial in self.trials):
                break
        # The rest of the time: nobody is served the treatment after a rollback.
        self._pass_time(self.design.come_days * DAY)
        for trial in self.trials:
            deal(trial)
            trial.faults = self.faults_of(trial)

    def _instants(self) -> list[float]:
        """List when the worker is run: whenever a look is due, and while a winner ships.

        Twice each time, since shipping begins at one of these instants: looks at what ships are due
        as long after it as looks are after the start, and settle as they do.
        """
        plan = self.trials[0].plan
        assert plan is not None
        policy, prove_by = plan.policy, plan.prove_by_seconds
        offsets = [
            *look_schedule(policy, prove_by),
            *(prove_by + k * DAY for k in range(1, self.design.come_days - self.design.days)),
        ]
        return [offset + k * policy.settle_seconds for offset in offsets for k in (1, 4)]

    def _pass_time(self, until: float) -> None:
        """Let visitors come by up to an instant, each served by what is published right then."""
        compiled = self._published()
        events: list[Event] = []
        for trial in self.trials:
            last = int(np.searchsorted(trial.visitors.times, until, side="right"))
            for place in range(trial.come, last):
                self._serve(trial, place, compiled)
            trial.come = last
            if trial.over is None:
                now = START.timestamp() + until
                events += [event for event in trial.pending if event.time <= now]
                trial.pending = [event for event in trial.pending if event.time > now]
        events.sort(key=lambda event: event.time)
        for first in range(0, len(events), _BATCH):
            self.store.append(events[first : first + _BATCH])

    def _serve(self, trial: Trial, place: int, compiled: CompiledFlagSet) -> None:
        visitors = trial.visitors
        unit, time = visitors.units[place], START.timestamp() + float(visitors.times[place])
        details = compiled.evaluate(trial.flag, {"targetingKey": unit}, time)
        arm = ARMS.index(str(details.variant))
        trial.arm[place] = arm
        trial.tracked[place] = details.track
        if trial.over is not None or not details.track:
            return
        at, environment = time, self.environment_id
        trial.pending.append(
            Event(self._id(), environment, at, unit, trial.flag, ARMS[arm], details.rule_id, 1)
        )
        for measure in MEASURES:
            value = float(visitors.outcomes[measure.key][arm, place])
            name = event_name(trial.key, measure.key)
            at = time + float(visitors.delays[measure.key][place])
            if measure.kind == "mean":
                event = Event(self._id(), environment, at, unit, name=name, value=value)
                trial.pending.append(event)
                continue
            for _ in range(int(value)):
                trial.pending.append(Event(self._id(), environment, at, unit, name=name))

    def _work(self, now: float) -> None:
        """Run the worker once, as its loop does; then customers speak."""
        self.store.drain(_at(now).timestamp())
        done = tick(self.database, self.store, holder="worker", now=_at(now))
        assert done.elected, "another worker holds the lease"
        for error in done.errors:
            raise RuntimeError(error)
        self.looks += done.looks
        if done.moves or done.looks:
            self._compiled = None
        for trial in self.trials:
            if trial.over is None:
                self._note(trial, now)

    def _note(self, trial: Trial, now: float) -> None:
        experiment = self._experiment(trial)
        assert trial.plan is not None
        if position_of(experiment, trial.plan).waits_for_customer:
            if trial.decided is None:
                trial.decided = now
            elif now - trial.decided >= _SLEEP:
                # The customer has slept on it: a look has passed since, and found no harm.
                self._confirm(trial, now)
                experiment = self._experiment(trial)
        state = State(experiment.state)
        if trial.ended is None:
            trial.state, trial.verdict = state, experiment.verdict
            if state not in _DECIDING:
                trial.ended = now
        if state not in _DECIDING | _SHIPPING:
            trial.over, trial.afterwards = now, experiment.verdict
            trial.pending = []

    def _experiment(self, trial: Trial) -> Experiment:
        with self.database.read() as session:
            return services.get_experiment(session, PROJECT, ENVIRONMENT, trial.key)

    def _published(self) -> CompiledFlagSet:
        """Give what an SDK would evaluate now."""
        if self._compiled is None:
            with self.database.read() as session:
                document = load_flag_set(session, self.environment_id)
            self._compiled = compile_flag_set(parse_flag_set(document))
        return self._compiled

    def forget_flags(self) -> None:
        """Fetch the flags anew: somebody else has edited them."""
        self._compiled = None

    def _id(self) -> bytes:
        self._ids += 1
        return uuid.UUID(int=self._ids).bytes

    # --- what must be true afterwards

    def faults_of(self, trial: Trial) -> list[str]:
        """Say what is not as it must be, now that everything is over."""
        with self.database.read() as session:
            experiment = services.get_experiment(session, PROJECT, ENVIRONMENT, trial.key)
            looks = services.looks(session, experiment)
            compared = len(services.comparisons(session, experiment))
            exported = services.export_record(session, experiment)
        taken = [(look.number, look.data["offset"]) for look in looks]
        trial.looks = len(taken)
        faults = [*faults_of_looks(trial, taken), *faults_of_serving(trial, experiment.state)]
        faults += self._faults_of_the_flag(trial, experiment.state)
        verified = verify(exported)
        # What ships is looked at as well, against the units held back.
        if not verified.identical or verified.looks != len(looks) + compared:
            faults.append(f"the record does not verify: {verified.sentence}")
        return faults

    def _faults_of_the_flag(self, trial: Trial, state: str) -> Iterator[str]:
        """Ask the flag, as it is published at the very end, whom it serves."""
        compiled, now = self._published(), START.timestamp() + self.design.come_days * DAY
        served = [
            compiled.evaluate(trial.flag, {"targetingKey": f"stranger-{i}"}, now).variant
            for i in range(500)
        ]
        share = served.count(ARMS[1]) / len(served)
        if state == State.ROLLED_BACK and share > 0:
            yield f"the flag still serves the treatment to {share:.0%}"
        if state != State.ROLLED_BACK and share < 1:
            yield f"the flag serves the treatment to {share:.0%} after the verification"


def _create_flag(session: Session, key: str) -> None:
    flag_services.create_flag(session, PROJECT, flag_document(key), actor=_owner(), now=START)
    change = parse_change({"flag": key, "instructions": [{"do": "turn_on"}]})
    apply_change(session, PROJECT, ENVIRONMENT, change, actor=_owner(), now=START)


def _owner() -> Actor:
    return Actor("user", OWNER)


def _at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)
