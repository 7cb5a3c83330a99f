"""Other ways to run the service: any ASGI server with its own log, and behind a proxy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web.conftest import kept_port
from web.edge import event_streams

BULK = "/ofrep/v1/evaluate/flags"


def test_a_server_s_access_log_does_not_learn_the_token(
    tmp_path: Path, world: Any, wait_until: Callable[..., Any]
) -> None:
    """``uvicorn --factory web.asgi:create_app`` writes the address of every request."""
    with kept_port() as port:
        _check_the_log(tmp_path, world, wait_until, port)


def _check_the_log(tmp_path: Path, world: Any, wait_until: Callable[..., Any], port: int) -> None:
    log = tmp_path / "uvicorn.log"
    environment = {
        **os.environ,
        "FLAGSTONE_DATABASE_URL": world.control.database.url,
        "FLAGSTONE_DATA_DIR": str(tmp_path / "data"),
    }
    arguments = ["--factory", "web.asgi:create_app", "--port", str(port), "--log-level", "info"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *arguments],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        base = f"http://127.0.0.1:{port}"
        headers = {"X-API-Key": world.client_key}

        def answer() -> Any:
            try:
                return httpx.post(base + BULK + "?seen=in-the-log", headers=headers)
            except httpx.TransportError:
                return None

        reply = wait_until(answer, seconds=90)
        # Given out by one process, good for another.
        with world.service.client(world.client_key) as http:
            address = http.post(BULK).json()["eventStreams"][0]["url"]
        for url in (reply.json()["eventStreams"][0]["url"], address.replace(world.url, base)):
            with httpx.stream("GET", url, timeout=60) as stream:
                assert stream.status_code == 200
                assert next(stream.iter_lines()) == "retry: 2000"
    finally:
        process.terminate()
        process.wait(timeout=60)
    written = log.read_text()
    token = re.search(r"token=([^&]+)", address).group(1)  # type: ignore[union-attr]
    assert "?seen=in-the-log" in written
    assert written.count(event_streams.PATH) >= 2
    assert token not in written
    assert "token=" not in written


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "flags.example"}, "http://flags.example"),
        ({"Host": "flags.example", "X-Forwarded-Proto": "https"}, "https://flags.example"),
        ({"Host": "flags.example", "Origin": "https://shop.example"}, "https://flags.example"),
    ],
)
def test_behind_a_proxy_the_address_is_the_proxy_s(
    headers: dict[str, str], expected: str, wide_world: Any
) -> None:
    with wide_world.service.client(wide_world.client_key) as http:
        (stream,) = http.post(BULK, headers=headers).json()["eventStreams"]
    assert stream["url"].startswith(f"{expected}{event_streams.PATH}?")


def test_forwarded_headers_of_strangers_are_not_believed(shared_world: Any) -> None:
    with shared_world.service.client(shared_world.client_key) as http:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
        (stream,) = http.post(BULK, headers=headers).json()["eventStreams"]
    assert stream["url"].startswith(shared_world.url + event_streams.PATH)
