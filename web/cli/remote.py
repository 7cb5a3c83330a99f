"""The service as a command sees it: one REST client, errors turned into sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from web.cli.output import EXIT_CONFLICT, EXIT_ERROR, EXIT_NEEDS_APPROVAL, CommandError

REQUEST_TIMEOUT_SECONDS = 30.0
_EXIT_BY_STATUS = {409: EXIT_CONFLICT, 412: EXIT_CONFLICT}


def segment(text: str) -> str:
    """Quote one path segment (keys may hold slashes and spaces)."""
    return quote(text, safe="")


@dataclass(frozen=True)
class Remote:
    """A service's address, with a personal token and the project that commands speak of."""

    url: str
    token: str
    project: str

    def project_path(self, *parts: str) -> str:
        """Path of a resource of the project, such as ``/api/v1/projects/shop/flags/new``."""
        return "/".join(["/api/v1/projects", segment(self.project), *(segment(p) for p in parts)])

    def get(self, path: str, **query: Any) -> Any:
        """Read a resource; text comes back as text, JSON as its value."""
        return self._request("GET", path, query=query)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """Send a document."""
        return self._request("POST", path, body=body, query=query)

    def _request(
        self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None
    ) -> Any:
        try:
            response = httpx.request(
                method,
                self.url.rstrip("/") + path,
                json={} if body is None and method == "POST" else body,
                params={k: v for k, v in (query or {}).items() if v is not None},
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=REQUEST_TIMEOUT_SECONDS,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(
                f"the service at {self.url} does not answer: {error}",
                hint="start it with `flagstone serve`, or name another with --url",
            ) from error
        if response.is_success:
            if "json" in response.headers.get("content-type", ""):
                return response.json()
            return response.text
        raise _problem(response)


def _problem(response: httpx.Response) -> CommandError:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    hint = problem.get("hint")
    if response.status_code == httpx.codes.UNAUTHORIZED and not hint:
        hint = "give a personal token (fs_usr_…) with --token or FLAGSTONE_TOKEN"
    code = EXIT_NEEDS_APPROVAL if problem.get("code") == "needs_approval" else None
    return CommandError(
        problem.get("detail") or problem.get("title") or f"HTTP {response.status_code}",
        field=problem.get("field"),
        hint=hint,
        exit_code=code or _EXIT_BY_STATUS.get(response.status_code, EXIT_ERROR),
    )
