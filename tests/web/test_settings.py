"""Settings from the environment: defaults, and messages that name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from web.settings import Settings, SettingsError


def test_an_empty_environment_gives_a_database_file_on_this_machine() -> None:
    settings = Settings.from_environment({})
    assert settings.host == "127.0.0.1"
    assert settings.port == 8400
    assert settings.workers == 1
    assert settings.data_directory == Path.cwd() / "flagstone-data"
    assert settings.database_url == f"sqlite:///{settings.data_directory / 'flagstone.db'}"


def test_settings_survive_the_way_to_a_child_process() -> None:
    settings = Settings(
        database_url="postgresql://u:p%40w@db/flagstone",
        data_directory=Path("elsewhere"),
        events_url="postgresql://events@db/flagstone",
        events_keep_days=400,
        host="::1",
        port=0,
        workers=3,
        trusted_proxies="10.0.0.1",
        public_url="https://flags.example.com/x",
        ofrep_requests_per_second=0.1,
        ready_file=Path("ready.json"),
    )
    assert Settings.from_environment(settings.to_environment()) == settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLAGSTONE_PORT", "http"),
        ("FLAGSTONE_PORT", "-1"),
        ("FLAGSTONE_PORT", "65536"),
        ("FLAGSTONE_WORKERS", "0"),
        ("FLAGSTONE_WORKERS", "many"),
        ("FLAGSTONE_WORKERS", "100000"),
        ("FLAGSTONE_DATABASE_URL", "flagstone.db"),
        ("FLAGSTONE_DATABASE_URL", "mysql://localhost/x"),
        ("FLAGSTONE_EVENTS_URL", "sqlite:///events.db"),
        ("FLAGSTONE_EVENTS_URL", "events"),
        ("FLAGSTONE_EVENTS_KEEP_DAYS", "-1"),
        ("FLAGSTONE_EVENTS_KEEP_DAYS", "many"),
        ("FLAGSTONE_HOST", ""),
        ("FLAGSTONE_PUBLIC_URL", "flags.example.com"),
        ("FLAGSTONE_PUBLIC_URL", "ftp://flags.example.com"),
        ("FLAGSTONE_PUBLIC_URL", "https://"),
        ("FLAGSTONE_PUBLIC_URL", "https://flags.example.com:port"),
        ("FLAGSTONE_PUBLIC_URL", "https://flags.example.com?a=1"),
        ("FLAGSTONE_PUBLIC_URL", "https://me:secret@flags.example.com"),
        ("FLAGSTONE_OFREP_REQUESTS_PER_SECOND", "-1"),
        ("FLAGSTONE_OFREP_REQUESTS_PER_SECOND", "nan"),
        ("FLAGSTONE_OFREP_REQUESTS_PER_SECOND", "inf"),
        ("FLAGSTONE_OFREP_REQUESTS_PER_SECOND", "many"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment({variable: value})
