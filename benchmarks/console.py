"""How fast the console's pages of 5,000 flags come, from the service as it is run, over loopback.

Makes 5,000 flags in three environments, each with rules, owners and a summary of who asks for it,
starts the service with its worker, signs in, and asks for each page in turn; times are of whole
answers, on one connection, one request at a time.

    PYTHONPATH=.:sdk python benchmarks/console.py [--flags 5000] [--rounds 40] [--database URL]

Exits 1 if a list or a search takes longer than its limit at the 95th percentile.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from flags import activity, services
from flags.actor import SYSTEM
from flags.database import Database
from flags.models import FlagActivity, FlagEnvironment, FlagRow
from flags.publish import publish
from flags.revisions import lock_environment
from flags.workspace import empty_state
from web import migrate
from web.auth import service as auth
from web.auth.guard import SESSION_COOKIE
from web.auth.models import User

LIMIT_MS = 300.0
HERE = "/projects/shop/environments/production"
SEARCHES = (
    "",
    "needs:me",
    "state:ramping,partial",
    "owner:me",
    "changed:today sort:changed",
    "checkout banner",
    "key:*-4999,*-12* -state:off",
    "state:killed env:staging has:owner created:>1h",
    "-evaluated:<30d",
    "is:stale,safe_to_remove,past_expiry",
)
PAGES = (
    *((f"list {text or '(all)'}", f"{HERE}/flags?filter={quote(text)}") for text in SEARCHES),
    ("API list, 100 flags", f"/api/v1/projects/shop/flags?filter={quote('state:partial')}"),
    ("Today", f"{HERE}/today"),
    ("flag page", f"{HERE}/flags/checkout-banner-2500"),
    ("flag page, killed", f"{HERE}/flags/mail-copy-7"),
)


def fill(url: str, count: int) -> str:
    """Make the project; give a session of its administrator."""
    migrate.upgrade(url)
    database = Database(url)
    now = dt.datetime.now(dt.UTC)
    draw = random.Random(20)
    with database.write() as session:
        services.create_project(session, key="shop", name="Shop", actor=SYSTEM, now=now)
        have = {each.key for each in services.list_environments(session, "shop")}
        for key in ("production", "staging", "development"):
            if key not in have:
                services.create_environment(session, "shop", key=key, actor=SYSTEM, now=now)
        person = User(email="ada@example.org", role="admin", password_hash="-", created_at=now)
        session.add(person)
        session.flush()
        plain = auth.start_session(session, person, now=now)
    with database.write() as session:
        project = services.get_project(session, "shop")
        environments = services.list_environments(session, "shop")
        names = [
            f"{what}-{part}"
            for what in ("checkout", "search", "cart", "mail", "price")
            for part in ("banner", "ranking", "copy", "limit")
        ]
        hour = activity.hour_of(now)
        for number in range(count):
            name = names[number % len(names)]
            flag = FlagRow(
                project_id=project.id or 0,
                key=f"{name}-{number}" if number != 7 else "mail-copy-7",
                type="boolean",
                description=f"The {name} of our shop, as it was asked for in the year's plan",
                owner=draw.choice(["ada@example.org", "growth", "checkout team", ""]),
                variants={"off": {"value": False, "on": False}, "on": {"value": True}},
                created_at=now - dt.timedelta(hours=draw.random() * 10_000),
            )
            session.add(flag)
            session.flush()
            for environment in environments:
                state = _state(draw, flag.key)
                session.add(
                    FlagEnvironment(
                        flag_id=flag.id or 0,
                        environment_id=environment.id or 0,
                        state=state,
                        updated_at=now - dt.timedelta(hours=draw.random() * 500),
                    )
                )
            if number % 2:
                session.add(
                    FlagActivity(
                        environment_id=environments[0].id or 0,
                        flag_key=flag.key,
                        hours=[draw.randint(0, 900) for _ in range(activity.HOURS)],
                        last_hour=hour,
                        evaluated_at=now,
                    )
                )
        for environment in environments:
            locked = lock_environment(session, "shop", environment.key)
            publish(session, locked, SYSTEM, "filled", now)
    database.dispose()
    return plain


def _state(draw: random.Random, key: str) -> dict[str, object]:
    state = {**empty_state(off="off", default="off"), "enabled": draw.random() < 0.7}
    state["killed"] = draw.random() < 0.03 or key == "mail-copy-7"
    if draw.random() < 0.4:
        end = draw.choice([500, 2500, 5000])
        arm = {"variant": "on", "ranges": [[0, end]]}
        split = {"by": "targetingKey", "hash": "flagstone", "salt": f"{key}:r1", "of": 10_000}
        state["rules"] = [
            {
                "id": "r1",
                "when": {"attr": "country", "op": "in", "values": ["DE", "FR", "PL"]},
                "serve": {"split": {**split, "missing": "skip", "to": [arm]}},
                "track": True,
            }
        ]
    return state


def measure(address: tuple[str, int], plain: str, rounds: int) -> dict[str, list[float]]:
    """Ask for every page in turn, so that all meet the same minute; give milliseconds."""
    connection = http.client.HTTPConnection(*address)
    headers = {
        "Cookie": f"{SESSION_COOKIE}={plain}",
        "Accept": "text/html",
        "Accept-Encoding": "gzip",
    }
    found: dict[str, list[float]] = {name: [] for name, _ in PAGES}
    for round_number in range(rounds + 2):
        for name, path in PAGES:
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            took = (time.perf_counter() - began) * 1000
            if answer.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            assert answer.status == 200, (path, answer.status, body[-500:])
            if round_number >= 2:
                found[name].append(took)
    return found


def main() -> int:
    """Fill, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--flags", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--database", help="an empty one; a file of SQLite without it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.database or f"sqlite:///{folder}/flagstone.db"
        began = time.perf_counter()
        plain = fill(url, options.flags)
        print(
            f"{options.flags} flags in 3 environments made in {time.perf_counter() - began:.0f} s"
        )
        ready = Path(folder) / "ready.json"
        environment = {
            **os.environ,
            "FLAGSTONE_DATABASE_URL": url,
            "FLAGSTONE_DATA_DIR": folder,
            "FLAGSTONE_PORT": "0",
            "FLAGSTONE_READY_FILE": str(ready),
            "FLAGSTONE_API_REQUESTS_PER_MINUTE": "0",
        }
        command = [sys.executable, "-m", "web.cli", "serve"]
        with (Path(folder) / "log").open("w") as log:
            service = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            while not ready.exists():
                if service.poll() is not None:
                    print((Path(folder) / "log").read_text()[-2000:])
                    return 2
                time.sleep(0.1)
            told = json.loads(ready.read_text())
            host, _, port = told["url"].removeprefix("http://").rstrip("/").partition(":")
            found = measure((host, int(port)), plain, options.rounds)
        finally:
            service.terminate()
            service.wait(30)
    missed = False
    print(f"{'page':<52}{'p50':>8}{'p95':>8}  ms")
    for name, times in found.items():
        times.sort()
        p95 = times[max(int(len(times) * 0.95) - 1, 0)]
        late = p95 > LIMIT_MS
        missed |= late
        print(f"{name:<52}{statistics.median(times):8.0f}{p95:8.0f}{'  MISSED' if late else ''}")
    print(f"limit: {LIMIT_MS:.0f} ms at the 95th percentile of {options.rounds}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
