"""What a route reads and answers, said once on its view: for the door and the documentation.

::

    @blueprint.post("/projects/<project_key>/changes")
    @needs(Role.EDITOR)
    @idempotent()
    @takes(body=Change, if_match=True)
    @gives(CHANGED, etag=True)
    def change_flags(project_key: str) -> ResponseReturnValue:

``read_query``, ``read_body``, ``read_object`` and the readers of ``If-Match`` refuse to read what
the view has not declared, and ``refuse_undeclared`` refuses what a caller sends and no view reads:
neither can part from the OpenAPI document, which is made from the same declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, cast

from flask import current_app, g, request
from pydantic import BaseModel

_CONTRACT = "flagstone_contract"

ViewT = TypeVar("ViewT", bound=Callable[..., Any])
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Document:
    """A body that its service reads, and not a model at the door: an object, and what it says.

    Parameters
    ----------
    name : str
        Under which name the OpenAPI document describes it.
    says : str
        What it is, in a sentence.
    model : type, optional
        The model by which the service reads it.
    schema : mapping
        What to add to the model's schema, or to ``{"type": "object"}``.
    """

    name: str
    says: str
    model: type[BaseModel] | None = None
    schema: Schema = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """A successful answer.

    Parameters
    ----------
    schema : mapping or None
        Of the JSON body; None where there is no body, or none of JSON.
    statuses : tuple of int
        With which it comes.
    media_type : str
        Of the body.
    etag : bool
        Whether it carries an ETag.
    """

    schema: Schema | None
    statuses: tuple[int, ...]
    media_type: str = "application/json"
    etag: bool = False


@dataclass(frozen=True)
class Contract:
    """What one view reads and answers."""

    query: type[BaseModel] | None = None
    body: type[BaseModel] | Document | None = None
    if_match: bool | Literal["flag"] = False
    answers: tuple[Answer, ...] = ()
    waits: bool = False


class UndeclaredError(RuntimeError):
    """A view reads what it has not declared: a mistake of ours, not of the caller."""


def takes(
    *,
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | Document | None = None,
    if_match: bool | Literal["flag"] = False,
) -> Callable[[ViewT], ViewT]:
    """Declare what a view reads of a request; ``If-Match`` may name a ``flag``'s version too."""
    return _marks(lambda said: replace(said, query=query, body=body, if_match=if_match))


def gives(
    schema: Schema | None,
    *statuses: int,
    media_type: str = "application/json",
    etag: bool = False,
) -> Callable[[ViewT], ViewT]:
    """Declare a successful answer of a view; 200 where no status is named. May be repeated."""
    answer = Answer(schema, statuses or (200,), media_type, etag)
    return _marks(lambda said: replace(said, answers=(*said.answers, answer)))


def waits(view: ViewT) -> ViewT:
    """Declare that a view changes flags: ``Prefer: wait=N`` holds its answer (`web.edge`)."""
    return _marks(lambda said: replace(said, waits=True))(view)


def _marks(change: Callable[[Contract], Contract]) -> Callable[[ViewT], ViewT]:
    def mark(view: ViewT) -> ViewT:
        setattr(view, _CONTRACT, change(contract_of(view)))
        return view

    return mark


def contract_of(view: Callable[..., Any]) -> Contract:
    """Return what a view declares; nothing where it says nothing."""
    return cast("Contract", getattr(view, _CONTRACT, Contract()))


def note_read(part: str, what: object = None) -> None:
    """Refuse to read a ``part`` of the request that the view has not declared.

    Raises
    ------
    UndeclaredError
        The view's :func:`takes` says something else, or is missing.
    """
    if request.endpoint is None or request.blueprint != "api":
        return
    contract = contract_of(current_app.view_functions[request.endpoint])
    said = getattr(contract, part)
    if said is None or said is False or (what is not None and said is not what):
        message = (
            f"{request.endpoint} reads {part} {what or ''} and declares {said}: "
            f"give the view @takes({part}=…) of what it reads"
        )
        raise UndeclaredError(message)
    g.setdefault("parts_read", set()).add(part)


def parts_read() -> frozenset[str]:
    """Return which parts of the present request its view has read."""
    return frozenset(g.get("parts_read", ()))
