"""Runs migrations on the connection that :mod:`web.migrate` opened, inside its transaction."""

from __future__ import annotations

from alembic import context

from web.migrate import comparison_options

connection = context.config.attributes["connection"]
if connection is None:
    raise RuntimeError("run migrations with web.migrate, not with the alembic command")

context.configure(connection=connection, **comparison_options())
# Begun and ended by web.migrate, lock included.
context.run_migrations()
