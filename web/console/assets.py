"""Static files: read once, compressed once, and kept by browsers for ever under their version."""

from __future__ import annotations

import functools
import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from flask import Response, abort, request, url_for
from flask.typing import ResponseReturnValue

from web.auth.guard import public
from web.console.base import WEB, blueprint

_STATIC = WEB / "static"
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _Asset:
    content: bytes
    compressed: bytes
    kind: str
    version: str


@functools.cache
def _names() -> dict[str, Path]:
    # Only what is in this table is ever opened: no name that a visitor sends becomes a path.
    return {
        path.relative_to(_STATIC).as_posix(): path
        for path in sorted(_STATIC.rglob("*"))
        if path.is_file()
    }


@functools.cache
def _asset(name: str) -> _Asset:
    content = _names()[name].read_bytes()
    return _Asset(
        content,
        gzip.compress(content, 9, mtime=0),
        mimetypes.guess_type(name)[0] or "application/octet-stream",
        hashlib.sha256(content).hexdigest()[:12],
    )


@blueprint.get("/static/<path:name>")
@public
def static(name: str) -> ResponseReturnValue:
    """Serve a file of ours; with its version in the address it never changes."""
    if name not in _names():
        abort(404)
    asset = _asset(name)
    if request.accept_encodings["gzip"] > 0:
        response = Response(asset.compressed, content_type=asset.kind)
        response.headers["Content-Encoding"] = "gzip"
        response.set_etag(f"{asset.version}-gzip")
    else:
        response = Response(asset.content, content_type=asset.kind)
        response.set_etag(asset.version)
    response.headers["Vary"] = "Accept-Encoding"
    fixed = request.args.get("v") == asset.version
    response.headers["Cache-Control"] = _FOR_EVER if fixed else "no-cache"
    return response.make_conditional(request)


@blueprint.app_template_global("asset_url")
def asset_url(name: str) -> str:
    """Address of a static file with its version, so that browsers may keep it for ever."""
    return url_for("console.static", name=name, v=_asset(name).version)
