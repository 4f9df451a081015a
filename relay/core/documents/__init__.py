"""The organisation's documents: what lives in the database with version, author, draft and active.

One module a kind. Each kind is a frozen value with `from_json` (checks everything, names the key and the fix, refuses
unknown keys) and `to_json` (plain JSON that reads back to an equal value). No I/O; secrets are named here, never held.
"""
