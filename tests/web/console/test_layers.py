"""The page of layers: shares, the holdout, the audits."""

from __future__ import annotations

from typing import Any

from experiments.models import StandingRow
from experiments.moves import holdout
from experiments.telling import audits
from flags.services import get_environment

HERE = "/projects/shop/environments/production"


def test_an_editor_makes_a_layer_and_sees_who_has_which_share(
    small_console: Any, plan: Any
) -> None:
    editor = small_console.person("editor")
    assert "No layer yet" in editor.page(f"{HERE}/layers").words
    given = {"key": "till", "description": "The <way> to the till."}
    assert editor.press(f"{HERE}/layers", "Make layer", given).status_code == 303
    small_console.change("checkout", {"do": "turn_on"})
    small_console.experiment(plan(layer="till", layer_share=0.25), "seal", "start")
    page = editor.page(f"{HERE}/layers")
    words = " ".join(page.words.split())
    assert "till 75 % free" in words
    assert "25 % one-page on checkout" in words
    assert "The <way> to the till." in page.words
    wrong = editor.press(f"{HERE}/layers", "Make layer", {"key": "Not A Key"})
    assert wrong.status_code == 400


def test_an_administrator_holds_people_out_and_lets_them_in(small_console: Any) -> None:
    assert "Hold out" not in small_console.person("editor").page(f"{HERE}/layers").words
    admin = small_console.person("admin")
    for percent, status in (("ten", 400), ("12", 400), ("nan", 400), ("5", 303)):
        answer = admin.press(f"{HERE}/layers", "Hold out", {"percent": percent, "do": "set"})
        assert answer.status_code == status, percent
    page = admin.page(f"{HERE}/layers")
    assert "5 % of all people get control of everything" in page.words
    assert "Nothing to compare yet" in page.words
    with small_console.database.write() as session:
        environment = get_environment(session, "shop", "production")
        row = holdout.current_holdout(session, environment)
        assert row is not None
        metric = {"metric": "purchases", "role": "success", "unit": "share of units"}
        metric |= {"direction": "up", "estimate": 0.021, "low": 0.01, "high": 0.032}
        metric |= {"relative": 0.19, "shrunk": {"total": 0.024}}
        looks = {"counts": {"a": 300, "b": 310}, "metrics": {"1-purchases": {}}}
        common = {"environment_id": environment.id, "number": 1, "at": small_console.clock()}
        session.add(
            StandingRow(
                kind="holdout",
                subject=holdout.rule_id(row),
                period=1,
                verdict="CONTINUE",
                data={"counts": {"held": 50, "open": 900}, "experiments": ["one-page"]}
                | {"metrics": [metric, metric | {"estimate": None, "reason": "too few units"}]},
                **common,
            )
        )
        for period, verdict in ((1, "NOT_PROVEN_IN_TIME"), (2, "HARM"), (3, "CONTINUE")):
            session.add(
                StandingRow(
                    kind=audits.KIND,
                    subject="",
                    period=period,
                    verdict=verdict,
                    data={"look": looks},
                    **common,
                )
            )
    page = admin.page(f"{HERE}/layers")
    for words in (
        "among 950 people",
        "+0.01 to +0.032",
        "too few units",
        "1 of 2 audits of nothing gave a false verdict",
        "false: harm",
        "found nothing",
        "running",
    ):
        assert words in " ".join(page.words.split()), words
    assert admin.press(f"{HERE}/layers", "End it", {"do": "end"}).status_code == 303
    assert "Nobody is held out." in admin.page(f"{HERE}/layers").words
