"""The public interface of plugins: tools that an installed package brings, found by an entry point of `aurea.tools`.

```python
class SquareArguments(BaseModel):
    n: int

class Square(PluginTool):
    "Square a number."
    name = "square"
    arguments = SquareArguments

    async def call(self, arguments: SquareArguments, context: Context) -> str:
        return str(arguments.n ** 2)
```

The entry point gives a class of this kind, or a function that returns one tool or a list of them:

```toml
[project.entry-points."aurea.tools"]
squares = "my_package:Square"
```

A spec names it: `plugins: [squares]`. Its code runs in Aurea's own process, with all that this process may do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from aurea.agents.tools.base import NoArguments
from aurea.domain.errors import ToolFailed, ToolRefused
from aurea.domain.spec import WORKERS

GROUP = "aurea.tools"

__all__ = ["GROUP", "Context", "PluginTool", "ToolFailed", "ToolRefused"]


@dataclass(frozen=True)
class Context:
    """Where a call is made: the folder of the workspace (None: there is none), its place in the run, seconds left."""

    folder: Path | None
    run: str
    item: str | None
    attempt: int
    role: str
    remaining_s: float


class PluginTool(ABC):
    """A tool of a plugin, made once for each conversation. The docstring of its class is what models read about it.

    `effect`: what it does: look (read), change files of the workspace (write), run code there (run), change or tell
    something outside (outside). `untrusted`: it answers with text that nobody vouches for, which is fenced. `repeatable`:
    done twice is as done once, so a call that was under way in a crash is made again; None: only what reads is.
    `roles`: who gets it.
    """

    name: ClassVar[str]
    arguments: ClassVar[type[BaseModel]] = NoArguments
    effect: ClassVar[Literal["read", "write", "run", "outside"]] = "outside"
    untrusted: ClassVar[bool] = False
    repeatable: ClassVar[bool | None] = None
    roles: ClassVar[tuple[str, ...]] = WORKERS

    @abstractmethod
    async def call(self, arguments: Any, context: Context) -> str:
        """Do it and say what happened. `ToolRefused` says what is not allowed, `ToolFailed` what went wrong."""
