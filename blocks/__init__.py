"""Prefect blocks: typed configuration that builds core values. `prefect block register -m blocks` makes them known."""

from blocks.ledger import AureaLedger
from blocks.notification import AureaNotification
from blocks.policy import AureaPolicy
from blocks.provider import AureaProvider
from blocks.workspace import AureaWorkspace

__all__ = ["AureaLedger", "AureaNotification", "AureaPolicy", "AureaProvider", "AureaWorkspace"]
