from tests.contract.mailbox.world import cheap_passwords, clock, database_url, db, world

__all__ = ["cheap_passwords", "clock", "database_url", "db", "world"]
