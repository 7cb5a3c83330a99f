"""Experiments over forms: draft, seal, start, stop, confirm; and the page in every state."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from experiments.contract.parsing import parse_plan
from experiments.judging.record import verify
from experiments.models import Experiment, UnscheduledLook
from experiments.telling.series import Mark, series_of
from tests.experiments.conftest import plan_document
from tests.web.console.conftest import look
from web.console.charts import axis_of_worth
from web.console.intervals import chart_of, small_chart_of
from web.console.new_experiment import TEMPLATE

HERE = "/projects/shop/environments/production"
PAGE = f"{HERE}/experiments/one-page"
PLAN = """key = "one-page"
flag = "checkout"
control = "off"
treatments = ["on"]
hypothesis = "One page makes more visitors buy."
customer = "editor@example.org"
owner = "checkout team"
prove_by = "28d"
[weights]
off = 1
on = 1
[[metrics]]
key = "purchases"
role = "success"
kind = "conversion"
event = "purchase"
window = "7d"
mde = 0.05
[expected]
units_per_day = 90000
metrics = { purchases = { baseline = 0.1 } }
"""


def test_an_experiment_goes_from_its_draft_to_its_end(console: Any) -> None:
    console.change("checkout", {"do": "turn_on"})
    editor = console.person("editor")
    page = editor.follow(
        editor.press(
            f"{HERE}/new-experiment",
            "Save the draft of this text",
            {"plan": PLAN.replace("\n", "\r\n")},
        )
    )
    assert "Seal the plan." in page.words
    assert "on checkout , draft" in " ".join(page.words.split()).replace("checkout,", "checkout ,")
    page = editor.follow(editor.press(PAGE, "Seal the plan"))
    assert "Start when ready." in page.words
    early = editor.press(PAGE, "Start")
    assert early.status_code == 409
    assert "the forecast of this plan is being computed" in early.get_data(as_text=True)
    assert console.forecast() == 1
    assert "90,000 new units a day, stated, not measured" in editor.page(PAGE).words
    page = editor.follow(editor.press(PAGE, "Start"))
    assert "Wait: nothing is decided yet." in page.words
    assert "None yet; the first is in" in " ".join(page.words.split())
    assert PAGE in editor.page(f"{HERE}/flags").links
    assert "one-page" in editor.page(f"{HERE}/flags/checkout").words
    empty = editor.press(PAGE, "Stop the experiment", {"reason": " "})
    assert empty.status_code == 400
    assert "a stop needs a reason" in empty.get_data(as_text=True)
    assert "data-reopened" in empty.get_data(as_text=True)
    assert console.state_of("one-page") == "RAMPING"
    page = editor.follow(editor.press(PAGE, "Stop the experiment", {"reason": "bad <press>"}))
    assert "OVERRIDE STOP" in page.words
    assert "bad <press>" in page.words
    with pytest.raises(AssertionError, match="no button"):
        page.form("Stop")
    record = json.loads(editor.get(f"{PAGE}/record.json").get_data())
    assert verify(record).differences == ()


def test_the_plan_that_the_page_proposes_is_a_good_one(console: Any) -> None:
    console.flag(
        "other",
        variants={"control": {"value": False, "on": False}, "treatment": {"value": True}},
        off="control",
        default="control",
    )
    editor = console.person("editor")
    for environment in ("production", "staging"):
        form = f"/projects/shop/environments/{environment}/new-experiment"
        given = editor.page(form).form("Save the draft of this text").fields["plan"]
        assert TEMPLATE.splitlines()[0] in given
        # Only a customer who can sign in can confirm what was proven.
        assert 'customer = "editor@' in given
        response = editor.press(form, "Save the draft of this text", {"plan": given})
        assert f"/environments/{environment}/experiments/" in response.location


@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        ('key = "one-page"', 'key = "one page"', 400, "at key"),
        ('key = "one-page"', "key = ", 400, ""),
        ("mde = 0.05", "", 400, "mde"),
        ("mde = 0.05", "mde = 7000", 400, "mde"),
        ('prove_by = "28d"', 'prove_by = "soon"', 400, "prove_by"),
        ('key = "one-page"', 'key = "one-page"\nenvironment = "mars"', 404, "mars"),
        ('key = "one-page"', 'key = "one-page"\ncolour = "red"', 400, "colour"),
        (PLAN, "", 400, ""),
        (PLAN, "x = " + "[" * 20000, 400, ""),
        (PLAN, PLAN + "\x00", 400, ""),
    ],
)
def test_a_plan_with_a_fault_comes_back_with_the_fault(
    small_console: Any, old: str, new: str, status: int, words: str
) -> None:
    editor = small_console.person("editor")
    before = small_console.written()
    text = PLAN.replace(old, new)
    response = editor.press(f"{HERE}/new-experiment", "Save the draft of this text", {"plan": text})
    assert response.status_code == status
    page = editor.page(f"{HERE}/flags").__class__(response.get_data(as_text=True))
    assert words in " ".join(page.words.split())
    assert page.form("Save the draft of this text").fields["plan"].strip(
        "\n\x00\ufffd"
    ) == text.strip("\n\x00")
    assert small_console.written() == before


def test_a_key_is_not_used_twice(small_console: Any, plan: Any) -> None:
    small_console.experiment(plan())
    editor = small_console.person("editor")
    response = editor.press(f"{HERE}/new-experiment", "Save the draft of this text", {"plan": PLAN})
    assert response.status_code == 409
    assert "records are kept for ever" in response.get_data(as_text=True)


@pytest.mark.parametrize("verb", ["seal", "start", "confirm"])
def test_a_step_at_the_wrong_time_is_told_and_not_taken(
    small_console: Any, plan: Any, verb: str
) -> None:
    small_console.experiment(plan(), *(["seal"] if verb == "seal" else []))
    editor = small_console.person("editor")
    state, before = small_console.state_of("one-page"), small_console.written()
    form = editor.page(PAGE).form("Sign out")
    form.action = f"{PAGE}/{verb}"
    response = editor.send(PAGE, form)
    assert response.status_code == 409
    assert 'role="alert"' in response.get_data(as_text=True)
    assert (small_console.state_of("one-page"), small_console.written()) == (state, before)


def test_a_draft_is_given_up_with_a_reason(console: Any, plan: Any) -> None:
    console.experiment(plan())
    editor = console.person("editor")
    page = editor.follow(editor.press(PAGE, "Give it up", {"reason": "a better idea"}))
    assert "Nothing to do" in page.words
    assert console.state_of("one-page") == "ABANDONED"


# In every state, with looks as the monitor stores them


VERDICTS = [
    ("RUNNING", None, "neutral", "CONTINUE"),
    ("RAMPING", None, "neutral", "CONTINUE"),
    ("HELD", None, "attention", "HELD"),
    ("RUNNING", "VALUE_PROVEN", "good", "VALUE PROVEN"),
    ("SHIPPING", "VALUE_PROVEN", "good", "VALUE PROVEN"),
    ("SHIPPING", "NO_HARM_PROVEN", "good", "NO HARM PROVEN"),
    ("SHIPPING", "OVERRIDE_SHIP", "attention", "OVERRIDE SHIP"),
    ("VERIFYING", "VALUE_PROVEN", "good", "VALUE PROVEN"),
    ("CLEANUP", "CONFIRMED", "good", "CONFIRMED"),
    ("CLEANUP", "NOT_CONFIRMED", "attention", "NOT CONFIRMED"),
    ("CLOSED", "CONFIRMED", "good", "CONFIRMED"),
    ("ROLLED_BACK", "LATE_HARM", "bad", "LATE HARM"),
    ("ROLLED_BACK", "VALUE_PROVEN", "good", "VALUE PROVEN"),
    ("ROLLED_BACK", "HARM", "bad", "HARM"),
    ("ROLLED_BACK", "FUTILE", "attention", "FUTILE"),
    ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", "attention", "NOT PROVEN IN TIME"),
    ("ROLLED_BACK", "INVALID", "bad", "INVALID"),
    ("ROLLED_BACK", "OVERRIDE_STOP", "attention", "OVERRIDE STOP"),
]


@pytest.mark.parametrize(("state", "verdict", "tone", "word"), VERDICTS)
def test_every_verdict_is_the_first_word_and_never_a_colour_alone(
    running: Any, state: str, verdict: str | None, tone: str, word: str
) -> None:
    ended = None if state in {"RUNNING", "RAMPING", "HELD"} else "now"
    console = running(state=state, verdict=verdict, winner="on", note="What happened.")
    if ended:
        with console.database.write() as session:
            session.get_one(Experiment, 1).ended_at = console.clock()
    viewer = console.person("viewer")
    page = viewer.page(PAGE)
    (said,) = [given for _tag, given in page.tags if given.get("id") == "verdict-word"]
    assert f"fs-{tone}" in str(said["class"])
    after = page.html[page.html.index('id="verdict-word"') :]
    assert after[after.index(">") + 1 :].startswith(word)
    listed = viewer.page(f"{HERE}/experiments")
    assert (word if verdict else "no verdict yet") in listed.words
    hidden = verdict == "INVALID"
    assert ("+1 points" in page.words) is not hidden
    assert ("Evidence" in page.words) is not hidden
    assert ("fs-chart" in page.html) is not hidden


def test_before_the_minimum_no_effect_is_shown_in_words_or_in_pictures(running: Any) -> None:
    console = running(looks=3, state="RUNNING")
    page = console.person("viewer").page(PAGE)
    assert "Not shown before 7 days have passed" in page.words
    assert "fs-chart" not in page.html
    assert "Evidence" not in page.words
    assert "points" not in page.words


def test_only_the_customer_finds_the_button_that_ships(running: Any) -> None:
    console = running(state="RUNNING", verdict="VALUE_PROVEN", winner="on")
    editor, admin = console.person("editor"), console.person("admin")
    assert editor.page(PAGE).form("Confirm: ship on")
    other = admin.page(PAGE)
    assert "Waits for editor@example.org to confirm" in other.words
    form = other.form("Sign out")
    form.action = f"{PAGE}/confirm"
    refused = admin.send(PAGE, form)
    assert refused.status_code == 403
    assert "only the customer" in refused.get_data(as_text=True)
    page = editor.follow(editor.press(PAGE, "Confirm: ship on"))
    assert "Ship on: it is being served to 75 %" in page.words
    # What ships can still be stopped.
    assert page.form("Stop the experiment")


def test_an_open_page_is_drawn_again_only_when_there_is_something_new(running: Any) -> None:
    console = running(looks=8, state="RUNNING")
    viewer = console.person("viewer")
    (part,) = [given for _tag, given in viewer.page(PAGE).tags if given.get("id") == "experiment"]
    htmx = {"HX-Request": "true"}
    assert part["hx-trigger"] == "every 2s"
    assert viewer.get(part["hx-get"], headers=htmx).status_code == 204
    with console.database.write() as session:
        session.get_one(Experiment, 1).verdict = "HARM"
    answer = viewer.get(part["hx-get"], headers=htmx)
    assert answer.status_code == 200
    assert "<html" not in answer.get_data(as_text=True)
    assert 'data-say="HARM: ' in answer.get_data(as_text=True)


def test_sixty_looks_are_folded_and_drawn_for_both_screens(running: Any) -> None:
    console = running(looks=60, state="RUNNING")
    page = console.person("viewer").page(PAGE)
    assert "60 looks" in page.words
    (more,) = [given for _tag, given in page.tags if given.get("id") == "more-looks"]
    assert "open" not in more
    classes = [given["class"] for tag, given in page.tags if tag == "svg" and "role" in given]
    assert classes == ["fs-chart fs-wide", "fs-chart fs-phone"] * 2
    assert page.html.count("<circle") == 2 * (60 + 1)
    # Of sixty looks only those that can prove have an interval of their own.
    assert page.html.count("fs-whisker") == 0
    assert "60 looks, 0 of which could prove" in page.html


def test_the_page_shows_what_is_rare_and_what_a_ratio_divides_by(
    small_console: Any, plan: Any
) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    document = plan()
    document["metrics"] += [
        {
            "key": "crashes",
            "role": "safety",
            "kind": "conversion",
            "event": "crash",
            "window": "1h",
            "direction": "down",
            "rare": True,
        },
        {
            "key": "order-value",
            "role": "explore",
            "kind": "ratio",
            "event": "purchase",
            "numerator": "value",
            "denominator_event": "session",
            "window": "7d",
        },
    ]
    small_console.experiment(document, "seal", "start")
    with small_console.database.write() as session:
        at = small_console.clock() + dt.timedelta(days=8)
        seen = look(8, at)
        exact = {
            "kind": "harm_events",
            "metric": "crashes",
            "estimate": None,
            "z": None,
            "bound": None,
            "log_e": 2.5,
            "log_e_bound": 5.0752,
        }
        tests = [seen.decision["tests"][0] | exact]
        seen.decision = seen.decision | {"tests": [*seen.decision["tests"], *tests]}
        sums = {"n": 1000.0, "s1": 3.0, "s2": 3.0, "s3": 3.0}
        counted = seen.data["look"]["metrics"] | {"crashes": {"off": sums, "on": sums}}
        seen.data = seen.data | {"look": seen.data["look"] | {"metrics": counted}}
        session.add(seen)
    small_console.clock.advance(days=8)
    page = small_console.person("viewer").page(PAGE)
    assert "conversion of crash within 1h, rare: its events are weighed one by one" in page.words
    assert "ratio of value of purchase per session within 7d" in page.words
    assert re.search(r"ln E 2\.500\s*5\.075", page.words)


def test_what_was_found_is_downloaded_for_a_spreadsheet_and_for_a_notebook(running: Any) -> None:
    console = running(looks=9, state="RUNNING")
    viewer = console.person("viewer")
    page = viewer.page(PAGE)
    for name in ("results.csv", "results.json"):
        assert f"{PAGE}/{name}" in page.links
    table = viewer.get(f"{PAGE}/results.csv")
    assert table.headers["Content-Disposition"] == 'attachment; filename="one-page.csv"'
    assert table.content_type == "text/csv; charset=utf-8"
    assert table.get_data(as_text=True).count("\r\n") == 1 + 9
    notebook = viewer.get(f"{PAGE}/results.json")
    assert "one-page-results.json" in notebook.headers["Content-Disposition"]
    assert len(json.loads(notebook.get_data())["looks"]) == 9
    assert viewer.get(f"{HERE}/experiments/other/results.csv").status_code == 404


def test_a_conversion_is_drawn_in_points(running: Any, plan: Any) -> None:
    console = running(looks=9, state="RUNNING")
    page = console.person("viewer").page(PAGE)
    assert re.search(r"\+\d+ pt.*0.*−\d+ pt|−\d+ pt.*0.*\+\d+ pt", page.words)
    assert "look 9, day 9: +1 pt (−9 pt to +11 pt), could not prove" in page.words


def test_pictures_stand_any_numbers(plan: Any) -> None:
    from experiments.telling.card import Worth

    numbers: list[float | None] = [None, 0.0, -1.0, 1e-300, 1e300, -1e300]
    for estimate in numbers:
        for low in numbers:
            for break_even in numbers:
                worth = Worth(
                    metric="purchases",
                    arm="on",
                    unit="",
                    good="up",
                    control_mean=None,
                    treatment_mean=None,
                    estimate=estimate,
                    low=low,
                    high=low,
                    relative=None,
                    relative_low=None,
                    relative_high=None,
                    break_even=break_even,
                    break_even_label="<b>",
                    proven=False,
                    text="<b>",
                )
                drawn = axis_of_worth(worth)
                start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
                looks = [look(n, start, estimate=estimate or 0.0) for n in (1, 2, 3)]
                (series,) = series_of(parse_plan(plan()), looks)
                series = replace(series, arm="<b>", marks=(Mark(break_even or 0.0, "<b>"),))
                drawings = [
                    f(replace(series, points=series.points[:n]))
                    for f in (chart_of, small_chart_of)
                    for n in (0, 1, 3)
                ]
                for svg in (drawn or "", *drawings):
                    assert "nan" not in svg
                    assert "inf" not in svg
                    assert "<b>" not in svg


@pytest.mark.parametrize("values", [(0.0004, 0.004), (0.004, 0.0004, 0.006), (0.0, 0.03)])
def test_no_line_of_a_chart_strikes_through_the_label_of_another(
    plan: Any, values: tuple[float, ...]
) -> None:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    (series,) = series_of(parse_plan(plan()), [look(n, start, estimate=0.01) for n in (1, 2, 3)])
    marks = tuple(Mark(value, f"at {value}") for value in values)
    for drawn in (chart_of, small_chart_of):
        svg = str(drawn(replace(series, marks=marks)))
        for picture in svg.split("</svg>")[:-1]:
            lines = sorted(float(y) for y in re.findall(r'y1="([0-9.]+)"[^>]*fs-goal', picture))
            found = re.findall(r' y="([0-9.]+)" text-anchor="start">at ([0-9.]+)<', picture)
            labels = sorted((float(y), -float(value)) for y, value in found)
            # The highest value is the topmost line, and its label the topmost too.
            assert [-value for _, value in labels] == sorted(values, reverse=True)
            assert all(low + 12 < high for (low, _), (high, _) in pairwise(labels))
            assert not [y for y, _ in labels for at in lines if y - 9 < at < y + 1]


def test_people_step_in_with_forms_that_keep_what_was_said(running: Any) -> None:
    console = running(looks=9, state="RUNNING")
    editor, admin = console.person("editor"), console.person("admin")
    said = {
        "text": "the authority wants it",
        "predicted_effect": "five",
        "review_at": "2090-01-01",
        "arm": "on",
        "reason": "legal",
    }
    refused = editor.press(PAGE, "Ship by override", said)
    assert refused.status_code == 400
    text = refused.get_data(as_text=True)
    assert "the authority wants it" in text
    assert "number of per cent" in text
    editor.follow(editor.press(PAGE, "Stop the experiment", {"reason": "enough"}))
    page = editor.follow(editor.press(PAGE, "Ship by override", said | {"predicted_effect": "5"}))
    assert "Waits for a second person to approve" in page.words
    assert "approve or decline the override" in page.words
    shipped = admin.follow(admin.press(PAGE, "Approve: ship on"))
    assert "on ships by override, without proof" in shipped.words
    assert "Predicted" in shipped.words
    assert "purchases +5 %" in shipped.words or "+5 %" in shipped.words
    admin.follow(admin.press(PAGE, "Stop the experiment", {"reason": "enough"}))
    assert "Nobody has said it yet" in admin.page(PAGE).words
    said = admin.follow(admin.press(PAGE, "Keep it", {"text": "The law pays.\nTwice."}))
    assert "The law pays.\nTwice." in said.words
    assert "Nobody has said it yet" not in said.words
    assert "The law pays." in admin.page(f"{PAGE}/report").words
    found = admin.page(f"{HERE}/library?words=law+pays")
    assert "one-page" in found.words
    assert "Learned: The law pays." in found.words
    assert "one-page" not in admin.page(f"{HERE}/library?words=law+costs").words
    closed = admin.follow(admin.press(PAGE, "Close it", {"note": "out of the code"}))
    assert "Nothing left to do" in closed.words


def test_a_held_experiment_asks_for_an_explanation(running: Any) -> None:
    console = running(looks=3, state="HELD", held_cause="quality", held_from="RUNNING")
    editor = console.person("editor")
    assert "Explain what is wrong with the data" in editor.page(PAGE).words
    page = editor.follow(editor.press(PAGE, "Explain it", {"text": "testers switched arms"}))
    assert "Explained by editor@example.org" in page.words
    viewer = console.person("viewer")
    assert "Override" not in [word for form in viewer.page(PAGE).forms for word in form.buttons]


def test_a_reader_asks_between_looks_and_sees_what_the_worker_found(
    small_console: Any, plan: Any
) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    small_console.experiment(plan(), "seal", "start")
    viewer = small_console.person("viewer")
    page = viewer.page(PAGE)
    assert "not a scheduled look and decides nothing" in page.words
    # The only thing on it that a reader can press, beside signing out.
    assert [form.action for form in page.forms if form.method == "post"] == [
        "/logout",
        f"{PAGE}/look",
    ]
    response = viewer.press(PAGE, "Look now")
    assert response.location.endswith(f"{PAGE}#between")
    page = viewer.page(PAGE)
    assert "Asked just now by viewer@example.org" in " ".join(page.words.split())
    with pytest.raises(AssertionError, match="no button"):
        page.form("Look now")
    seen = re.search(r'hx-get="([^"]*seen=[^"]*)"', page.html)
    assert seen is not None
    address = seen[1].replace("&amp;", "&")
    headers = {"HX-Request": "true"}
    assert viewer.get(address, headers=headers).status_code == 204
    row = {"metric": "purchases", "arm": "on", "reason": None, "times_scheduled": 1.3141}
    row |= {"estimate": 0.01, "se": 0.005, "low": -0.005, "high": 0.025, "relative": 0.05}
    row |= {"critical": 3.0, "relative_low": -0.02, "relative_high": 0.12}
    document = {
        "offset": 3600.0,
        "counts": {"off": 1, "on": 1},
        "confidence_level": 0.95,
        "split_broken": False,
        "srm_log_e": 0.0,
        "alarm": None,
        "rows": [row],
        "look": None,
    }
    with small_console.database.write() as session:
        asked = session.get_one(UnscheduledLook, 1)
        asked.answered_at, asked.document = small_console.clock(), document
        session.add(asked)
    # The page that waits is drawn anew, and before day 7 without a sign.
    words = " ".join(viewer.get(address, headers=headers).get_data(as_text=True).split())
    assert "No sign is shown before 7 days have passed" in words
    assert "purchases, on against off: known to within ± 1.5 points</li>" in words
    assert "They are 1.3 times as wide as the scheduled intervals would be" in words
    assert "A new answer may be asked for <time" in words
    small_console.clock.advance(minutes=10)
    assert viewer.press(PAGE, "Look now").status_code == 303


def test_nobody_asks_what_does_not_run(small_console: Any, plan: Any) -> None:
    small_console.experiment(plan())
    viewer = small_console.person("viewer")
    token = viewer.page(PAGE).form("Sign out").fields["csrf_token"]
    response = viewer.client.post(
        f"{PAGE}/look", data={"csrf_token": token}, headers={"Accept": "text/html"}
    )
    assert response.status_code == 409
    assert "nothing to read between looks" in response.get_data(as_text=True)


def test_a_review_is_asked_for_in_the_list_and_on_the_card_until_it_is_settled(
    small_console: Any, plan: Any
) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    small_console.experiment(plan(), "seal", "start")
    editor = small_console.person("editor")
    said = {"text": "a contract", "reason": "contract", "predicted_effect": "3", "arm": "on"}
    said |= {"review_at": "2026-12-08"}
    assert editor.press(PAGE, "Ship by override", said).status_code == 303
    before = " ".join(editor.page(f"{HERE}/experiments").words.split())
    assert "review due on 8 December 2026, 00:00 UTC" in before
    assert "owed by" not in before
    waiting = f"{HERE}/experiments?group=waiting"
    assert "one-page" not in editor.page(waiting).words
    assert "Review due on 8 December 2026, 00:00 UTC, by editor@example.org" in " ".join(
        editor.page(PAGE).words.split()
    )
    small_console.clock.advance(days=7)
    editor = small_console.person("admin")
    after = " ".join(editor.page(f"{HERE}/experiments").words.split())
    assert "review overdue since 8 December 2026, 00:00 UTC, owed by editor@example.org" in after
    assert "one-page" in editor.page(waiting).words
    assert "overdue since 8 December 2026" in " ".join(editor.page(f"{PAGE}/report").words.split())
    editor.press(PAGE, "Stop the experiment", {"reason": "it did not"})
    assert "review" not in " ".join(editor.page(f"{HERE}/experiments").words.split())


def test_the_list_is_read_by_page_by_group_and_by_words(small_console: Any) -> None:
    owner = small_console.person("editor")
    path = f"{HERE}/experiments"
    assert "No experiment yet" in owner.page(path).words
    for number in range(52):
        small_console.experiment(plan_document(key=f"e{number}", flag="checkout"))
    first = owner.page(path)
    assert [f">e{n}<" in first.html for n in (51, 2, 1, 0)] == [True, True, False, False]
    (more,) = [link for link in first.links if "after=" in link]
    second = owner.page(f"{path}{more}")
    assert [f">e{n}<" in second.html for n in (51, 2, 1, 0)] == [False, False, True, True]
    fragment = owner.get(f"{path}{more}", headers={"HX-Request": "true"}).get_data(as_text=True)
    assert "<html" not in fragment
    assert "e1" in fragment
    assert "Nothing is running" in owner.page(f"{path}?group=running").words
    assert "e51" in owner.page(f"{path}?group=planned").words
    found = owner.page(f"{path}?filter=e17")
    assert "e17" in found.words
    assert "e51" not in found.words
    assert "Nothing here mentions" in owner.page(f"{path}?filter=xyzzy").words
    for odd in ("after=x", "after=99999999999999999999", "group=x", "after=-1"):
        owner.page(f"{path}?{odd}")
