"""The file tools cannot leave the workspace: by no form of path, through no link, in no race, into nothing of git's."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.beneath import Beneath
from aurea.agents.tools.toolbox import tools_for
from aurea.domain.errors import ToolFailed, ToolRefused
from aurea.ports import Assignment
from aurea.testing.agents import FolderWorkspace
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner

SECRET = "the user's own"
FILE_TOOLS = ("read_file", "write_file", "append_file", "edit_file", "list_directory", "delete_file", "search_codebase")
ARGUMENTS = {"content": "evil", "old": SECRET, "new": "evil", "pattern": "."}


class House:
    """A workspace with everything around it that must stay as it is."""

    def __init__(self, folder: Path) -> None:
        self.outside = folder / "outside"
        (self.outside / "deep").mkdir(parents=True)
        (self.outside / "secret").write_text(SECRET)
        self.twin = folder / "ws-evil"
        self.twin.mkdir()
        (self.twin / "secret").write_text(SECRET)
        self.workspace = FolderWorkspace(folder / "ws")
        self.tree = self.workspace.tree
        (self.tree / "in").mkdir()
        (self.tree / "in" / "file").write_text("inside")
        (self.tree / ".git").mkdir()
        (self.tree / ".git" / "config").write_text("[core]\n")
        assignment = Assignment("i", 1, "coder", "coder", "", "", 900.0, workspace=self.workspace, env={"PATH": "/bin"})
        self.tools: dict[str, AgentTool[Any]] = tools_for(
            "coder", assignment, ScriptedRunner(lambda _: None), SimulatedClock(), lambda: 900.0
        )
        self.before = self.around()

    def around(self) -> dict[str, bytes | None]:
        """Every file outside the tree, and git's inside it."""
        places = (self.outside, self.twin, self.workspace.path, self.tree / ".git")
        found: dict[str, bytes | None] = {}
        for place in places:
            for path in sorted(place.rglob("*")):
                if self.tree not in path.parents or self.tree / ".git" in path.parents:
                    found[str(path)] = path.read_bytes() if path.is_file() else None
        return found

    def call(self, tool: str, path: str) -> str:
        """What the tool says; errors are the caller's. That a file was not read is never the reason of a refusal."""
        with suppress(ToolRefused):
            self.tools["read_file"].remember({"path": path})
        return asyncio.run(self.tools[tool]({**ARGUMENTS, "path": path}))

    def refused(self, path: str) -> None:
        """Every file tool refuses the path, and nothing has changed."""
        for name in FILE_TOOLS:
            with pytest.raises(ToolRefused):
                self.call(name, path)
        assert self.around() == self.before


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    assert made.around() == made.before


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret", "in/../../outside/secret", "./../x", "..", "in/..", "../ws-evil/secret", "in/.. /x", "in/ ../x",
        ".../x", "in/. ./x", "/etc/passwd", "//etc/passwd", "~/x", "~root/x", "..\\outside\\secret", "in\\..\\x", "C:\\x",
        "a\0b", "in/fi\nle", "\x1b[2J", "   ", "\ud800", "x" * 300, "a/" * 2100 + "x",
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(house: House, path: str) -> None:
    house.refused(path)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", ".GIT/config", ".Git", ".git./config", ".git /config", ".git. . /x", "in/.git/hooks/x", "./.git/config",
        ".git\u200c/config", ".g\u200dit/config", "git~1/config", "GIT~1", ".git::$INDEX_ALLOCATION/config",
        "\uff0egit/config", ".git//config",
    ],
)  # fmt: skip
def test_nothing_of_gits_can_be_named(house: House, path: str) -> None:
    house.refused(path)


def test_files_that_only_look_like_gits_are_fine(house: House) -> None:
    for path in (".gitignore", ".gitattributes", ".github/x.yml", "git/config", "a.git", ".gitx"):
        assert "wrote" in house.call("write_file", path)


def test_an_absolute_path_into_the_workspace_is_refused_with_the_relative_one(house: House) -> None:
    with pytest.raises(ToolRefused, match="'in/file'"):
        house.call("read_file", str(house.tree / "in" / "file"))
    with pytest.raises(ToolRefused) as refused:
        house.call("read_file", f"{house.tree}/../x")
    assert "write it relative" not in str(refused.value)


def test_links_are_not_followed_anywhere_on_the_way(house: House) -> None:
    (house.tree / "file-link").symlink_to(house.outside / "secret")
    (house.tree / "folder-link").symlink_to(house.outside)
    (house.tree / "in" / "up").symlink_to("..")
    (house.tree / "dangling").symlink_to(house.outside / "new")
    (house.tree / "inner").symlink_to("in")
    for path in ("file-link", "folder-link/secret", "folder-link/deep/x", "in/up/in/file", "dangling", "inner/file"):
        for name in FILE_TOOLS:
            with pytest.raises(ToolRefused, match="symbolic link"):
                house.call(name, path)
    with pytest.raises(ToolRefused):
        house.call("list_directory", "folder-link")
    assert "file-link  (symbolic link)" in house.call("list_directory", ".")
    assert SECRET not in house.call("list_directory", ".")


def test_special_files_are_refused_and_never_waited_for(house: House) -> None:
    os.mkfifo(house.tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(house.tree / "sock"))
        for path in ("pipe", "sock"):
            for name in ("read_file", "write_file", "append_file", "edit_file", "delete_file"):
                with pytest.raises(ToolRefused, match="not a regular file"):
                    house.call(name, path)
            with pytest.raises(ToolFailed):
                house.call("list_directory", path)


def test_writing_through_a_hard_link_leaves_the_other_name_alone(house: House) -> None:
    os.link(house.outside / "secret", house.tree / "hard")
    house.call("edit_file", "hard")
    assert (house.tree / "hard").read_text() == "evil"
    assert (house.outside / "secret").read_text() == SECRET


def test_git_and_links_are_not_listed_as_more_than_names(house: House) -> None:
    assert house.call("list_directory", "") == "in/"
    assert house.call("list_directory", "in") == "file  6"


NAMES = st.one_of(
    st.sampled_from(
        ["..", ".", "", ".git", ".GIT", "in", "file", "~", "ws-evil", "outside", "secret", "link", "a b", "…"]
    ),
    st.text(max_size=6),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(NAMES, max_size=6), start=st.sampled_from(["", "/", "./", "//", "../"]), joint=st.sampled_from("/\\")
)
def test_no_path_form_reaches_outside(house: House, parts: list[str], start: str, joint: str) -> None:
    if not (house.tree / "link").is_symlink():
        (house.tree / "link").unlink(missing_ok=True)
        (house.tree / "link").symlink_to(house.outside)
    path = start + joint.join(parts)
    for name in ("read_file", "write_file", "delete_file"):
        try:
            assert SECRET not in house.call(name, path)
        except (ToolRefused, ToolFailed):
            pass
    assert house.around() == house.before


SWAPPER = """
import os, sys
target, link_to, spare, folder = sys.argv[1:]
print("ready", flush=True)
while True:
    if folder == "folder":
        os.mkdir(spare + "1")
        with open(spare + "1/secret", "w") as file:
            file.write("harmless")
        os.symlink(link_to, spare + "2")
        os.rename(spare + "1", target)
        os.rename(target, spare + "3")
        os.rename(spare + "2", target)
        for name in os.listdir(spare + "3"):
            os.unlink(spare + "3/" + name)
        os.rmdir(spare + "3")
        os.unlink(target)
    else:
        with open(spare + "1", "w") as file:
            file.write("harmless")
        os.symlink(link_to, spare + "2")
        os.replace(spare + "1", target)
        os.replace(spare + "2", target)
"""


@pytest.mark.parametrize("swapped", ["folder", "file"])
def test_a_link_swapped_in_during_the_call_gains_nothing(house: House, tmp_path: Path, swapped: str) -> None:
    """Another process puts a link in the place of a folder, or of the file itself, and back, as fast as it can."""
    files = Beneath(house.tree, staging=house.workspace.path)
    target, path = (house.tree / "swap", "swap/secret") if swapped == "folder" else (house.tree / "swap", "swap")
    link_to = house.outside if swapped == "folder" else house.outside / "secret"
    spare = tmp_path / "spare"
    spare.mkdir()
    words = [sys.executable, "-c", SWAPPER, str(target), str(link_to), f"{spare}/s", swapped]
    seen: Counter[str] = Counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as swapper:
        try:
            assert swapper.stdout is not None and swapper.stdout.readline()
            began = time.monotonic()
            while (spent := time.monotonic() - began) < 1.2 or (
                spent < 20 and not (seen["harmless"] and seen["refused"])
            ):
                for _ in range(50):
                    seen[attempt(lambda: files.read(path, 1000)[0].decode())] += 1
                if swapped == "file":
                    attempt(lambda: files.write(path, b"harmless"))
                    attempt(lambda: files.delete(path))
                else:
                    seen[attempt(lambda: str(files.entries("swap")))] += 1
        finally:
            swapper.kill()
    assert not any(SECRET in text or "deep" in text for text in seen)
    assert seen["harmless"] and seen["refused"], "the race did not happen"
    assert (house.outside / "secret").read_text() == SECRET
    assert sorted(path.name for path in house.outside.iterdir()) == ["deep", "secret"]


def attempt(act: Callable[[], str | None]) -> str:
    """What it gave, or `refused`, or `failed`."""
    try:
        return act() or ""
    except ToolRefused:
        return "refused"
    except ToolFailed:
        return "failed"
