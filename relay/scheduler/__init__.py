"""The scheduler: everything timed, from the database, one at a time in a cluster."""
