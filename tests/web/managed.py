"""A management app over a real database, for the tests of the API and of the console."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlmodel import SQLModel, func, select
from werkzeug.routing import Rule

from flags import services
from flags.actor import Actor
from flags.database import Database
from tests.forecasting import forecast_now, try_now
from web.app import create_flask_app
from web.settings import Settings

START = dt.datetime(2026, 12, 1, 9, 0, tzinfo=dt.UTC)
ACTOR = Actor("system", "test")


class _Templates(BytecodeCache):
    """Keeps compiled templates for as long as the tests run."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_TEMPLATES = _Templates()


class Clock:
    """A time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += dt.timedelta(**parts)


@dataclass
class Managed:
    """The app under test with its database and clock."""

    app: Flask
    database: Database
    clock: Clock

    def project(self, key: str = "shop", name: str | None = None) -> None:
        name, now = name or key.title(), self.clock()
        with self.database.write() as session:
            services.create_project(session, key=key, name=name, actor=ACTOR, now=now)

    def forecast(self) -> int:
        """Do the worker's forecasts."""
        return forecast_now(self.database, self.clock())

    def try_policies(self) -> int:
        """Do the worker's trial of a policy."""
        return try_now(self.database, self.clock())

    def count(self, *tables: type[SQLModel]) -> tuple[int, ...]:
        """Count rows: equal counts mean that nothing was written."""
        with self.database.read() as session:
            return tuple(
                session.exec(select(func.count()).select_from(table)).one() for table in tables
            )


def make_app(database: Database, folder: Path, clock: Clock, *, console: bool) -> Flask:
    """Make the app that a test calls."""
    settings = Settings(database_url=database.url, data_directory=folder)
    app = create_flask_app(settings, database, clock=clock, console=console)
    # Every application would compile every template anew.
    app.jinja_env.bytecode_cache = _TEMPLATES
    return app


def _compile_once(compile_builder: Callable[[Rule, bool], Any]) -> Callable[[Rule, bool], Any]:
    """Let all applications share what writes an address: hundreds of functions for each of them."""
    kept: dict[tuple[str, str, bool], Any] = {}

    @functools.wraps(compile_builder)
    def once(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, repr(rule.defaults), append_unknown)
        if key not in kept:
            kept[key] = compile_builder(rule, append_unknown)
        return kept[key]

    return once


def _parse_once(parse: Callable[[Rule, str], Any]) -> Callable[[Rule, str], Any]:
    """Let all applications share what is read out of a rule: a quarter of making one."""
    kept: dict[Any, Any] = {}

    @functools.wraps(parse)
    def once(rule: Rule, text: str) -> Any:
        # Another application may know other converters.
        assert rule.map is not None
        key = (text, frozenset(rule.map.converters.items()))
        if key not in kept:
            begin = len(rule._trace)
            parts = tuple(parse(rule, text))
            names = [name for is_dynamic, name in rule._trace[begin:] if is_dynamic]
            kept[key] = parts, rule._trace[begin:], {name: rule._converters[name] for name in names}
            return parts
        parts, trace, converters = kept[key]
        rule._trace.extend(trace)
        rule._converters.update(converters)
        rule.arguments.update(converters)
        return parts

    return once


Rule._parse_rule = _parse_once(Rule._parse_rule)  # type: ignore[method-assign]
Rule._compile_builder = _compile_once(Rule._compile_builder)  # type: ignore[method-assign]
