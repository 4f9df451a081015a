"""Vocabulary without I/O: what every room of the inside talks in. Imports nothing of ours above itself."""
