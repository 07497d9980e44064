"""Commands written as one text: split like a shell, refused where only a shell could run them."""

from __future__ import annotations

import subprocess

import pytest

from aurea.domain.command_words import as_shell_line, as_words, shell_sign


@pytest.mark.parametrize(
    "words", [["{aurea_python}", "-m", "pytest", "a b"], ["x={aurea_python}'s", ""], ["echo", "$HOME"]]
)
def test_a_command_as_a_shell_line_is_the_same_command(words: list[str]):
    line = as_shell_line(words)
    assert "aurea_python" not in line
    shown = ["bash", "-c", f"for word in {line}; do printf '%s\\0' \"$word\"; done"]
    told = subprocess.run(
        shown, env={"AUREA_PYTHON": "/my env/python"}, capture_output=True, text=True, check=True
    ).stdout
    assert told.split("\0")[:-1] == [word.replace("{aurea_python}", "/my env/python") for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pytest -q", ["pytest", "-q"]),
        ("  pytest -q\n", ["pytest", "-q"]),
        ("pytest -k 'a and b'", ["pytest", "-k", "a and b"]),
        ("grep '|' file", ["grep", "|", "file"]),
        ('grep "a*b;c" file', ["grep", "a*b;c", "file"]),
        ("grep '$HOME' x", ["grep", "$HOME", "x"]),
        (r"grep \$HOME \* x", ["grep", "$HOME", "*", "x"]),
        ("pip install -e .[dev]", ["pip", "install", "-e", ".[dev]"]),
        ("{aurea_python} -m pytest", ["{aurea_python}", "-m", "pytest"]),
        ("make X=1 all", ["make", "X=1", "all"]),
        ("bash -c 'a && b > c'", ["bash", "-c", "a && b > c"]),
        ("git diff HEAD~1", ["git", "diff", "HEAD~1"]),
    ],
)
def test_a_text_is_split(text: str, words: list[str]) -> None:
    assert as_words(text) == words


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("a && b", "`&&`"),
        ("a || b", "`||`"),
        ("a | b", "`|`"),
        ("a; b", "`;`"),
        ("a &", "`&`"),
        ("a > b", "`>`"),
        ("a 2>&1", "`>`"),
        ("a < b", "`<`"),
        ("echo $HOME", "`$`"),
        ('echo "$HOME"', "`$`"),
        ("echo `date`", "a backquote"),
        ('echo "`date`"', "a backquote"),
        ("ls *.py", "the glob `*`"),
        ("ls a?", "the glob `?`"),
        ("(a)", "`(`"),
        ("a\nb", "a second line"),
        ("~/bin/x", "`~`"),
    ],
)
def test_what_needs_a_shell_is_refused_with_the_way_to_get_one(text: str, sign: str) -> None:
    assert shell_sign(text) == sign
    with pytest.raises(ValueError, match="bash, -c") as refused:
        as_words(text)
    assert str(refused.value).startswith(f"{sign} needs a shell")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "an empty command"),
        ("  ", "an empty command"),
        ("a 'b", "not a command"),
        ("X=1 make", "a variable in front of a command"),
        ([" ", "x"], "the program is empty"),
        (["-m", "venv"], "is an option, not a program"),
    ],
)
def test_what_is_no_command(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        as_words(value)


def test_a_list_is_taken_as_it_is() -> None:
    assert as_words(["bash", "-c", "a && b"]) == ["bash", "-c", "a && b"]
    assert as_words(5) == 5
