"""Alembic's entry: runs the migrations on the connection that relay.store.migrate hands over.

There is no alembic.ini and no offline mode: migrations run by code only, under the writer's lock.
"""

from __future__ import annotations

from alembic import context

from relay.store.models import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
