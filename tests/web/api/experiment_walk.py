"""Every route of experiments, and of what they rest upon, walked from first to last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlmodel import select

from experiments.judging.record import verify
from experiments.models import Experiment, Look
from experiments.value.ledger import first_fault

P = "/projects/shop"
PROD = f"{P}/environments/production"
PLAN: dict[str, Any] = {
    "key": "checkout",
    "flag": "team/check.out v2",
    "environment": "production",
    "control": "off",
    "treatments": ["on"],
    "customer": "ada@example.org",
    "owner": "checkout team",
    "hypothesis": "One page makes more visitors buy.",
    "metrics": [
        {
            "key": "purchases",
            "role": "success",
            "kind": "conversion",
            "event": "purchase",
            "window": "1d",
            "mde": 0.05,
        }
    ],
    "expected": {"units_per_day": 900, "metrics": {"purchases": {"baseline": 0.1}}},
}


def forecast_and_accept(service: Any, url: str) -> None:
    found = service.forecast()
    assert found == 1
    editor = service.caller("editor")
    forecast = editor.ok("GET", f"{url}/forecast")
    assert (forecast["status"], forecast["deadlines"][-1]["day"]) == ("ready", 28)
    assert editor.post(f"{url}/accept", {"risks": ["mde"]}).status_code == 403
    client, headers = sign_in_ada(service)
    body = {"risks": ["mde"]}
    accepted = client.post(f"/api/v1{url}/accept", json=body, headers=headers)
    assert accepted.status_code == 200, accepted.get_data(as_text=True)
    assert [each["risk"] for each in editor.ok("GET", f"{url}/forecast")["accepted"]] == ["mde"]


def sign_in_ada(service: Any) -> tuple[Any, dict[str, str]]:
    client = service.app.test_client()
    signed = client.post(
        "/api/v1/session",
        json={"email": "ada@example.org", "password": "correct horse battery!"},
    )
    return client, {"X-CSRF-Token": signed.get_json()["csrf_token"]}


def requests_and_money(editor: Any) -> None:
    asked = {"title": "Pay by invoice", "class": "value", "asker": "a shop"}
    made = editor.post(f"{P}/requests", asked)
    url = f"{P}/requests/{made.get_json()['id']}"
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    edited = editor.ok("PATCH", url, {"title": "Invoices"}, headers={"If-Match": '"1"'})
    assert (edited["title"], edited["class"], edited["asker"]) == ("Invoices", "value", "a shop")
    stale = editor.call("PATCH", url, json={"title": "x"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    wrong = editor.call("PATCH", url, json={"title": "x"}, headers={"If-Match": '"v1"'})
    assert wrong.status_code == 400
    link = {"flag": PLAN["flag"], "relation": "resolves"}
    assert editor.ok("POST", f"{url}/link", link)["state"] == "linked"
    assert editor.post(f"{url}/link", {**link, "flag": "nope"}).status_code == 404
    assert editor.ok("POST", f"{url}/resolve", {"note": "done"})["resolved_at"]
    assert editor.post(f"{url}/resolve", {}).status_code == 409
    assert editor.ok("GET", url)["state"] == "resolved"
    for number in range(3):
        editor.ok("POST", f"{P}/requests", {"title": f"Broken {number}", "class": "failure"})
    first = editor.ok("GET", f"{P}/requests?class=failure&limit=2")
    rest = editor.ok("GET", f"{P}/requests?class=failure&cursor={first['next_cursor']}")
    titles = [each["title"] for each in first["items"] + rest["items"]]
    assert titles == ["Broken 2", "Broken 1", "Broken 0"]
    (found,) = editor.ok("GET", f"{P}/requests?state=resolved&flag={PLAN['flag']}")["items"]
    assert found["note"] == "done"

    money = {"per_unit": 1, "eligible_units_per_month": 1000, "build": 50}
    plan = {**PLAN, "key": "priced", "value": money}
    assert editor.ok("POST", f"{P}/experiments", plan)["plan"]["value"]["build"] == 50
    editor.ok("POST", f"{P}/experiments/priced/seal")
    entered = editor.ok("GET", f"{P}/ledger?experiment=priced")
    assert [(each["kind"], each["amount"]) for each in entered["items"]] == [("BUILD", -5000)]
    assert entered["balances"][0]["amount"] == -5000
    assert first_fault(entered["items"]) is None
    csv = editor.get(f"{P}/ledger.csv").get_data(as_text=True).splitlines()
    assert csv[0].startswith("number,at,experiment,kind,amount")
    assert ",priced,BUILD,-50.00," in csv[1]
    found = {each["key"]: each for each in editor.ok("GET", f"{P}/outcomes")["items"]}
    assert found["failure_demand"]["text"] == "75 %"
    assert found["proof_rate"]["value"] is None


def a_policy_from_draft_to_archive(service: Any, editor: Any) -> None:
    url = f"{P}/policies/ours-14d"
    body = {"horizon": "14d", "alpha_ship": 0.2, "description": "Two weeks."}
    made = editor.call("PUT", url, json=body)
    # What is being computed has no ETag: it will be another under the same version.
    assert (made.status_code, made.headers.get("ETag")) == (201, None)
    drafted = made.get_json()
    assert (drafted["state"], drafted["version"], drafted["characteristics"]) == (
        *("checking", 1),
        None,
    )
    refused = editor.call("POST", f"{url}/publish")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "trial_pending")
    assert refused.headers["Retry-After"] == "1"
    assert service.try_policies() == 1
    checked = editor.get(url)
    assert (checked.headers["ETag"], checked.get_json()["state"]) == ('"1"', "checked")
    assert editor.get(url, headers={"If-None-Match": '"1"'}).status_code == 304
    assert editor.call("PUT", url, json=body, headers={"If-Match": '"7"'}).status_code == 412
    moved = editor.call("POST", f"{url}/publish", headers={"If-Match": '"7"'})
    assert moved.status_code == 412
    headers = {"If-Match": '"1"', "Idempotency-Key": "once"}
    for _ in range(2):
        published = editor.call("POST", f"{url}/publish", headers=headers)
        assert (published.status_code, published.headers["ETag"]) == (200, '"2"')
    assert published.get_json()["published_version"] == 2
    assert [each["state"] for each in editor.ok("GET", url)["history"]] == ["published", "checked"]
    built_in = editor.call("PUT", f"{P}/policies/proof-28d", json=body)
    assert (built_in.status_code, "built in" in built_in.get_json()["detail"]) == (409, True)
    house = editor.ok("GET", f"{P}/policies/proof-28d")
    assert (house["state"], house["characteristics"]["warnings"]) == ("built_in", [])
    listed = editor.ok("GET", f"{P}/policies")["items"]
    assert [each["name"] for each in listed] == ["proof-28d", "release-1d", "ours-14d"]
    assert editor.ok("POST", f"{url}/archive")["archived"] is True
    assert len(editor.ok("GET", f"{P}/policies")["items"]) == 2
    (archived,) = editor.ok("GET", f"{P}/policies?archived=true")["items"]
    assert (archived["name"], archived["state"]) == ("ours-14d", "archived")
    assert editor.call("PUT", url, json=body).status_code == 409
    assert editor.ok("POST", f"{url}/unarchive")["version"] == 4
    missing = editor.get(f"{P}/policies/nothing")
    assert (missing.status_code, missing.get_json()["field"]) == (404, "policy")


def a_metric_and_its_events(editor: Any) -> None:
    url = f"{P}/metrics/purchase"
    body = {"kind": "conversion", "event": "purchase", "window": "7d", "owner": "ada@example.org"}
    made = editor.call("PUT", url, json=body)
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    found = editor.get(url)
    assert editor.get(url, headers={"If-None-Match": found.headers["ETag"]}).status_code == 304
    longer = {**body, "window": "14d"}
    assert editor.call("PUT", url, json=longer, headers={"If-Match": '"7"'}).status_code == 412
    again = editor.call("PUT", url, json=longer, headers={"If-Match": '"1"'})
    assert (again.status_code, again.headers["ETag"]) == (200, '"2"')
    refused = editor.call("PUT", url, json={**body, "mde": 0.1})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "mde")
    document = editor.ok("GET", url)
    assert [each["definition"]["window"] for each in document["history"]] == ["14d", "7d"]
    assert document["measures"].startswith("Share of units with purchase within 14 days")
    assert editor.ok("GET", f"{url}/use") == {"experiments": [], "sensitivity": None}
    (listed,) = editor.ok("GET", f"{P}/metrics")["items"]
    assert (listed["key"], listed["experiments"], listed["sensitivity"]) == ("purchase", 0, None)
    assert editor.ok("POST", f"{url}/archive")["archived"] is True
    assert editor.ok("GET", f"{P}/metrics")["items"] == []
    assert len(editor.ok("GET", f"{P}/metrics?archived=true")["items"]) == 1
    assert editor.ok("POST", f"{url}/unarchive")["version"] == 4

    types = f"{P}/event-types"
    assert editor.ok("GET", types) == {"items": [], "next_cursor": None, "unclassified": []}
    first = editor.call("PUT", types, json={"name": "refund", "demand": "failure"})
    assert (first.status_code, first.headers["ETag"]) == (201, '"1"')
    refused = editor.call("PUT", types, json={"name": "refund", "demand": "bad"})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "demand")
    (listed,) = editor.ok("GET", types)["items"]
    assert (listed["name"], listed["demand"]) == ("refund", "failure")


def a_source_from_first_to_last(admin: Any) -> None:
    url = f"{P}/sources/warehouse"
    tracks = {"table": "events", "name": "event"}
    body = {"kind": "postgresql", "url_env": "WAREHOUSE_URL", "tracks": tracks}
    made = admin.call("PUT", url, json=body)
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    assert admin.ok("GET", url)["tracks"] == {**tracks, "unit": "unit", "time": "time"}
    (listed,) = admin.ok("GET", f"{P}/sources")["items"]
    assert (listed["key"], listed["version"]) == ("warehouse", 1)
    other = {**body, "kind": "trino"}
    assert admin.call("PUT", url, json=other, headers={"If-Match": '"7"'}).status_code == 412
    again = admin.call("PUT", url, json=other, headers={"If-Match": '"1"'})
    assert (again.status_code, again.headers["ETag"]) == (200, '"2"')
    refused = admin.call("PUT", url, json={**body, "url_env": "FLAGSTONE_DATABASE_URL"})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "url_env")
    assert admin.call("DELETE", url).status_code == 204
    assert admin.get(url).status_code == 404


def a_holdout_from_first_to_last(admin: Any) -> None:
    url = f"{PROD}/holdout"
    assert admin.ok("GET", url)["on"] is False
    revision = admin.ok("GET", PROD)["revision"]
    made = admin.call("PUT", url, json={"share": 0.05}).get_json()
    assert (made["on"], made["share"], made["intact"], made["effect"]) == (True, 0.05, True, None)
    refused = admin.call("PUT", url, json={"share": 0.2})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "share")
    assert admin.call("PUT", url, json={"share": 0.01}).status_code == 409
    stale = admin.call("PUT", url, json={"share": 0.1}, headers={"If-Match": '"9"'})
    assert stale.status_code == 412
    assert admin.call("DELETE", url).get_json() == {
        "on": False,
        "share": 0.0,
        "flag": "flagstone-holdout",
    }
    assert admin.call("DELETE", url).status_code == 404
    assert admin.ok("GET", PROD)["revision"] == revision + 3
    found = admin.ok("GET", f"{PROD}/audits")
    assert (found["items"], found["tally"]["audits"]) == ([], 0)
    assert found["tally"]["sentence"] == "none yet"


def a_layer_from_first_to_last(editor: Any) -> None:
    url = f"{PROD}/layers/till"
    made = editor.call("PUT", url, json={"description": "The way to the till."})
    assert (made.status_code, made.get_json()["free_share"]) == (201, 1.0)
    assert editor.call("PUT", url, json={}, headers={"If-Match": '"7"'}).status_code == 412
    again = editor.call("PUT", url, json={"description": "Till."}, headers={"If-Match": '"1"'})
    assert (again.status_code, again.get_json()["version"]) == (200, 2)
    assert editor.ok("GET", url)["description"] == "Till."
    (listed,) = editor.ok("GET", f"{PROD}/layers")["items"]
    assert (listed["key"], listed["experiments"], listed["free"]) == ("till", [], [[0, 10000]])
    assert editor.call("PUT", f"{PROD}/layers/Not%20A%20Key", json={}).status_code == 400
    assert editor.call("DELETE", url).status_code == 204
    assert editor.get(url).status_code == 404


def people_step_in(editor: Any, url: str, as_ada: Callable[[str], Any]) -> None:
    """Override a stop by two people, and close in the end."""
    said = {"arm": "on", "reason": "legal", "text": "the law", "predicted_effect": 0.05}
    missing = editor.post(f"{url}/override", said)
    assert (missing.status_code, missing.get_json()["field"]) == (400, "review_at")
    said |= {"review_at": "2090-01-01T00:00:00Z"}
    wrong = editor.post(f"{url}/override", said | {"reason": "because"})
    assert (wrong.status_code, wrong.get_json()["field"]) == (400, "reason")
    asked = editor.ok("POST", f"{url}/override", said)
    assert (asked["state"], asked["request"]["arm"]) == ("ROLLED_BACK", "on")
    assert editor.post(f"{url}/approve").status_code == 403
    assert editor.ok("POST", f"{url}/decline", {"note": "not yet"})["request"] is None
    editor.ok("POST", f"{url}/override", said)
    shipped = as_ada("approve").get_json()
    assert (shipped["state"], shipped["verdict"]) == ("SHIPPING", "OVERRIDE_SHIP")
    assert shipped["override"]["second"] == "ada@example.org"
    assert editor.post(f"{url}/explain", {"text": "nothing"}).status_code == 409
    assert editor.post(f"{url}/extend", {"by": "7d"}).status_code == 409
    editor.ok("POST", f"{url}/stop", {"reason": "the end"})
    learned = editor.ok("POST", f"{url}/learn", {"text": "The law pays."})["learned"]
    assert learned["text"].startswith("The law pays.")
    assert learned["by"]
    closed = editor.ok("POST", f"{url}/close", {"note": "out of the code"})
    assert closed["state"] == "CLOSED"
    assert [each["verdict"] for each in closed["verdicts"]] == [
        *("OVERRIDE_STOP", "OVERRIDE_SHIP", "OVERRIDE_STOP")
    ]


def experiment_from_draft_to_shipping(service: Any) -> None:
    editor = service.caller("editor")
    url = f"{P}/experiments/checkout"
    rules = {"do": "remove_rule", "flag": PLAN["flag"], "rule": "beta"}
    editor.ok("POST", f"{P}/changes", {"environment": "production", "instructions": [rules]})
    assert editor.ok("POST", f"{P}/experiments", PLAN)["state"] == "DRAFT"
    first = editor.ok("GET", f"{P}/experiments?limit=1")
    assert len(first["items"]) == 1
    assert first["next_cursor"] is None or len(first["next_cursor"]) < 20
    assert editor.ok("GET", f"{P}/experiments?group=planned&filter=CHECKOUT")["items"]
    assert editor.ok("GET", f"{P}/experiments?group=ended")["items"] == []
    assert editor.ok("GET", f"{url}/forecast")["status"] == "pending"
    assert editor.ok("POST", f"{url}/seal")["plan_hash"]
    forecast_and_accept(service, url)
    assert editor.ok("POST", f"{url}/start", {})["state"] == "RAMPING"
    (listed,) = editor.ok("GET", f"{P}/experiments?environment=production")["items"]
    assert (listed["key"], listed["environment"], listed["looks"]) == ("checkout", "production", 0)
    found = editor.ok("GET", url)
    assert found["plan"]["customer"] == "ada@example.org"
    assert editor.ok("GET", f"{url}/looks")["items"] == []
    assert editor.ok("GET", f"{url}/looks/now") == {"status": "none", "reading": None}
    reader = service.caller("viewer")
    asked = reader.ok("POST", f"{url}/looks/now", {})
    assert (asked["status"], asked["reading"]) == ("pending", None)
    assert editor.ok("POST", f"{url}/looks/now")["asked_at"] == asked["asked_at"]
    card = editor.get(f"{url}/card.txt")
    assert card.content_type == "text/plain; charset=utf-8"
    assert "ada@example.org" in card.get_data(as_text=True)
    table = editor.get(f"{url}/results.csv")
    assert table.content_type == "text/csv; charset=utf-8"
    assert table.get_data(as_text=True).startswith("look,at,day,")
    segments = editor.get(f"{url}/results.csv?by=segment").get_data(as_text=True)
    assert segments.startswith("look,attribute,what,value,metric,arm,")
    assert editor.get(f"{url}/results.csv?by=country").status_code in {400, 422}
    found = editor.ok("GET", f"{url}/results.json")
    assert (found["format"], found["looks"]) == ("flagstone-results-1", [])
    record = editor.ok("GET", f"{url}/record")
    assert [each["kind"] for each in record["records"]] == ["seal", "action", "start"]
    assert verify(record).identical

    with service.database.write() as session:
        experiment = session.exec(select(Experiment)).one()
        experiment.state, experiment.held_cause, experiment.held_from = "HELD", "quality", "RUNNING"
        told = {"offset": 1.0, "prospects": {"by_extension": [[86400.0, 0.7]]}}
        place = {"experiment_id": experiment.id, "number": 1, "at": experiment.created_at}
        session.add(Look(**place, verdict="CONTINUE", data=told, decision={}))
        session.add(experiment)
    explained = editor.ok("POST", f"{url}/explain", {"text": "testers switched arms"})
    assert (explained["state"], explained["held_cause"]) == ("RUNNING", None)
    assert editor.post(f"{url}/extend", {"by": "1d"}).status_code == 403
    client, headers = sign_in_ada(service)
    signed_body: dict[str, Any] = {"json": {}, "headers": headers}
    extended = client.post(f"/api/v1{url}/extend", json={"by": "1d"}, headers=headers)
    assert extended.get_json()["extension_seconds"] == 86400
    with service.database.write() as session:
        experiment = session.exec(select(Experiment)).one()
        experiment.state, experiment.verdict, experiment.winner = "RUNNING", "VALUE_PROVEN", "on"
        session.add(experiment)
    refused = editor.post(f"{url}/confirm")
    assert refused.status_code == 403
    confirmed = client.post(f"/api/v1{url}/confirm", **signed_body)
    assert confirmed.get_json()["state"] == "SHIPPING"
    assert editor.ok("POST", f"{url}/stop", {"reason": "the end"})["state"] == "ROLLED_BACK"
    people_step_in(editor, url, lambda verb: client.post(f"/api/v1{url}/{verb}", **signed_body))


def a_release_from_first_to_last(service: Any) -> None:
    editor = service.caller("editor")
    flag = {"key": "paint", "type": "string", "default": "old", "off": "old"}
    editor.ok(
        "POST", f"{P}/flags", flag | {"variants": {"old": {"value": "1"}, "new": {"value": "2"}}}
    )
    on = {"do": "turn_on", "flag": "paint"}
    editor.ok("POST", f"{P}/changes", {"environment": "production", "instructions": [on]})
    body = {
        "flag": "paint",
        "variant": "new",
        "guards": ["crash"],
        "steps": [{"share": 0.01, "approval": True}, 50, 100],
        "customer": "ada@example.org",
    }
    drafted = editor.ok("POST", f"{P}/releases", body)
    assert (drafted["key"], drafted["state"], drafted["release"]) == ("paint-new", "DRAFT", None)
    url = f"{P}/releases/paint-new"
    started = editor.ok("POST", f"{url}/start")
    assert (started["state"], started["release"]["share"]) == ("RAMPING", 0.01)
    refused = editor.post(f"{url}/approve")
    assert refused.status_code == 403
    client, headers = sign_in_ada(service)
    approved = client.post(f"/api/v1{url}/approve", json={}, headers=headers).get_json()
    assert approved["release"]["approved"] == [0]
    (listed,) = editor.ok("GET", f"{P}/releases?environment=production&flag=paint")["items"]
    kinds = [each["kind"] for each in listed["release"]["waits_for"]]
    assert (listed["release"]["steps"], kinds) == (3, ["hold", "sample"])
    assert editor.ok("GET", url)["plan"]["claim"] == "release"
    assert "ada@example.org" in editor.get(f"{url}/card.txt").get_data(as_text=True)
    assert editor.get(f"{P}/releases/checkout/card.txt").status_code == 404
    assert editor.ok("POST", f"{url}/stop", {"reason": "enough"})["verdict"] == "OVERRIDE_STOP"
    assert verify(editor.ok("GET", f"{url}/record")).identical
