"""A command's output as text: the head and tail that were kept, with what is missing said between them."""

from __future__ import annotations

import codecs

from aurea.adapters.commands.supervisor.wire import left_out


def readable(head: bytes, tail: bytes, total: int) -> str:
    """Head and tail of an output of `total` bytes as one text; bytes that are no UTF-8 become U+FFFD.

    A character that was cut in two at the gap is left out, not shown as broken.
    """
    if len(head) + len(tail) == total:
        return (head + tail).decode(errors="replace")
    first = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    cut = 0
    while cut < min(3, len(tail)) and tail[cut] & 0xC0 == 0x80:  # the rest of a character that began before
        cut += 1
    return first + left_out(total - len(head) - len(tail)) + tail[cut:].decode(errors="replace")
