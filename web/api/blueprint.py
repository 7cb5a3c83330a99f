"""The blueprint that every route of ``/api/v1`` hangs on, shut by default."""

from pathlib import Path

from flask import Blueprint

from web.api.fields import check_fields, choose_fields
from web.api.limits import add_headers, count_request
from web.auth.guard import guard
from web.body import refuse_undeclared

_TEMPLATES = Path(__file__).resolve().parents[1] / "templates"

blueprint = Blueprint("api", __name__, url_prefix="/api/v1", template_folder=str(_TEMPLATES))
blueprint.before_request(guard)
blueprint.before_request(count_request)
blueprint.before_request(refuse_undeclared)
blueprint.before_request(check_fields)
blueprint.after_request(add_headers)
blueprint.after_request(choose_fields)
