"""Output of commands: what is kept, what is left out, and how the two ends become one text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.adapters.commands.output import readable
from aurea.adapters.commands.supervisor import output as module
from aurea.adapters.commands.supervisor.output import Output


def test_a_short_output_is_whole() -> None:
    output = Output(None)
    output.take(b"abc")
    output.take(b"def")
    assert (output.total, output.ends(10)) == (6, (b"abcdef", b""))


@given(st.lists(st.binary(max_size=30), max_size=30), st.integers(1, 8))
def test_the_ends_are_those_of_everything_printed(chunks: list[bytes], half: int) -> None:
    everything = b"".join(chunks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LOG_HALF", 8)
        output = Output(None)
        for chunk in chunks:
            output.take(chunk)
    head, tail = output.ends(half)
    assert output.total == len(everything)
    if len(everything) <= 2 * half:
        assert head + tail == everything
    else:
        assert (head, tail) == (everything[:half], everything[-half:])


def test_the_log_has_both_ends_and_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_HALF", 4)
    output = Output(str(tmp_path / "a" / "log"))
    for chunk in (b"0123", b"45", b"6789", b"abcdefgh"):
        output.take(chunk)
    assert (tmp_path / "a" / "log").read_text() == "0123"  # the head is there while the command runs
    output.close("ended: no output for 5 s")
    assert (tmp_path / "a" / "log").read_text() == (
        "0123\n... 10 bytes left out ...\nefgh\n[ended: no output for 5 s]\n"
    )


def test_a_log_that_cannot_be_written_does_not_stop_the_command() -> None:
    output = Output("/dev/full")
    output.take(b"abc")
    output.close("")
    assert output.fault == "its log is incomplete: No space left on device"
    assert output.ends(10) == (b"abc", b"")


def test_text_is_whole_where_nothing_is_missing() -> None:
    assert readable("grü".encode()[:3], "grü".encode()[3:], 4) == "grü"


def test_characters_cut_at_the_gap_are_left_out() -> None:
    euro = "€".encode()
    assert readable(b"a" + euro[:2], euro[1:] + b"b", 100) == "a\n... 94 bytes left out ...\nb"


def test_broken_bytes_show_as_such() -> None:
    assert readable(b"a\xff", b"", 2) == "a\ufffd"
    assert readable(b"a\xff.", b"\xff\xfe", 100).startswith("a\ufffd.\n... ")
