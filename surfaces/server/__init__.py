"""The local Prefect server of a home: found, started, kept and stopped."""
