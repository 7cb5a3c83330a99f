"""``webhooks.md``: what a receiver gets, from the code that writes and signs it."""

from __future__ import annotations

import datetime as dt
import json

from flags.models import Notice
from flags.notices import KINDS
from web.reference.markdown import code, page, table
from web.webhooks import courier, signing
from web.webhooks.payload import body_of

_AT = dt.datetime(2026, 12, 1, 9, 0, tzinfo=dt.UTC)
_ID = "msg_5f1d1c1e9a2b4c3d8e7f6a5b4c3d2e1f"
NOTICE = Notice(
    message_id=_ID,
    project_id=1,
    environments=["production"],
    kind="flag.killed",
    at=_AT,
    actor="user:ada@shop.example",
    resource="flag:new-checkout",
    sentence="ada@shop.example killed new-checkout in production.",
    reason="Errors in checkout",
    facts={"did": ["kill"], "revision": 17},
)
SAYS = {
    "type": "what happened, one of those above",
    "timestamp": "when it happened",
    "text": "in plain words with the reason and a link, for a chat",
    "data.id": "of the message; the same whenever it is sent again",
    "data.project": "key of the project",
    "data.environment": "key of the environment that it is mainly about; null for the project",
    "data.environments": "keys of all that it is about",
    "data.actor": "who did it: `user:`, `token:`, `system:`",
    "data.resource": "what it is about, such as `flag:new-checkout`",
    "data.sentence": "in plain words",
    "data.reason": "why, as somebody wrote it",
    "data.link": "the console's page; a path unless `FLAGSTONE_PUBLIC_URL` is set",
    "data. …": "more by type: `did`, `revision` of changes; `state`, `verdict` of experiments",
}

_HOW = """`flagstone webhooks create NAME URL -k flag.killed -k experiment` sends what happens to an
address: by type, by its group (`flag`), or all of it. A message is a POST of JSON, written down in
the transaction in which the thing happens, and sent until it is taken: at least once, and one at a
time for each webhook."""


def webhooks_page() -> str:
    """Write the page."""
    body = body_of(NOTICE, "shop", form="full", public_url="https://flags.example.com")
    slack = body_of(NOTICE, "shop", form="slack", public_url="https://flags.example.com")
    names = list(signing.headers(["whsec_AAAA"], _ID, 0, body))
    hours = sum(_waits()) / 3600
    return page(
        "Webhooks",
        "`flags/notices.py` and `web/webhooks`",
        _HOW,
        "## Types\n\n" + table(["type", "when"], [[code(k), says] for k, says in KINDS.items()]),
        "## Body\n\n```json\n" + _pretty(body) + "\n```",
        table(["field", "says"], [[code(name), says] for name, says in SAYS.items()]),
        "Receivers are to expect new fields. With `--form slack` the body is only the text:",
        "```json\n" + _pretty(slack) + "\n```",
        "## Signature",
        f"Headers {', '.join(code(name) for name in names)}, as [Standard Webhooks]"
        "(https://github.com/standard-webhooks/standard-webhooks) has them, so that its libraries "
        "verify them: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body` with the secret "
        "(`whsec_…`, shown once; after a rotation two signatures for a while). Refuse a timestamp "
        "that is minutes away; do nothing twice for one id.",
        "## When a receiver fails",
        f"Anything but 2xx is tried again, {courier.MOST_ATTEMPTS} times in about {hours:.0f} "
        f"hours. 410 disables it at once. A webhook that fails for {courier.DISABLED_AFTER.days} "
        "days is disabled, and its project is told. `flagstone webhooks log ID` shows every "
        "attempt, `flagstone webhooks replay ID` sends again. Addresses that are not public are "
        "refused unless `FLAGSTONE_WEBHOOK_NETWORKS` names their network.",
    )


def _waits() -> list[float]:
    """Give the waits between the attempts, in seconds, without their chance part."""
    waits = [courier.FIRST_WAIT_SECONDS * 4**n for n in range(courier.MOST_ATTEMPTS - 1)]
    return [min(each, courier.LONGEST_WAIT_SECONDS) for each in waits]


def _pretty(body: bytes) -> str:
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
