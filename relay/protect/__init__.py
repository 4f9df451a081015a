"""Protecting: a message and a decision become a protected message, or an error. Never something in between."""
