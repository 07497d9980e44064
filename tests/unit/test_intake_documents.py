"""Reading YAML and JSON: values, places, bounds, and that nothing but `SpecFaults` ever comes out of bad text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurea.intake.compose import MAX_ALIASES, MAX_DEPTH, MAX_VALUES
from aurea.intake.documents import MAX_BYTES, Document, parse, parse_value
from aurea.intake.faults import Place, SpecFaults


def faults_of(content: str | bytes) -> list[str]:
    """Everything that is said about `content`."""
    try:
        return [str(fault) for fault in parse(content, "s.yaml").faults]
    except SpecFaults as wrong:
        return [str(fault) for fault in wrong.faults]


def test_values_follow_yaml_1_2() -> None:
    document = parse(
        "a: no\nb: 22:30\nc: 1.5\nd: ~\ne: True\nf: -3\ng: 2024-01-01\nh: 1_000\ni: .5e3\nj: !!str 5\n", "s"
    )
    assert document.data == {
        "a": "no",
        "b": "22:30",
        "c": 1.5,
        "d": None,
        "e": True,
        "f": -3,
        "g": "2024-01-01",
        "h": "1_000",
        "i": 500.0,
        "j": "5",
    }
    assert document.faults == ()


def test_every_value_and_key_has_its_place() -> None:
    document = parse("a: 1\nb:\n  - x\n  - {c: 2}\n", "s.yaml")
    assert document.places.of(("a",)) == Place("s.yaml", 1, 4)
    assert document.places.of(("a",), key=True) == Place("s.yaml", 1, 1)
    assert document.places.of(("b", 1, "c")) == Place("s.yaml", 4, 9)
    assert document.places.of(("b", 1, "c"), key=True) == Place("s.yaml", 4, 6)
    assert document.places.of(("b", 1, "missing")) == Place("s.yaml", 4, 5)


def test_an_alias_stands_for_a_copy_with_places_of_its_own() -> None:
    document = parse("a: &x {p: [1]}\nb: *x\n", "s.yaml")
    assert document.data == {"a": {"p": [1]}, "b": {"p": [1]}}
    assert document.data["a"]["p"] is not document.data["b"]["p"]
    assert document.places.of(("b",)) == Place("s.yaml", 2, 4)
    assert document.places.of(("b", "p", 0)) == Place("s.yaml", 1, 12)


def test_json_is_read_with_its_tabs_and_its_pairs_of_escapes() -> None:
    document = parse('{\n\t"a": "\\ud83d\\ude00",\n\t"b": [true, null]\n}\n', "s.json")
    assert document.data == {"a": "\U0001f600", "b": [True, None]}
    assert document.places.of(("b",), key=True) == Place("s.json", 3, 2)


@pytest.mark.parametrize("text", ["\ufeffa: 1", "a: 1\r\n", "---\na: 1\n...\n", "%YAML 1.2\n---\na: 1", "{a: 1}"])
def test_harmless_ways_to_write_a_mapping(text: str) -> None:
    assert parse(text.encode(), "s").data == {"a": 1}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- a\n- b", "s.yaml:1:1: $: a spec is a mapping of keys to values, this is a list"),
        ("hello", "s.yaml:1:1: $: a spec is a mapping of keys to values, this is text"),
        ("", "s.yaml:1:1: $: a spec is a mapping of keys to values, this is empty"),
        ("# only words\n", "s.yaml:1:1: $: a spec is a mapping of keys to values, this is empty"),
        ("a: 1\n---\nb: 2", "s.yaml:2:1: $: a second document begins; a spec is one document"),
        ("a: 1\nb: 2\na: 3\n", "s.yaml:3:1: a: the key 'a' stands here twice (first in line 1)"),
        ("a:\n\tb: 1", "s.yaml:2:1: a: a tab may not stand here; indent with spaces"),
        (b"a: 1\nb: x\xff", "s.yaml:2:5: $: byte 9 (0xff) is not UTF-8; save the file as UTF-8"),
        ("a: 1\x00", "s.yaml:1:5: $: the control character U+0000 may not stand here"),
        ("a: *b", "s.yaml:1:4: a: the alias *b stands for nothing that was written before it"),
        ("a: &a [*a]", "s.yaml:1:8: a.0: the alias *a stands for nothing that was written before it"),
        ("a: b: c", "s.yaml:1:5: a: no key may stand here: check the indentation, or quote a text that holds `: `"),
        ("a: 1\nb: 'it", "s.yaml:2:4: b: a quote is opened here and never closed"),
        ("a: [1\nb: 2", "s.yaml:1:4: a.0: a bracket is opened here; it is not closed, or a `,` is missing between"),
        ("a: @x", "s.yaml:1:4: a: a text may not begin with this character; quote it"),
        ("a:\n  - b\n c: 1", "s.yaml:3:2: a: this does not fit what stands above: check the indentation and"),
        ('a: "\\UFFFFFFFF"', "s.yaml:1:5: a: no character is called `\\UFFFFFFFF`"),
        ("a: !!python/object x", "s.yaml:1:4: a: the tag 'tag:yaml.org,2002:python/object' is not known here"),
        ("a: !foo {b: 1}", "s.yaml:1:4: a: the tag '!foo' is not known here; take it away"),
        ("a: !!int x", "s.yaml:1:4: a: 'x' does not fit its tag 'tag:yaml.org,2002:int'"),
        ("%YAML 1.1\n---\na: yes", "s.yaml:2:1: $: specs are read as YAML 1.2; take the %YAML line away"),
        ("b: &b {c: 1}\na:\n  <<: *b", "s.yaml:3:3: a: merge keys (`<<`) are not part of YAML 1.2; write the keys out"),
        ("1: a", 's.yaml:1:1: $: a key must be text; write it in quotes: "1"'),
        ("a: {{ x }}", "s.yaml:1:5: a: a key must be text; `{`, `[` and `*` begin something else unless"),
        ("a: 012", "s.yaml:1:4: a: `012` can be read in two ways; write a decimal number, or quote it"),
        ("a: .inf", "s.yaml:1:4: a: `.inf` is no finite number; if it is meant as text, quote it"),
        ('a: "\\ud83d"', "s.yaml:1:4: a: half a character: an escape \\ud800 to \\udfff stands alone"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(content: str | bytes, told: str) -> None:
    (fault,) = faults_of(content)
    assert fault.startswith(told)


def test_what_does_not_stop_the_reader_is_told_together() -> None:
    told = faults_of("a: 012\na: 1\nb: !foo x\n? c\n: {d: 1, d: 2}\n")
    assert [fault.split(": ")[0] for fault in told] == ["s.yaml:1:4", "s.yaml:2:1", "s.yaml:3:4", "s.yaml:5:10"]


def aliases(levels: int, width: int) -> str:
    """A document that doubles itself level by level."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: '" + "x" * MAX_BYTES + "'", "larger than"),
        (b"a: " + b"x" * 20_000_000, "larger than"),
        ("a: " + "[" * 400_000, f"deeper than {MAX_DEPTH}"),
        ("a:\n" + "- " * 300_000, f"deeper than {MAX_DEPTH}"),
        ("{a: " * 200_000, f"deeper than {MAX_DEPTH}"),
        (aliases(9, 10), f"more than {MAX_VALUES} values"),
        ("a: &a x\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]", f"more than {MAX_ALIASES} aliases"),
        ("a0: &a0 x\n" + "\n".join(f"a{i}: &a{i} [[*a{i - 1}]]" for i in range(1, 50)), f"deeper than {MAX_DEPTH}"),
        ("a: [" + "x," * (MAX_VALUES + 1) + "]", f"more than {MAX_VALUES} values"),
    ],
)
def test_bombs_are_refused_quickly(content: str | bytes, reason: str) -> None:
    began = time.process_time()
    (fault,) = faults_of(content)
    assert reason in fault
    assert len(fault) < 300
    assert time.process_time() - began < 5


def test_a_flags_value_has_no_line() -> None:
    assert parse_value("[1, two]", "--set x") == [1, "two"]
    assert parse_value("", "--set x") is None
    with pytest.raises(SpecFaults, match=r"^--set x: 0: a bracket"):
        parse_value("[1", "--set x")


def read(content: str | bytes) -> Document | None:
    """`parse`, with what it may raise taken away."""
    try:
        return parse(content, "s")
    except SpecFaults as wrong:
        assert wrong.faults
        assert wrong.exit_code == 2
        return None


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.binary(), st.text(alphabet="ab:-[]{}&*!|>'\"%@#?,~< \n\t01", max_size=60)))
def test_random_text_gives_values_or_faults(content: str | bytes) -> None:
    read(content)


KEY = st.text(max_size=80)  # YAML allows a key 1024 characters, and an escape of one takes up to twelve
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEY, PLAIN, max_size=4), st.booleans())
def test_json_comes_back_as_it_was(data: dict[str, object], escaped: bool) -> None:
    import json

    document = read(json.dumps(data, ensure_ascii=True if escaped else _controls(data)))
    assert document is not None
    assert document.data == data


def _controls(data: object) -> bool:
    """Whether a text in `data` holds what only an escape can say."""
    return any(not char.isprintable() for char in repr(data) if char != "\n") or "\\" in repr(data)
