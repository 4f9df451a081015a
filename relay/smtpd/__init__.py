"""SMTP intake: takes messages from peers and puts them into the spool through the port Intake.

Imports core, settings and log only. It never sees a private key, a store, a policy or a parsed message.
"""
