"""Prefect flows: thin, no classes, absolute imports, no names of the standard library."""
