"""Conditions of rules: one question a file. Each reads its JSON strictly and answers for one copy; none does I/O."""
