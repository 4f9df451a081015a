"""The durable queue: intake, content, claims, steps, recovery, and what a person may do with waiting mail."""
