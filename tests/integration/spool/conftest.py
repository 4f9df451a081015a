from tests.contract.spool.spool import clock, database_url, db, spool

__all__ = ["clock", "database_url", "db", "spool"]
