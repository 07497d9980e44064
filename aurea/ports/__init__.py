"""The seams of the core: what it needs from the outside world, as protocols. Adapters and fakes stand behind them."""

from aurea.ports.agents import AgentEngine, AgentOutcome, Assignment, Desk, Ending, ModelClient, Tool
from aurea.ports.clock import Clock
from aurea.ports.commands import CommandLine, CommandResult, CommandRunner
from aurea.ports.git import Change, Merge, Repository, Snapshot, TreeFile, Workspace
from aurea.ports.ledger import EventStore, Ledger, Row, StoreTransaction
from aurea.ports.quality import Judgement, QualityGate

__all__ = [
    "AgentEngine",
    "AgentOutcome",
    "Assignment",
    "Change",
    "Clock",
    "CommandLine",
    "CommandResult",
    "CommandRunner",
    "Desk",
    "Ending",
    "EventStore",
    "Judgement",
    "Ledger",
    "Merge",
    "ModelClient",
    "QualityGate",
    "Repository",
    "Row",
    "Snapshot",
    "StoreTransaction",
    "Tool",
    "TreeFile",
    "Workspace",
]
