"""One service for all pages, with one project and a key of each kind, as the pages assume."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web.conftest import Service, kept_port

EMAIL, PASSWORD = "ada@shop.example", "correct horse battery"
RELEASE = {
    "flag": "badge",
    "variant": "on",
    "control": "off",
    "guards": ["error"],
    "steps": [5, 50],
}
AFTER_A_WHILE: list[tuple[str, dict[str, Any]]] = [
    ("flags", {"key": "badge", "default": "off"}),
    ("flags/badge/environments/production/on", {}),
    ("releases", {**RELEASE, "customer": "head@shop.example", "owner": EMAIL}),
    ("releases/badge-on/start", {}),
    ("releases/badge-on/stop", {"reason": "Enough seen"}),
]
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """Where pages are played: the service, its keys, its data folder, an administrator's client."""

    url: str
    keys: dict[str, str]
    data: Path
    admin: httpx.Client
    second_port: int

    @property
    def names(self) -> dict[str, str]:
        """Give what pages write, and what it is here."""
        written = {f"{prefix}…": secret for prefix, secret in self.keys.items()}
        places = {"/var/lib/flagstone": str(self.data)}
        return {
            **written,
            **places,
            "8400": self.url.rpartition(":")[2],
            "8401": str(self.second_port),
        }

    @property
    def environment(self) -> dict[str, str]:
        """Give the variables of a reader's terminal: none of ours."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLAGSTONE_", "PYTEST"))}
        path = f"{REPOSITORY}:{REPOSITORY / 'sdk'}"
        # A reader has activated the environment that the tests run in.
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": programs, "PYTHONPATH": path, "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service that somebody has just set up: an administrator and the project ``shop``."""
    folder = tmp_path_factory.mktemp("docs-service")
    service = Service("", folder).start()
    code = re.search(r"setup\?code=(\S+)", service.log.read_text())
    assert code is not None
    with httpx.Client(base_url=f"{service.url}/api/v1", timeout=60) as admin:
        first = {"code": code[1], "email": EMAIL, "password": PASSWORD, "project": "shop"}
        assert admin.post("/setup", json=first).status_code == 201
        signed_in = admin.post("/session", json={"email": EMAIL, "password": PASSWORD})
        admin.headers["X-CSRF-Token"] = signed_in.json()["csrf_token"]
        admin.headers["Origin"] = service.url
        made = {
            "fs_usr_": admin.post("/projects/shop/tokens", json=_key("usr", role="admin")),
            "fs_srv_": admin.post("/projects/shop/tokens", json=_key("srv")),
            "fs_cli_": admin.post("/projects/shop/tokens", json=_key("cli")),
        }
        keys = {prefix: answer.json()["token"] for prefix, answer in made.items()}
        # What an installation has after a while, and the page of operators speaks of.
        for path, body in AFTER_A_WHILE:
            answer = admin.post(f"/projects/shop/{path}", json=body)
            assert answer.status_code in {200, 201}, answer.text
        with kept_port() as second:
            yield Place(service.url, keys, folder / "data", admin, second)
    service.terminate()


def _key(kind: str, **more: str) -> dict[str, str]:
    where = {} if kind == "usr" else {"environment": "production"}
    return {"kind": kind, "name": f"docs {kind}", **where, **more}
