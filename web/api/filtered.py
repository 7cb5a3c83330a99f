"""Lists that are read whole, by a filter: ``?filter=`` beside the page."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, create_model

from flags.filter_items import Listed
from flags.filters import MAX_FILTER_LENGTH, Vocabulary, parse_filter
from web.api.render import WholeQuery
from web.transactions import now


class FilteredQuery(WholeQuery):
    """Which entries, by the filter language, and which page of them."""

    by: ClassVar[Listed]
    filter: Annotated[str, Field(max_length=MAX_FILTER_LENGTH)] = ""

    def page(self, items: list[dict[str, Any]], key: str | None = "key") -> dict[str, Any]:
        """Cut this page out of those entries that the filter describes.

        Raises
        ------
        InvalidInputError
            With the place of the fault in the filter.
        """
        asked = parse_filter(self.filter, self.by.fields, now=now())
        return super().page(self.by.narrowed(items, asked), key)


def filtered_by(listed: Listed) -> type[FilteredQuery]:
    """Make the query of a list, which says for what it can be asked."""
    said = Field(max_length=MAX_FILTER_LENGTH, description=describe(listed.fields))
    query = create_model("FilteredQuery", __base__=FilteredQuery, filter=(Annotated[str, said], ""))
    query.by = listed
    return query


def describe(fields: Vocabulary) -> str:
    """Say for what a list can be asked."""
    told = (
        f"{name} ({', '.join(field.values)})" if field.values else name
        for name, field in fields.items()
    )
    return f"In the filter language; fields: {', '.join(told)}."
