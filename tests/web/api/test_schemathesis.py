"""Schemathesis finds nothing: every operation of the document, every check, through WSGI.

``FLAGSTONE_SCHEMATHESIS_EXAMPLES=200`` makes a longer run of it, with stateful sequences besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.transport import wsgi

from flags.database import Database
from tests.web.managed import Clock, Managed, make_app
from web.api import limits
from web.api.openapi import openapi_document
from web.auth import service as auth
from web.migrate import upgrade

EXAMPLES = int(os.environ.get("FLAGSTONE_SCHEMATHESIS_EXAMPLES", "1"))
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "429"]
# Besides the tool's own list: too large a body, an ETag of another time, a key that was used.
REFUSED = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "429"]
# Operations that refuse what their schema allows, because a rule is about several fields, or about
# what is stored, or has no words in JSON schema.
HAVE_MORE_RULES = {
    "create_member": "no control characters in an address; a password unlike it",
    "change_member": "a password unlike the address",
    "set_up": "as a member, and a key for the project",
    "create_global_token": "expires in the future",
    "create_project_token": "srv and cli need an environment, usr needs a role",
    "create_kill_hook": "flags that there are; a name that is not blank",
    "list_notifications": "a kind that there is",
    "create_webhook": "an address that can be sent to, kinds and environments that there are",
    "edit_webhook": "as when it is made",
    "replay_webhook": "an instant that this calendar has",
    "evaluate": "no halves of surrogate pairs",
    "override_experiment": "reviewed in the future",
}


def allowances(said: dict[str, Any]) -> list[dict[str, Any]]:
    """Say by operation which refusals of valid data are right, and not a fault."""
    found = []
    for operation in (each for path in said["paths"].values() for each in path.values()):
        names = {each["name"] for each in operation["parameters"]}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        schema = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
        deep = "description" in said["components"]["schemas"].get(schema, {}) and schema in DEEP
        name = operation["operationId"]
        also = []
        if "cursor" in names or deep or name in HAVE_MORE_RULES:
            also.append("400")
        if "If-Match" in names:
            # An ETag of another time; and the tool makes ETags without their quotation marks.
            also += ["400", "412"]
        if "Idempotency-Key" in names:
            # The tool uses one key for several requests.
            also.append("422")
        checks: dict[str, Any] = {}
        if also:
            checks["positive_data_acceptance"] = {"expected-statuses": [*ACCEPTED, *also]}
        if name.startswith(("switch_flag", "promote_flag")):
            # A flag's key may hold slashes: GET of the same address asks for such a flag.
            checks["allow_header_conformance"] = {"enabled": False}
        if checks:
            found.append({"include-operation-id": name, "checks": checks})
    return found


DEEP = {
    "Change",
    "FlagDraft",
    "FlagSet",
    "MetricDocument",
    "Plan",
    "PolicyDocument",
    "ReleasePlan",
    "SourceDocument",
}


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Managed]:
    database = Database(f"sqlite:///{tmp_path / 'flagstone.db'}")
    upgrade(database.url)
    clock = Clock()
    managed = Managed(make_app(database, tmp_path, clock, console=True), database, clock)
    managed.project()
    # Time stands still here.
    limits.register(managed.app, 1_000_000)
    yield managed
    database.dispose()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let probes of a check pass through WSGI: they bring settings of sockets, which it has not."""
    send = wsgi.WSGI_TRANSPORT.send

    def send_plainly(case: Any, **options: Any) -> Any:
        for name in ("max_redirects", "verify", "cert", "proxies"):
            options.pop(name, None)
        return send(case, **options)

    monkeypatch.setattr(wsgi.WSGI_TRANSPORT, "send", send_plainly)


@pytest.mark.slow
@pytest.mark.timeout(600 if EXAMPLES == 1 else 0)
def test_schemathesis_finds_nothing(managed: Managed, in_process: None) -> None:
    with managed.database.write() as session:
        key, _ = auth.create_token(
            session,
            auth.TokenKind.USER,
            name="schemathesis",
            role=auth.Role.ADMIN,
            created_by="test",
            now=managed.clock(),
        )
    said = openapi_document(managed.app)
    wanted = {"coverage": True, "fuzzing": True, "examples": False, "stateful": EXAMPLES > 1}
    phases: dict[str, Any] = {name: {"enabled": enabled} for name, enabled in wanted.items()}
    if EXAMPLES == 1:
        # All other methods of each address answer from the same table.
        phases["coverage"]["unexpected-methods"] = ["options", "trace"]
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Authorization": f"Bearer {key}"},
            "generation": {
                "max-examples": EXAMPLES,
                "deterministic": True,
                "no-shrink": True,
                # Refused everywhere, which test_bad_input tests: no text column can hold it.
                "allow-x00": False,
            },
            "phases": phases,
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ACCEPTED},
                "negative_data_rejection": {"expected-statuses": REFUSED},
            },
            "operations": allowances(said),
        }
    )
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", managed.app, config=config)
    faults, tested, cases = [], set(), 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            faults.append(f"{event.label}: {event.value}")
        if isinstance(event, events.ScenarioFinished):
            tested.add(event.recorder.label)
            for checks in event.recorder.checks.values():
                cases += 1
                faults += [
                    f"{check.name}: {event.recorder.label}: {check.failure_info.failure}\n"
                    f"{check.failure_info.code_sample[:600]}"
                    for check in checks
                    if check.failure_info is not None
                ]
    assert faults == [], "\n\n".join(faults)
    operations = {f"{m.upper()} {path}" for path, each in said["paths"].items() for m in each}
    # The tool reads the document itself to begin with.
    assert operations - {"GET /api/v1/openapi.json"} <= tested
    assert cases > len(operations)
