from tests.contract.store.databases import clock, database_url, db

__all__ = ["clock", "database_url", "db"]
