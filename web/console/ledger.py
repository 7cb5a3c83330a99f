"""Ledger and outcomes: what experiments have brought, and how well it goes."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from experiments.contract.money import money_text
from experiments.people.outcomes import outcomes
from experiments.value import ledger
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import attachment, before_number, blueprint, place, show
from web.console.waterfall import chart_of_steps, said, totals
from web.transactions import now, reading

PAGE = 50
_PLACE = "/projects/<project_key>/environments/<environment_key>"


@blueprint.app_template_filter("money")
def money_words(amount: int | None, currency: str) -> str:
    """Write cents for people."""
    return "–" if amount is None else money_text(amount, currency)


@blueprint.get(f"{_PLACE}/ledger")
@needs(Role.VIEWER)
def show_ledger(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Show balance, waterfall, and every entry of the project, newest first."""
    before = before_number()
    with reading() as session:
        project_id = place(session, project_key, environment_key).project_id
        rows = ledger.entries(session, project_id, before_number=before, limit=PAGE + 1)
        documents = ledger.documents(session, rows[:PAGE])
        sums = ledger.balances(session, project_id, now=now())
        falls = ledger.waterfalls(session, project_id)
    steps = totals(falls)
    return show(
        "ledger.html",
        entries=list(zip(rows, documents, strict=False)),
        more=rows[PAGE - 1].number if len(rows) > PAGE else None,
        before=before,
        balances=sums,
        charts=[
            (currency, chart_of_steps(*step, currency), said(*step, currency))
            for currency, step in steps.items()
        ],
        falls=falls[-PAGE:][::-1],
    )


@blueprint.get(f"{_PLACE}/ledger.csv")
@needs(Role.VIEWER)
def download_ledger(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Give the whole ledger as a file, oldest entry first."""
    with reading() as session:
        project_id = place(session, project_key, environment_key).project_id
        rows = ledger.entries(session, project_id, limit=None)[::-1]
        text = ledger.as_csv(ledger.documents(session, rows))
    return attachment(f"ledger-{project_key}.csv", text, "text/csv; charset=utf-8")


@blueprint.get(f"{_PLACE}/outcomes")
@needs(Role.VIEWER)
def show_outcomes(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Show every outcome with its definition and its cases."""
    with reading() as session:
        project_id = place(session, project_key, environment_key).project_id
        found = outcomes(session, project_id, now=now())
    return show("outcomes.html", outcomes=found)
