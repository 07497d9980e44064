"""Messages between the runner and the keepers: a header in JSON, then bytes."""

from __future__ import annotations

import json
import socket
import struct

TYPE_CHECKING = False  # as in `typing`, which would take longer to import than all the rest
if TYPE_CHECKING:
    from typing import Any

ACK = struct.Struct(">I")  # the process id of the keeper, which says that it lives
FRAME = struct.Struct(">II")  # bytes of the header, bytes of what follows it
CHUNK = 64 * 1024


def pack(header: dict[str, object], payload: bytes = b"") -> bytes:
    """A message as it goes over a connection."""
    text = json.dumps(header).encode()
    return FRAME.pack(len(text), len(payload)) + text + payload


def left_out(count: int) -> str:
    """The line that stands where the middle of an output is missing."""
    return f"\n... {count} bytes left out ...\n"


def receive(line: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next message of a connection; `EOFError` where it ends before."""
    header, payload = FRAME.unpack(_exactly(line, FRAME.size))
    return json.loads(_exactly(line, header)), _exactly(line, payload)


def _exactly(line: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = line.recv(min(CHUNK, count - len(data)))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)
