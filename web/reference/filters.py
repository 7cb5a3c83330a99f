"""``filters.md``: what every list can be asked for, as its vocabulary says."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.people.finding import EXPERIMENT_FIELDS
from flags.audit_search import AUDIT_FIELDS
from flags.filters import Vocabulary
from flags.finding import FLAG_FIELDS
from flags.request_search import REQUEST_FIELDS
from web import lists
from web.reference.markdown import code, page, table

LISTS: Mapping[str, Vocabulary] = {
    "Flags": FLAG_FIELDS,
    "Experiments and releases": EXPERIMENT_FIELDS,
    "Changes that wait": REQUEST_FIELDS,
    "Audit": AUDIT_FIELDS,
    "Segments": lists.SEGMENTS.fields,
    "Environments": lists.ENVIRONMENTS.fields,
    "Keys": lists.TOKENS.fields,
    "Members of a project": lists.MEMBERS.fields,
    "People": lists.PEOPLE.fields,
    "Webhooks": lists.WEBHOOKS.fields,
    "Kill hooks": lists.KILL_HOOKS.fields,
}
_SAYS = {"text": "a text; `*` stands for anything", "time": "a time"}
_GRAMMAR = """One language for `?filter=`, `--filter` and the console's search boxes: terms side by
side all hold. `field:value`, or words alone that a text contains; `a,b` either; `-` before a term:
not; quotes keep spaces, commas and colons. A time is an age (`<1d`: less than a day ago; `>2w`; of
`m` `h` `d` `w`), a day (`>=2026-01-31`) or `today`. What cannot be read is refused with the
character and with what would do."""


def filters_page() -> str:
    """Write the page."""
    head = ["field", "is", "says"]
    parts = []
    for title, fields in LISTS.items():
        rows = [
            [code(name), field.means, " ".join(code(value) for value in field.values)]
            if field.values
            else [code(name), field.means, _SAYS[field.kind]]
            for name, field in fields.items()
        ]
        parts.append(f"## {title}\n\n{table(head, rows)}")
    return page("Filters", "the vocabularies of the lists", _GRAMMAR, *parts)
