"""The report: one page about one experiment that can be shared, printed, or mailed as a file."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import Any

from flask import render_template, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlmodel import Session

from experiments.contract import promise
from experiments.contract.words import moment
from experiments.machine.lifecycle import Outcome
from experiments.models import Experiment
from experiments.people import services
from experiments.people.results import read_results
from experiments.telling.explored import explored
from experiments.telling.series import series_of
from experiments.telling.timeline import timeline
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import WEB, attachment, blueprint, place, show
from web.console.charts import axis_of_worth
from web.console.experiments import ITEM
from web.console.fared import how_each_fared
from web.console.intervals import small_chart_of
from web.transactions import now, our_address, reading


@blueprint.get(f"{ITEM}/report")
@needs(Role.VIEWER)
def show_report(project_key: str, environment_key: str, experiment_key: str) -> ResponseReturnValue:
    """Show the report: what happened and why it may be believed, on one printable page."""
    with reading() as session:
        place(session, project_key, environment_key)
        values = _values(session, project_key, environment_key, experiment_key)
    return show("experiments/report.html", style=None, policy=None, **values)


@blueprint.get(f"{ITEM}/report.html")
@needs(Role.VIEWER)
def download_report(
    project_key: str, environment_key: str, experiment_key: str
) -> ResponseReturnValue:
    """Give the report as one file that needs nothing else and runs nothing."""
    with reading() as session:
        values = _values(session, project_key, environment_key, experiment_key)
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = render_template(
        "experiments/report.html",
        style=style,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'",
        **values,
    )
    return attachment(f"{experiment_key}-report.html", page, "text/html; charset=utf-8")


@functools.cache
def _style() -> Markup:
    # Our own file, without a closing tag: nothing in it could end the element that it stands in.
    return Markup((WEB / "static" / "report.css").read_text(encoding="utf-8"))  # noqa: S704


def _values(
    session: Session, project_key: str, environment_key: str, experiment_key: str
) -> dict[str, Any]:
    experiment = services.get_experiment(session, project_key, environment_key, experiment_key)
    found = read_results(session, experiment, now=now())
    card, plan = found.card, found.plan
    series = () if found.hidden else series_of(plan, found.looks)
    return {
        "experiment": experiment,
        "card": card,
        "fared": list(how_each_fared(plan, card.evidence)),
        "word": card.word,
        "worth": [(each, axis_of_worth(each)) for each in card.worth],
        "promises": promise.promise_lines(plan),
        "metrics": [promise.metric_line(metric) for metric in plan.metrics],
        "hypothesis": plan.hypothesis,
        "charts": [(each, small_chart_of(each)) for each in series if each.points],
        "hidden": found.hidden,
        "found": None if found.hidden else explored(plan, found.looks),
        "invalid": card.verdict == Outcome.INVALID,
        "timeline": timeline(found.records),
        "records": found.records,
        "looks": found.looks,
        "alarms": sum(bool(look.data.get("alarm")) for look in found.looks),
        "written": moment(now().replace(microsecond=0)),
        "moment": moment,
        "addresses": {
            name: _address(f"console.{name}", project_key, environment_key, experiment)
            for name in ("show_experiment", "show_report", "download_report", "download_record")
        },
    }


def _address(endpoint: str, project_key: str, environment_key: str, experiment: Experiment) -> str:
    return our_address() + url_for(
        endpoint,
        project_key=project_key,
        environment_key=environment_key,
        experiment_key=experiment.key,
    )
