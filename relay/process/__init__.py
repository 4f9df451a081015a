"""What every process of the inside needs to live: stop signals, readiness, health, the supervisor."""
