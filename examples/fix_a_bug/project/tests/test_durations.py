import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from durations import parse, spell


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), (" 1D ", 86400)])
def test_one_unit(text, seconds):
    assert parse(text) == seconds


def test_several_units():
    assert parse("1h30m") == 5400


@pytest.mark.parametrize("text", ["", "soon", "h"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="no duration"):
        parse(text)


def test_spelling():
    assert spell(5400) == "1h30m"
    assert spell(0) == "0s"
