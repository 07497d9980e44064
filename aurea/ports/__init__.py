"""The seams of the core: what it needs from the outside world, as protocols. Adapters and fakes stand behind them."""

from aurea.ports.agents import AgentEngine, AgentOutcome, Assignment, Desk, Ending, ModelClient, Tool
from aurea.ports.clock import Clock
from aurea.ports.commands import CommandLine, CommandResult, CommandRunner
from aurea.ports.git import Change, Merge, Repository, Snapshot, TreeFile, Workspace
from aurea.ports.ledger import EventStore, Ledger, Row, StoreTransaction
from aurea.ports.quality import Judgement, QualityGate
from aurea.ports.source import Code, CodeReader, Definition, SourceFile
from aurea.ports.web import Hit, WebSearch

__all__ = [
    "AgentEngine",
    "AgentOutcome",
    "Assignment",
    "Change",
    "Clock",
    "Code",
    "CodeReader",
    "CommandLine",
    "CommandResult",
    "CommandRunner",
    "Definition",
    "Desk",
    "Ending",
    "EventStore",
    "Hit",
    "Judgement",
    "Ledger",
    "Merge",
    "ModelClient",
    "QualityGate",
    "Repository",
    "Row",
    "Snapshot",
    "SourceFile",
    "StoreTransaction",
    "Tool",
    "TreeFile",
    "WebSearch",
    "Workspace",
]
