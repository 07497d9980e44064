"""The append-only, hash-chained record of all runs: append, read, fold, export, verify. Knows no database."""
