"""The command line: one module a noun. Exit codes are those of sysexits.h."""
