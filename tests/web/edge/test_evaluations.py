"""Flags that are asked for over HTTP are known to be in use: bounded, and off everybody's way."""

from __future__ import annotations

import datetime as dt

import pytest

from flags import activity
from flags.database import Database
from web.edge.evaluations import ALL_SECONDS, MAX_WAITING, Evaluations

NOW = 1_780_000_000.0


@pytest.fixture
def evaluations(database: Database) -> Evaluations:
    found = Evaluations(lambda: NOW)
    found._database = database
    return found


def seen(database: Database, here: int, *keys: str) -> dict[str, float]:
    now = dt.datetime.fromtimestamp(NOW, dt.UTC)
    with database.read() as session:
        found = activity.read(session, here, keys, now=now)
    return {key: at.evaluated_at.timestamp() for key, at in found.items() if at.evaluated_at}


def test_the_last_evaluation_is_written_and_little_news_is_none(
    database: Database, evaluations: Evaluations, here: int
) -> None:
    evaluations.note(here, "a", NOW)
    evaluations.note(here, "a", NOW + 9)
    evaluations.note(here, "b", NOW)
    assert seen(database, here, "a", "b") == {}
    evaluations.write()
    assert seen(database, here, "a", "b") == {"a": NOW + 9, "b": NOW}
    evaluations.note(here, "a", NOW + 60)
    evaluations.note(here, "b", NOW + 600)
    evaluations.write()
    assert seen(database, here, "a", "b") == {"a": NOW + 9, "b": NOW + 600}


def test_what_the_worker_summed_up_stays(
    database: Database, evaluations: Evaluations, here: int
) -> None:
    now = dt.datetime.fromtimestamp(NOW, dt.UTC)
    hour = activity.hour_of(now)
    with database.write() as session:
        activity.keep(session, here, {hour: {"a": 7}}, {}, now=now - dt.timedelta(minutes=9))
    evaluations.note(here, "a", NOW)
    evaluations.write()
    with database.read() as session:
        (found,) = activity.read(session, here, ["a"], now=now).values()
    assert found.total == 7
    assert found.evaluated_at == now


def test_an_answer_to_everything_counts_once_an_hour_for_what_it_holds(
    database: Database, evaluations: Evaluations, here: int
) -> None:
    evaluations.note_all(here, ["a", "b"], NOW, client_only=True)
    evaluations.note_all(here, ["a", "b"], NOW + ALL_SECONDS - 1, client_only=True)
    evaluations.write()
    assert seen(database, here, "a", "b") == {"a": NOW, "b": NOW}
    evaluations.note_all(here, ["a"], NOW + ALL_SECONDS, client_only=True)
    evaluations.write()
    assert seen(database, here, "a", "b") == {"a": NOW + ALL_SECONDS, "b": NOW}


def test_what_waits_is_bounded_and_survives_a_database_that_is_away(
    database: Database, evaluations: Evaluations, here: int
) -> None:
    for number in range(MAX_WAITING + 5):
        evaluations.note(here, f"f{number}", NOW)
    assert len(evaluations._waiting) == MAX_WAITING
    evaluations._waiting = {(here, "a"): NOW}
    evaluations._database = Database("sqlite:////no/such/folder/flagstone.db")
    with pytest.raises(Exception, match="unable to open"):
        evaluations.write()
    evaluations._database = database
    evaluations.write()
    assert seen(database, here, "a") == {"a": NOW}
