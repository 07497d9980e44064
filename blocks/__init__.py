"""Prefect blocks: typed configuration that builds core values. `prefect block register -m blocks` makes them known."""

from blocks.provider import AureaProvider, stored_provider

__all__ = ["AureaProvider", "stored_provider"]
