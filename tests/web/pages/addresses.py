"""Every page of the console, and the states that a page can be in, with an address to look at."""

from __future__ import annotations

from tests.web.console.test_pages import HERE, PAGES
from tests.web.pages.shop import LONG

EMPTY = "/projects/empty/environments/production"
# One page looks like another when it is empty, refused, long, killed or decided.
STATES = {
    "no such flag": f"{HERE}/flags/nope",
    "a flag that is killed": f"{HERE}/flags/recommendations",
    "a flag that ramps": f"{HERE}/flags/new-search",
    "a flag with a long name": f"{HERE}/flags/{LONG}",
    "a flag that is archived": f"{HERE}/flags/old-banner",
    "a flag with objects": f"{HERE}/flags/prices",
    "a flag under experiment": f"{HERE}/flags/free-delivery",
    "a search without result": f"{HERE}/flags?filter=zzz",
    "the timeline of a killed flag": f"{HERE}/timeline/recommendations",
    "the timeline of changes that wait": f"{HERE}/timeline/new-search",
    "the timeline of harm": f"{HERE}/timeline/red-banner",
    "an experiment once more": f"{HERE}/new-experiment?like=free-delivery",
    "nothing like it": f"{HERE}/library?words=umbrella",
    "a search that cannot be read": f"{HERE}/flags?filter=state:onn",
    "what needs me": f"{HERE}/flags?filter=needs:me",
    "the audit by a filter": f"{HERE}/audit?filter=action:kill",
    "experiments by a filter": f"{HERE}/experiments?filter=state:running",
    "a ratio to be": f"{HERE}/new-metric?kind=ratio",
    "a funnel to be": f"{HERE}/new-metric?kind=funnel",
    "a number of one kind to be another": f"{HERE}/metrics/revenue-per-visitor/edit?kind=quantile",
    "the sheet of a plan": f"{HERE}/experiments/one-page/plan",
    "the report": f"{HERE}/experiments/one-page/report",
    "the API": "/api/v1/docs",
    **{
        f"an experiment {word}": f"{HERE}/experiments/{key}"
        for word, key in {
            "proven": "free-delivery",
            "with harm": "red-banner",
            "without hope": "shorter-form",
            "confirmed": "guest-checkout",
            "out of time": "calmer-colours",
            "with a broken split": "lost-visitors",
            "that is held": "app-banner",
            "shipped by hand": "trust-badges",
            "stopped by hand": "loud-header",
            "in draft": "gift-cards",
            "sealed": "express-lane",
            "abandoned": "wish-list",
            "that is a release": "gift-wrapping-on",
        }.items()
    },
    **{
        f"no {word} yet": f"{EMPTY}/{word}"
        for word in (
            "today",
            "library",
            "connect",
            "new-experiment",
            "flags",
            "experiments",
            "changes",
            "metrics",
            "sources",
            "requests",
            "ledger",
            "outcomes",
            "keys",
            "audit",
            "layers",
            "policies",
        )
    },
}
# Before anybody has signed in.
ANYBODY = {"sign in": "/login", "nowhere": "/nowhere"}
# What is refused is a page too.
REFUSED = {
    f"{HERE}/flags/nope": 404,
    "/nowhere": 404,
    f"{HERE}/flags?filter=state:onn": 400,
}
__all__ = ["ANYBODY", "EMPTY", "HERE", "PAGES", "REFUSED", "STATES"]
