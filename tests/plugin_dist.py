"""An installed package with entry points of `aurea.tools`, as a folder for `sys.path`."""

from __future__ import annotations

from pathlib import Path

SQUARES = """
from pathlib import Path
from pydantic import BaseModel
from aurea.agents.tools.plugin import Context, PluginTool, ToolFailed

class SquareArguments(BaseModel):
    n: int

class Square(PluginTool):
    "Square a number, and count the files of the workspace."
    name = "square"
    arguments = SquareArguments
    effect = "read"

    async def call(self, arguments: SquareArguments, context: Context) -> str:
        if arguments.n < 0:
            raise ValueError("too small")
        return f"{arguments.n ** 2}, {len(list(context.folder.iterdir()))} files, for {context.role} of {context.item}"

class Mail(PluginTool):
    "Send a mail."
    name = "mail"
    effect = "outside"
    untrusted = True
    roles = ("coder",)

    async def call(self, arguments, context) -> str:
        return "sent"

class Pages(Square):
    "Pages of others."
    name = "pages"
    untrusted = True

    async def call(self, arguments: SquareArguments, context: Context) -> str:
        if arguments.n < 0:
            raise TimeoutError("the other side is slow")
        return "x" * arguments.n

def both():
    return [Square(), Mail()]

class Shell(Square):
    name = "run_shell"

class Blocking(Square):
    name = "blocking"
    def call(self, arguments, context):
        return "x"

def nothing():
    return 7

def raises():
    raise RuntimeError("no licence")
"""


def install(folder: Path, **points: str) -> Path:
    """A folder with the package `squares-kit`, whose entry points are these; by default `squares`, which is sound."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "squares_kit.py").write_text(SQUARES)
    info = folder / "squares_kit-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: squares-kit\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in (points or {"squares": "squares_kit:Square"}).items()]
    (info / "entry_points.txt").write_text("\n".join(["[aurea.tools]", *lines, ""]))
    (info / "RECORD").write_text("")
    return folder
