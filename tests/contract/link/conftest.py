from tests.contract.link.world import cheap_passwords, clock, database_url, db, linked

__all__ = ["cheap_passwords", "clock", "database_url", "db", "linked"]
