"""The timeline of a flag: each event once, in its lane, with the way back and the way then."""

from __future__ import annotations

from typing import Any

from experiments.models import Look
from experiments.people.story import Story, flag_story
from flags import activity, services

HERE = "/projects/shop/environments/production"
PAGE = f"{HERE}/timeline/checkout"


def _story(console: Any) -> Story:
    with console.database.read() as session:
        environment = services.get_environment(session, "shop", "production")
        return flag_story(session, "shop", environment, "checkout", now=console.clock())


def test_every_event_is_told_once_in_its_lane_newest_first(running: Any) -> None:
    console = running(looks=3)
    console.change("checkout", {"do": "kill"}, comment="errors")
    events = _story(console).events
    assert [(each.lane, each.words.split(" – ")[0][:9]) for each in events][:1] == [
        ("change", "kill")
    ]
    assert [each.at for each in events] == sorted((each.at for each in events), reverse=True)
    started = [each for each in events if "Started:" in each.words]
    assert [each.lane for each in started] == ["step"]
    assert started[0].entry is not None
    page = console.person("editor").page(PAGE)
    words = " ".join(page.words.split())
    assert "kill – errors" in words
    assert len(page.attributes(role="img")) == 2
    only = console.person("viewer").page(f"{PAGE}?kind=step")
    assert "kill – errors" not in only.html.partition("<tbody>")[2]
    assert {form.method for form in only.forms} - {"post"} == {"get"}
    assert {form.action for form in only.forms if form.method == "post"} == {"/logout"}


def test_people_and_the_metric_are_drawn_on_the_same_axis(running: Any) -> None:
    console = running(looks=4)
    story = _story(console)
    assert [each.people for each in story.seen] == [2010] * 4
    assert story.experiment is not None
    drawn = console.person("viewer").page(PAGE).html
    assert "People in the experiment (up to 2,010)" in drawn
    assert "2,010 people counted in the experiment." in drawn
    assert ("purchases, on against off" in drawn) == (story.metric is not None)


def test_harm_is_an_alarm(running: Any) -> None:
    console = running(looks=1)
    with console.database.write() as session:
        session.get_one(Look, 1).verdict = "HARM"
    assert [(each.lane, each.words) for each in _story(console).events if each.lane == "alarm"] == [
        ("alarm", "HARM at look 1")
    ]


def test_an_approval_stands_beside_what_was_asked(small_console: Any, read_page: Any) -> None:
    editor = small_console.person("editor")
    shown = editor.press(f"{HERE}/flags/checkout", "Turn on")
    form = read_page(shown.get_data(as_text=True)).form("Apply")
    editor.send("", form, {"comment": "soon", "mode": "request"})
    admin = small_console.person("admin")
    admin.press(f"{HERE}/changes", "Approve")
    lanes = [(each.words.split(":")[0], each.change) for each in _story(small_console).events]
    assert ("asked", 1) in lanes
    assert ("approved", 1) in lanes


def test_an_instant_leads_to_who_got_what_then(small_console: Any) -> None:
    editor = small_console.person("editor")
    response = editor.get(f"{PAGE}?at=2026-12-01T09:30")
    assert response.status_code == 303
    form = editor.page(response.location).form("Show")
    assert (form.fields["flag"], form.fields["at"]) == ("checkout", "2026-12-01T09:30Z")
    said = editor.send(response.location, form, {"who": "u1", "at": "2026-12-01T09:00:00Z"})
    assert 'at <time datetime="2026-12-01T09:00:00+00:00"' in said.get_data(as_text=True)


def test_an_event_leads_back_over_a_preview(small_console: Any) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    small_console.change("checkout", {"do": "set_default", "variant": "on"})
    editor = small_console.person("editor")
    shown = editor.press(PAGE, "Undo this alone", {"preview": "yes"})
    assert "Preview: nothing is written yet" in shown.get_data(as_text=True)
    assert small_console.document()["default"] == "on"
    editor.explained(shown)
    assert small_console.document()["default"] == "off"


def test_exposures_stand_on_the_same_axis_with_or_without_an_experiment(
    small_console: Any,
) -> None:
    console = small_console
    console.clock.advance(hours=5)
    hour = activity.hour_of(console.clock())
    with console.database.write() as session:
        place = services.get_environment(session, "shop", "production").id
        counts = {hour - 2: {"checkout": 40}, hour: {"checkout": 7, "other": 99}}
        activity.keep(session, place, counts, {}, now=console.clock())
    story = _story(console)
    ago = [(console.clock() - at).total_seconds() / 3600 for at, _ in story.exposures]
    assert [count for _, count in story.exposures] == [40, 7]
    assert [round(each) for each in ago] == [2, 0]
    drawn = console.person("viewer").page(PAGE).html
    assert "Exposures by the hour (up to 40)" in drawn
    assert "47 exposures in the last 48 hours" in drawn
