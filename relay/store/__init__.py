"""The inside database: SQLite on one node, PostgreSQL for several. Only this room imports sqlalchemy."""
