"""How the pages write times, values and sentences."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup, escape

from flags.models import Prediction
from flags.predictions import prediction_sentence
from flags.services import FlagInEnvironment
from flags.words import moment, to_the_minute
from web.console.base import blueprint
from web.transactions import now

_DAY_SECONDS = 86400
_THOUSANDS = re.compile(r"\b\d{1,3}(?:,\d{3})+\.\d\d(?= [A-Z]{3}\b)")
_MOMENT = re.compile(r"\b\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d(?::\d\d)? UTC\b")
_OUR_WORDS = ("everyone ", "the flag ", "users ", "if ")


@blueprint.app_template_filter("ago")
def ago(when: dt.datetime | None) -> Markup:
    """Write a time as people say it, with the exact one a hover away."""
    if when is None:
        return Markup("–")
    exact = when.astimezone(dt.UTC)
    seconds = (now() - exact).total_seconds()
    if -1 < seconds < 1:
        words = "just now"
    elif seconds < 0:
        words = f"in {_span(-seconds)}"
    else:
        words = f"{_span(seconds)} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(timespec="seconds"), moment(exact.replace(microsecond=0)), words
    )


def _span(seconds: float) -> str:
    for unit, size in (("day", _DAY_SECONDS), ("h", 3600), ("min", 60)):
        if seconds >= size:
            count = int(seconds // size)
            plural = "s" if unit == "day" and count != 1 else ""
            return f"{count} {unit}{plural}"
    return f"{int(seconds)} s"


@blueprint.app_template_filter("instant")
def instant(given: dt.datetime | str) -> Markup:
    """Write an instant as people say it: when it matters which one it is, and not how long ago."""
    at = dt.datetime.fromisoformat(given) if isinstance(given, str) else given
    exact = at.astimezone(dt.UTC).replace(microsecond=0)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(), moment(exact), to_the_minute(exact)
    )


@blueprint.app_template_filter("timed")
def timed(sentence: str) -> Markup:
    """Let machines read the instants that stand in a sentence."""
    escaped = str(escape(sentence))
    return Markup(_MOMENT.sub(_as_time, escaped))  # noqa: S704  escaped before


def _as_time(found: re.Match[str]) -> str:
    day, clock = found[0].removesuffix(" UTC").split(", ")
    form = "%d %B %Y %H:%M:%S" if clock.count(":") > 1 else "%d %B %Y %H:%M"
    try:
        at = dt.datetime.strptime(f"{day} {clock}", form).replace(tzinfo=dt.UTC)
    except ValueError:
        # What somebody typed may only look like an instant.
        return found[0]
    return f'<time datetime="{at.isoformat()}">{found[0]}</time>'


@blueprint.app_template_filter("who")
def who(actor: str) -> Markup:
    """Write who did something: a person by name, a key or a machine as what it is."""
    kind, _, name = actor.partition(":")
    said = {"user": name, "token": f"{name} (key)", "system": f"{name} (machine)"}
    return address(said.get(kind, actor))


@blueprint.app_template_filter("address")
def address(name: str) -> Markup:
    """Let a mail address break before its ``@``, and not within a name."""
    # Markup escapes what it joins.
    return Markup("<wbr>@").join(name.split("@"))


@blueprint.app_template_filter("middle")
def middle(text: str, most: int = 70) -> str:
    """Shorten a long name in its middle: names that begin alike mostly differ at their end."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[-tail:]}"


@blueprint.app_template_filter("whole")
def whole(text: str) -> str:
    """Leave the cents of thousands away: an estimate of millions is not known to the cent."""
    return _THOUSANDS.sub(lambda found: f"{round(float(found[0].replace(',', ''))):,}", text)


@blueprint.app_template_filter("value")
def value_words(value: Any) -> str:
    """Write a flag's value as JSON."""
    return json.dumps(value, ensure_ascii=False)


@blueprint.app_template_filter("pretty")
def pretty(value: Any) -> str:
    """Write a document as JSON over many lines."""
    return json.dumps(value, ensure_ascii=False, indent=2)


@blueprint.app_template_filter("prediction")
def prediction(found: Prediction) -> str:
    """Say whom a revision was said to move, and whom it did."""
    return prediction_sentence(found)


@blueprint.app_template_filter("query")
def query_string(values: dict[str, Any]) -> str:
    """Write the query part of an address."""
    return urlencode({name: value for name, value in values.items() if value})


@blueprint.app_template_filter("short_sentence")
def short_sentence(flag: FlagInEnvironment) -> str:
    """Write what a flag does where the page says already in which environment."""
    words = flag.sentence.removeprefix(f"In {flag.environment}, ")
    # Names stay as their owners wrote them; only our own first word gets its capital.
    return words[0].upper() + words[1:] if words.startswith(_OUR_WORDS) else words
