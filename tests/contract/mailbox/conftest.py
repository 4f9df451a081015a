from tests.contract.mailbox.world import clock, database_url, db, world

__all__ = ["clock", "database_url", "db", "world"]
