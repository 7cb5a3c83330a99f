"""A console over a real database, browsers of every role, and an HTML reader."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from experiments.catalogue import demand
from experiments.catalogue import services as catalogue
from experiments.models import Experiment, Look
from experiments.people import services as experiment_services
from experiments.policies import services as policies
from experiments.sources import services as sources
from flags import changes, services
from flags.context_samples import hash_of, record
from flags.database import Database
from flags.models import AuditEntry, Revision
from tests.forecasting import stated
from tests.web.managed import ACTOR, Clock, Managed, make_app
from web.auth import service as auth
from web.auth.guard import SESSION_COOKIE
from web.auth.models import Token, User
from web.webhooks import services as webhooks

HERE = "/projects/shop/environments/production"


@dataclass
class Form:
    """A form as a browser would send it."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """What a browser makes of a page: its words, links and forms."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._form: Form | None = None
        self._select = self._textarea = self._button = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        name = given.get("name") or ""
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag == "form":
            self._form = Form(given.get("action") or "", given.get("method") or "get")
            self.forms.append(self._form)
        if self._form is None:
            return
        if tag == "input" and name and (given.get("type") != "checkbox" or "checked" in given):
            self._form.fields[name] = given.get("value") or ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            if "selected" in given or self._select not in self._form.fields:
                self._form.fields[self._select] = given.get("value") or "\0text"
        elif tag == "textarea":
            self._textarea = name
            self._form.fields[name] = ""
        elif tag == "button":
            self._form.buttons.append("")
            self._button = "yes"

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        self._select = "" if tag == "select" else self._select
        self._textarea = "" if tag == "textarea" else self._textarea
        self._button = "" if tag == "button" else self._button

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._form is None:
            return
        if self._textarea:
            self._form.fields[self._textarea] += data
        elif self._select and self._form.fields.get(self._select) == "\0text":
            self._form.fields[self._select] = data
        elif self._button:
            self._form.buttons[-1] += data

    def form(self, button: str) -> Form:
        """Find the form that has a button with these words."""
        for form in self.forms:
            if any(" ".join(words.split()).startswith(button) for words in form.buttons):
                return form
        raise AssertionError(f"no button {button!r} in {[form.buttons for form in self.forms]}")

    def attributes(self, **wanted: str) -> list[dict[str, str | None]]:
        """Give the attributes of every tag that has the wanted ones."""
        return [
            given
            for _tag, given in self.tags
            if all(given.get(name.replace("_", "-")) == value for name, value in wanted.items())
        ]


@dataclass
class Browser:
    """A signed-in person."""

    client: FlaskClient
    email: str

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, headers={"Accept": "text/html", **options.pop("headers", {})})

    def page(self, path: str, status: int = 200) -> Page:
        response = self.get(path)
        assert response.status_code == status, response.get_data(as_text=True)[-2000:]
        return Page(response.get_data(as_text=True))

    def send(
        self, path: str, form: Form, change: dict[str, str] | None = None, **options: Any
    ) -> TestResponse:
        """Send a form of the page at ``path``, with some of its fields filled in."""
        return self.client.post(
            form.action or path,
            data={**form.fields, **(change or {})},
            headers={"Accept": "text/html", **options},
        )

    def press(self, path: str, button: str, change: dict[str, str] | None = None) -> TestResponse:
        """Open a page, fill in the form with this button, and press it."""
        return self.send(path, self.page(path).form(button), change)

    def explained(self, response: TestResponse) -> TestResponse:
        """Where production asks why before it applies a change, say why, and apply it."""
        if response.status_code != 200:
            return response
        form = Page(response.get_data(as_text=True)).form("Apply")
        return self.send("", form, {"comment": form.fields["comment"] or "as agreed"})

    def follow(self, response: TestResponse) -> Page:
        response = self.explained(response)
        assert response.status_code == 303, response.get_data(as_text=True)[-2000:]
        return self.page(response.location)


@dataclass
class Console(Managed):
    """The app with people who are signed in."""

    def person(self, role: str) -> Browser:
        email = f"{role}@example.org"
        with self.database.write() as session:
            user = auth.find_user(session, email)
            if user is None:
                user = User(
                    email=email, role=role, password_hash="not a password", created_at=self.clock()
                )
                session.add(user)
                session.flush()
            plain = auth.start_session(session, user, now=self.clock())
        client = self.app.test_client()
        client.set_cookie(SESSION_COOKIE, plain)
        return Browser(client, email)

    def visitor(self) -> Browser:
        return Browser(self.app.test_client(), "")

    def flag(self, key: str = "checkout", **draft: Any) -> None:
        with self.database.write() as session:
            services.create_flag(
                session, "shop", {"key": key, **draft}, actor=ACTOR, now=self.clock()
            )

    def change(self, flag: str, *instructions: dict[str, Any], comment: str = "") -> None:
        document = {"flag": flag, "comment": comment, "instructions": list(instructions)}
        with self.database.write() as session:
            changes.apply_change(
                session,
                "shop",
                "production",
                changes.parse_change(document),
                actor=ACTOR,
                now=self.clock(),
            )

    def saw(self, *contexts: dict[str, Any]) -> None:
        """Put contexts into production's sample."""
        seen = [(hash_of(each), json.dumps(each), self.clock()) for each in contexts]
        with self.database.write() as session:
            environment = services.get_environment(session, "shop", "production")
            assert environment.id is not None
            record(session, environment.id, seen)

    def document(self, key: str = "checkout") -> dict[str, Any]:
        with self.database.read() as session:
            flag = services.get_flag(session, "shop", key)
        return flag.environments["production"].document

    def experiment(self, document: dict[str, Any], *steps: str) -> None:
        with self.database.write() as session:
            experiment_services.create_experiment(
                session, "shop", stated(document), actor=ACTOR, now=self.clock()
            )
        for step in steps:
            if step == "start":
                self.forecast()
            with self.database.write() as session:
                getattr(experiment_services, step)(
                    session, "shop", "production", document["key"], actor=ACTOR, now=self.clock()
                )

    def metric(self, key: str, **more: Any) -> None:
        document = {"kind": "conversion", "event": "purchase", "window": "7d", **more}
        with self.database.write() as session:
            catalogue.put_metric(session, "shop", key, document, actor=ACTOR, now=self.clock())

    def source(self, key: str, **more: Any) -> None:
        document = {"kind": "parquet", "url_env": "LAKE_URL", "tracks": {"table": "events"}, **more}
        with self.database.write() as session:
            sources.put_source(session, "shop", key, document, actor=ACTOR, now=self.clock())

    def policy(self, name: str, **document: Any) -> None:
        with self.database.write() as session:
            policies.put_policy(session, "shop", name, document, actor=ACTOR, now=self.clock())

    def webhook(self, name: str = "ours", url: str = "https://hooks.example.com/in") -> str:
        with self.database.write() as session:
            secret, made = webhooks.create_webhook(
                session, "shop", name=name, url=url, actor=ACTOR, now=self.clock()
            )
            webhooks.try_webhook(session, "shop", made.id or 0, actor=ACTOR, now=self.clock())
        return secret

    def event(self, name: str, demand_class: str, description: str = "") -> None:
        with self.database.write() as session:
            demand.set_event_type(
                session,
                "shop",
                name,
                demand_class,
                description=description,
                actor=ACTOR,
                now=self.clock(),
            )

    def state_of(self, key: str) -> str:
        with self.database.read() as session:
            found = experiment_services.get_experiment(session, "shop", "production", key)
            return found.state

    def written(self) -> tuple[int, ...]:
        """Count what can be written: equal counts mean that nothing was."""
        return self.count(Revision, AuditEntry, Experiment, Token, User)


@pytest.fixture
def console(database: Database, tmp_path: Path) -> Console:
    """A console on both databases, with the project ``shop`` and a flag ``checkout``."""
    return _fill(open_console(database, tmp_path))


@pytest.fixture
def small_console(filled_file: Path, tmp_path: Path) -> Iterator[Console]:
    """The same on SQLite only, for what does not depend on the database."""
    with _opened(filled_file, tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def still_console(filled_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The same once for a file of tests, for what changes nothing."""
    with _opened(filled_file, tmp_path_factory.mktemp("still")) as opened:
        yield opened


@contextlib.contextmanager
def _opened(file: Path, folder: Path) -> Iterator[Console]:
    shutil.copy(file, folder / "one.db")
    database = Database(f"sqlite:///{folder / 'one.db'}")
    yield open_console(database, folder)
    database.dispose()


@pytest.fixture(scope="session")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file to copy: making the tables takes longer than most tests."""
    file = tmp_path_factory.mktemp("console") / "filled.db"
    database = Database(f"sqlite:///{file}")
    database.create_all()
    _fill(open_console(database, file.parent))
    database.dispose()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture
def bare_console(database: Database, tmp_path: Path) -> Console:
    """A service that nobody has set up."""
    return open_console(database, tmp_path)


def open_console(database: Database, folder: Path) -> Console:
    clock = Clock()
    app = make_app(database, folder, clock, console=True)
    return Console(app, database, clock)


def _fill(made: Console) -> Console:
    made.project()
    made.flag(default="off", off="off")
    return made


@pytest.fixture
def editor(request: pytest.FixtureRequest) -> Browser:
    """An editor of whichever console the test asked for."""
    name = "console" if "console" in request.fixturenames else "small_console"
    found: Console = request.getfixturevalue(name)
    return found.person("editor")


def plan(**more: Any) -> dict[str, Any]:
    """Give the plan of an experiment on the flag ``checkout``."""
    return {
        "key": "one-page",
        "flag": "checkout",
        "environment": "production",
        "control": "off",
        "treatments": ["on"],
        "weights": {"off": 1, "on": 1},
        "customer": "editor@example.org",
        "owner": "checkout team",
        "hypothesis": "One page makes more visitors buy.",
        "prove_by": "28d",
        "metrics": [
            {
                "key": "purchases",
                "role": "success",
                "kind": "conversion",
                "event": "purchase",
                "window": "1d",
                "mde": 0.05,
            }
        ],
        **more,
    }


@pytest.fixture(name="plan", scope="session")
def plan_fixture() -> Any:
    """Give the maker of plans."""
    return plan


@pytest.fixture(name="read_page", scope="session")
def read_page_fixture() -> Any:
    """Give the reader of pages."""
    return Page


def look(number: int, at: dt.datetime, verdict: str = "CONTINUE", **of: Any) -> Look:
    """Give a look with numbers that nobody computed."""
    sums = {"n": 1000.0, "s1": 200.0, "s2": 200.0, "s3": 200.0}
    estimate = of.get("estimate", 0.01)
    tests = [
        {
            "kind": kind,
            "metric": "purchases",
            "arm": "on",
            "estimate": estimate,
            "se": 0.01,
            "z": 1.5,
            "bound": 2.0,
            "alpha_spent": 0.01,
            "passed": False,
            "reason": None,
            "low": estimate - 0.1,
            "high": estimate + 0.1,
            "relative": 0.05,
            "relative_low": None,
            "relative_high": 0.1,
        }
        for kind in ("ship", "harm")
    ]
    return Look(
        experiment_id=1,
        number=number,
        at=at,
        verdict=verdict,
        data={
            "offset": of.get("offset", 86400.0 * number),
            "look": {
                "number": number,
                "spending_time": 0.1,
                "may_ship": False,
                "may_be_futile": False,
                "is_final": False,
                "counts": {"off": 1000, "on": 1010},
                "metrics": {"purchases": {"off": sums, "on": sums}},
            },
            "quality": {"quarantined": 0, "newest_event_age_seconds": 3.0, "stale": False},
            "alarm": None,
            "ramp_step": 0,
            "dropped": [],
        },
        decision={
            "verdict": verdict,
            "winner": None,
            "harmed": [],
            "futile": [],
            "srm_log_e": 0.1,
            "srm_p": 0.5,
            "tests": tests,
        },
    )


@pytest.fixture
def running(small_console: Any, plan: Any) -> Any:
    """A running experiment whose row can be put into any state."""
    small_console.change("checkout", {"do": "turn_on"})
    small_console.experiment(plan(), "seal", "start")

    def put(looks: int = 10, **row: Any) -> Any:
        with small_console.database.write() as session:
            experiment = session.get_one(Experiment, 1)
            for name, value in row.items():
                setattr(experiment, name, value)
            for number in range(1, looks + 1):
                at = small_console.clock() + dt.timedelta(days=number)
                session.add(look(number, at))
        small_console.clock.advance(days=looks)
        return small_console

    return put
