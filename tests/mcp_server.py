"""An MCP server written with the official SDK, as a program: `stdio`, or `http PORT`. `python tests/mcp_server.py stdio`."""

from __future__ import annotations

import base64
import os
import sys
import time
from pathlib import Path

import mcp.types as types
from mcp.server import MCPServer
from mcp.server.mcpserver import Image

server = MCPServer("docs")


@server.tool()
def find(query: str, limit: int = 3) -> str:
    """Find pages of the documentation."""
    return "\n".join(f"page {n} about {query}" for n in range(1, limit + 1))


@server.tool()
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@server.tool()
def picture() -> list[str | Image]:
    """A picture with its title."""
    return ["a cat", Image(data=base64.b64decode(b"iVBORw0KGgo="), format="png")]


@server.tool()
def fail(why: str) -> str:
    """Fails."""
    raise ValueError(why)


@server.tool()
def long(count: int) -> str:
    """A long text."""
    return "x" * count


@server.tool()
def slow(seconds: float) -> str:
    """Take long."""
    time.sleep(seconds)
    return "at last"


@server.tool()
def variable(name: str) -> str:
    """A variable of the environment."""
    return os.environ.get(name, "not set")


@server.tool()
def die() -> str:
    """End this server in the middle of the call."""
    os._exit(3)


@server.tool()
def pids(file: str) -> str:
    """Write the process id of this server into a file, which a test wants to know."""
    Path(file).write_text(str(os.getpid()))
    return "written"


if __name__ == "__main__":
    assert types.Tool  # the types that the server speaks in
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
