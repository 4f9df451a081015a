"""Alembic migrations of the inside database. A migration is never changed once it was released."""
