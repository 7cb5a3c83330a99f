"""The service as a command sees it: one REST client, errors turned into sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx

from web.cli.output import (
    EXIT_CONFLICT,
    EXIT_ERROR,
    EXIT_NEEDS_APPROVAL,
    EXIT_USAGE,
    CommandError,
)

REQUEST_TIMEOUT_SECONDS = 30.0
PAGE = 500
_EXIT_BY_STATUS = {409: EXIT_CONFLICT, 412: EXIT_CONFLICT}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def segment(text: str) -> str:
    """Quote one path segment (keys may hold slashes and spaces)."""
    # Arguments that are not UTF-8 arrive as surrogates; the service will say what it thinks.
    quoted = quote(text, safe="", errors="surrogateescape")
    return quoted.replace(".", "%2E") if text in {".", ".."} else quoted


@dataclass(frozen=True)
class Remote:
    """A service's address, with a personal key and the project that commands speak of."""

    url: str
    token: str
    project: str

    def project_path(self, *parts: str) -> str:
        """Path of a resource of the project, such as ``/api/v1/projects/shop/flags/new``."""
        return "/".join(["/api/v1/projects", segment(self.project), *(segment(p) for p in parts)])

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read a JSON document."""
        return self._document(self._request("GET", path, query=query))

    def get_text(self, path: str, **query: Any) -> str:
        """Read plain text."""
        return self._request("GET", path, query=query).text

    def items(self, path: str, *, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
        """Read a list, page after page, up to ``limit`` entries."""
        found: list[dict[str, Any]] = []
        for page in self._pages(path, query, limit):
            found.extend(page)
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found

    def each(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Read a list of any length, entry by entry, a page in memory at a time."""
        for page in self._pages(path, query, None):
            yield from page

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        if_match: str | None = None,
        wait_seconds: int | None = None,
        **query: Any,
    ) -> dict[str, Any]:
        """Send a document; ``if_match`` is the ETag that it rests upon.

        With ``wait_seconds`` the service answers only when every SDK serves it, or time is up.
        """
        return self._write("POST", path, body or {}, if_match, wait_seconds, query)

    def act(
        self,
        kind: str,
        key: str,
        verb: str,
        environment: str | None,
        body: Any = None,
        *,
        wait_seconds: int | None = None,
    ) -> dict[str, Any]:
        """Do something to one of ``experiments`` or ``releases``; read where it stands then."""
        path = self.project_path(kind, key, verb)
        return self.post(path, body, environment=environment, wait_seconds=wait_seconds)

    def put(
        self,
        path: str,
        body: Any,
        *,
        if_match: str | None = None,
        wait_seconds: int | None = None,
    ) -> dict[str, Any]:
        """Write a document anew; ``if_match`` is the ETag that it rests upon."""
        return self._write("PUT", path, body, if_match, wait_seconds)

    def patch(self, path: str, body: Any) -> dict[str, Any]:
        """Change what the document names, and nothing else."""
        return self._document(self._request("PATCH", path, body=body))

    def delete(self, path: str) -> None:
        """Take something away."""
        self._request("DELETE", path)

    def end(self, path: str, *, wait_seconds: int | None = None) -> dict[str, Any]:
        """Take away what leaves something to be said."""
        return self._write("DELETE", path, None, None, wait_seconds)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _write(
        self,
        method: str,
        path: str,
        body: Any,
        if_match: str | None,
        wait_seconds: int | None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        headers = {} if if_match is None else {"If-Match": if_match}
        if wait_seconds is not None:
            headers["Prefer"] = f"wait={wait_seconds}"
        return self._document(
            self._request(
                method,
                path,
                body=body,
                query=query,
                headers=headers,
                timeout=REQUEST_TIMEOUT_SECONDS + (wait_seconds or 0),
            )
        )

    def _pages(
        self, path: str, query: Mapping[str, Any], limit: int | None
    ) -> Iterator[list[dict[str, Any]]]:
        cursor: str | None = None
        size = PAGE if limit is None else min(limit, PAGE)
        while True:
            page = self.get(path, cursor=cursor, limit=size, **query)
            yield page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    @cached_property
    def _client(self) -> httpx.Client:
        try:
            host = httpx.URL(self.url).host
        except httpx.InvalidURL:
            host = ""
        # A proxy of the environment is on the way to elsewhere, never to this machine.
        return httpx.Client(timeout=REQUEST_TIMEOUT_SECONDS, trust_env=host not in _LOOPBACK)

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = REQUEST_TIMEOUT_SECONDS,
    ) -> httpx.Response:
        if not self.token.isascii() or not self.token.isprintable():
            raise CommandError("the key holds characters that no key has", exit_code=EXIT_USAGE)
        content = None if body is None else _encode(body)
        try:
            response = self._client.request(
                method,
                self.url.rstrip("/") + path,
                content=content,
                params={k: v for k, v in (query or {}).items() if v is not None},
                headers={
                    "Authorization": f"Bearer {self.token}",
                    **({} if content is None else {"Content-Type": "application/json"}),
                    **(headers or {}),
                },
                timeout=timeout,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(
                f"the service at {self.url} does not answer: {error or type(error).__name__}",
                hint="start it with `flagstone serve`, or name another with --url",
            ) from error
        if response.is_success:
            return response
        raise _problem(response)

    def _document(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict) or not document:
            raise CommandError(
                f"what answers at {self.url} is not Flagstone", hint="name the service with --url"
            )
        return document


def _encode(body: Any) -> bytes:
    try:
        # TOML has dates of its own; the service wants them as text, and says so if it does not.
        return json.dumps(body, allow_nan=False, default=str).encode()
    except ValueError as error:
        raise CommandError(
            f"this cannot be sent as JSON: {error}", hint="JSON has no NaN and no infinity"
        ) from error
    except RecursionError as error:
        raise CommandError("this cannot be sent: it is nested too deeply") from error


def _problem(response: httpx.Response) -> CommandError:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    status, hint = response.status_code, problem.get("hint")
    if status == httpx.codes.UNAUTHORIZED and not hint:
        hint = "give a personal key (fs_usr_…) with --token or FLAGSTONE_TOKEN"
    if status == httpx.codes.NOT_FOUND and problem.get("field") == "project" and not hint:
        hint = "name another project with -p or FLAGSTONE_PROJECT"
    said = problem.get("detail") or problem.get("title")
    if not said:
        said = f"{response.request.url.netloc.decode()} answers HTTP {status}; is it Flagstone?"
    code = EXIT_NEEDS_APPROVAL if problem.get("code") == "needs_approval" else None
    return CommandError(
        str(said),
        field=problem.get("field"),
        hint=hint,
        exit_code=code or _EXIT_BY_STATUS.get(status, EXIT_ERROR),
    )
