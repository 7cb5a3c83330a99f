"""Layers: experiments of one layer share its units exclusively."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field

from experiments.moves import layers
from experiments.moves.layers import Layer
from flags import services
from flags.ranges import BUCKETS
from web.api.blueprint import blueprint
from web.api.render import WholeQuery, document, etag_of, upon_expected
from web.api.shapes import LAYER, list_of
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.transactions import reading, transaction

_LIST = "/projects/<project_key>/environments/<environment_key>/layers"
_ITEM = f"{_LIST}/<layer_key>"


class LayerBody(Body):
    """What the layer is for."""

    description: Annotated[str, Field(max_length=layers.MAX_DESCRIPTION)] = ""


@blueprint.get(_LIST)
@needs(Role.VIEWER)
@takes(query=WholeQuery)
@gives(list_of(LAYER))
def list_layers(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List an environment's layers: who has which share, and what is free."""
    query = read_query(WholeQuery)
    with reading() as session:
        environment = services.get_environment(session, project_key, environment_key)
        items = [_show(layer) for layer in layers.list_layers(session, environment)]
    return document(query.page(items))


@blueprint.get(_ITEM)
@needs(Role.VIEWER)
@gives(LAYER, etag=True)
def get_layer(project_key: str, environment_key: str, layer_key: str) -> ResponseReturnValue:
    """Return a layer; its ETag begins with its version."""
    read_query(Query)
    with reading() as session:
        environment = services.get_environment(session, project_key, environment_key)
        return _answer(layers.get_layer(session, environment, layer_key))


@blueprint.put(_ITEM)
@needs(Role.EDITOR)
@takes(body=LayerBody, if_match=True)
@gives(LAYER, 200, 201, etag=True)
def put_layer(project_key: str, environment_key: str, layer_key: str) -> ResponseReturnValue:
    """Make a layer, or describe it anew."""
    body = read_body(LayerBody)
    with transaction() as session:
        layer, is_new = layers.put_layer(
            session,
            project_key,
            environment_key,
            layer_key,
            description=body.description,
            **upon_expected(),
        )
    return _answer(layer, status=201 if is_new else 200)


@blueprint.delete(_ITEM)
@needs(Role.EDITOR)
@takes(if_match=True)
@gives(None, 204)
def delete_layer(project_key: str, environment_key: str, layer_key: str) -> ResponseReturnValue:
    """Forget a layer that no sealed experiment needs."""
    with transaction() as session:
        layers.delete_layer(session, project_key, environment_key, layer_key, **upon_expected())
    return Response(status=204)


def _answer(layer: Layer, *, status: int = 200) -> Response:
    shown = _show(layer)
    return document(shown, status=status, etag=etag_of(layer.version, shown))


def _show(layer: Layer) -> dict[str, Any]:
    return {
        "key": layer.key,
        "description": layer.description,
        "version": layer.version,
        "salt": layer.salt,
        "buckets": BUCKETS,
        "free_share": layer.free_share,
        "free": [list(each) for each in layer.free],
        "experiments": [
            {
                "key": each.experiment,
                "flag": each.flag,
                "state": each.state,
                "share": each.share,
                "ranges": [list(pair) for pair in each.lane.ranges],
            }
            for each in layer.holders
        ],
        "waiting": list(layer.waiting),
    }
