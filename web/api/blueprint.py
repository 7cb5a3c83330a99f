"""The blueprint that every route of ``/api/v1`` hangs on, shut by default."""

from flask import Blueprint

from web.auth.guard import guard

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
blueprint.before_request(guard)
