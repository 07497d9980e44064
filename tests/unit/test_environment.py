"""The environment of commands: what gets in, what stays out, and editable installs that would test the wrong files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from aurea.adapters.commands.environment import build_environment, find_editable_install, search_path, substitute


@dataclass
class Place:
    """As much of a workspace as an environment needs."""

    tree: Path
    home: Path
    tmp: Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "w" / "tree", tmp_path / "w" / "home", tmp_path / "w" / "tmp")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The virtual environment that Aurea runs in."""
    prefix = tmp_path / "own"
    (prefix / "bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    return prefix


def python_in(prefix: Path, *, config: str | None = "version = 3.12.1\n") -> Path:
    """An interpreter that looks like one in a virtual environment; its site-packages."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (prefix / "bin" / "python").chmod(0o755)
    if config is not None:
        (prefix / "pyvenv.cfg").write_text(config)
    site = prefix / "lib" / "python3.12" / "site-packages"
    site.mkdir(parents=True)
    return site


# --- what a command gets ----------------------------------------------------------------------------------------


def test_it_is_built_from_nothing(place: Place) -> None:
    caller = {"PATH": "/usr/bin", "HOME": "/home/me", "OPENAI_API_KEY": "secret", "PYTHONPATH": "/x", "LC_ALL": "de"}
    built = build_environment(place, caller)  # type: ignore[arg-type]
    assert set(built) == {
        "PATH", "HOME", "TMPDIR", "LANG", "TZ", "CI",
        "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
        "GIT_TERMINAL_PROMPT", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES",
        "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL",
    }  # fmt: skip
    assert built["HOME"] == str(place.home) and built["TMPDIR"] == str(place.tmp)
    assert built["GIT_CEILING_DIRECTORIES"] == str(place.tree.parent)
    assert (built["LANG"], built["TZ"], built["CI"]) == ("C.UTF-8", "UTC", "1")
    assert not any("secret" in value or "/home/me" in value for value in built.values())


def test_names_let_through_and_given_values_win_in_this_order(place: Place) -> None:
    caller = {"PATH": "/usr/bin", "TZ": "Asia/Tokyo", "TOKEN": "caller's", "KEPT": "out"}
    passed = build_environment(place, caller, pass_env=["TZ", "TOKEN", "ABSENT"])  # type: ignore[arg-type]
    assert (passed["TZ"], passed["TOKEN"]) == ("Asia/Tokyo", "caller's")
    assert "ABSENT" not in passed and "KEPT" not in passed
    given = build_environment(place, caller, pass_env=["TOKEN"], env={"TOKEN": "spec's", "CI": "0"})  # type: ignore[arg-type]
    assert (given["TOKEN"], given["CI"]) == ("spec's", "0")


def test_the_active_environment_of_the_caller_stays(place: Place, own: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    caller = {"PATH": f"{theirs}/bin:{own}/bin:/usr/bin", "VIRTUAL_ENV": str(theirs)}
    built = build_environment(place, caller)  # type: ignore[arg-type]
    assert built["PATH"] == f"{theirs}/bin:/usr/bin"
    assert built["VIRTUAL_ENV"] == str(theirs)


def test_the_environment_of_aurea_goes_also_where_it_is_the_active_one(place: Place, own: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(own)
    caller = {"PATH": f"{tmp_path}/link/bin:{own}/bin/:/usr/bin", "VIRTUAL_ENV": str(tmp_path / "link")}
    built = build_environment(place, caller)  # type: ignore[arg-type]
    assert built["PATH"] == "/usr/bin"
    assert "VIRTUAL_ENV" not in built


def test_a_python_that_is_no_environment_of_its_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    assert search_path({"PATH": "/usr/bin:/bin"}) == "/usr/bin:/bin"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/a:.:/b::node_modules/.bin:/a", "/a:/b"),  # relative entries would name an agent's programs
        ("", os.defpath.lstrip(":")),
        (".", os.defpath.lstrip(":")),
    ],
)
def test_only_whole_paths_are_searched_each_once(path: str, kept: str) -> None:
    assert search_path({"PATH": path}) == kept


def test_no_path_at_all() -> None:
    assert search_path({}) == os.defpath.lstrip(":")


def test_the_interpreter_of_aurea_is_filled_in() -> None:
    assert substitute(("{aurea_python}", "-c", "x={aurea_python}")) == (sys.executable, "-c", f"x={sys.executable}")
    assert substitute(("python", "{}")) == ("python", "{}")


# --- editable installs ------------------------------------------------------------------------------------------


def direct_url(site: Path, target: Path, *, editable: bool = True) -> None:
    (site / "notes-1.0.dist-info").mkdir()
    said = {"url": target.as_uri(), "dir_info": {"editable": True} if editable else {}}
    (site / "notes-1.0.dist-info" / "direct_url.json").write_text(json.dumps(said))


def path_line(site: Path, target: Path) -> None:
    (site / "_notes.pth").write_text(f"# a comment\nimport os; os.x = '{target}'\n\n{target / 'src'}\n")


def egg_link(site: Path, target: Path) -> None:
    (site / "notes.egg-link").write_text(f"{target}\n.\n")


def finder(site: Path, target: Path) -> None:
    (site / "__editable___notes_1_0_finder.py").write_text(f"MAPPING = {{'notes': '{target}/notes'}}\n")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "a repo ü" / "src").mkdir(parents=True)
    return tmp_path / "a repo ü"


@pytest.mark.parametrize("install", [direct_url, path_line, egg_link, finder])
def test_an_editable_install_of_the_repository_is_found(tmp_path: Path, repository: Path, install: object) -> None:
    site = python_in(tmp_path / "env")
    caller = {"PATH": f"{tmp_path}/env/bin:/nowhere"}
    assert find_editable_install(caller, repository) is None
    install(site, repository)  # type: ignore[operator]
    found = find_editable_install(caller, repository)
    assert found is not None
    assert "notes" in found.package and str(repository) in found.message
    assert "setup:" in found.remedy and str(tmp_path / "env") in found.remedy


@pytest.mark.parametrize("install", [direct_url, path_line, egg_link, finder])
def test_an_editable_install_of_something_else_is_nothing(tmp_path: Path, repository: Path, install: object) -> None:
    install(python_in(tmp_path / "env"), tmp_path / "a repo")  # type: ignore[operator]
    assert find_editable_install({"PATH": f"{tmp_path}/env/bin"}, repository) is None


def test_a_plain_install_from_the_repository_is_nothing(tmp_path: Path, repository: Path) -> None:
    direct_url(python_in(tmp_path / "env"), repository, editable=False)
    assert find_editable_install({"PATH": f"{tmp_path}/env/bin"}, repository) is None


def test_an_environment_in_the_repository_may_name_its_own_folders(repository: Path) -> None:
    site = python_in(repository / ".venv")
    (site / "vendored.pth").write_text("vendored\n")
    assert find_editable_install({"PATH": f"{repository}/.venv/bin"}, repository) is None
    path_line(site, repository)
    assert find_editable_install({"PATH": f"{repository}/.venv/bin"}, repository) is not None


def test_a_repository_reached_over_a_link_is_the_same(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "link").symlink_to(repository)
    direct_url(python_in(tmp_path / "env"), tmp_path / "link")
    assert find_editable_install({"PATH": f"{tmp_path}/env/bin"}, repository) is not None


def test_packages_of_the_python_below_count_where_they_are_visible(tmp_path: Path, repository: Path) -> None:
    below = python_in(tmp_path / "below", config=None)
    (tmp_path / "below" / "bin" / "python").rename(tmp_path / "below" / "bin" / "python3")
    direct_url(below, repository)
    for visible in ("false", "true"):
        prefix = tmp_path / visible
        python_in(prefix, config=f"home = {tmp_path}/below/bin\ninclude-system-site-packages = {visible}\n")
        found = find_editable_install({"PATH": f"{prefix}/bin"}, repository)
        assert (found is not None) == (visible == "true")


def test_the_interpreter_of_aurea_is_looked_at_where_it_is_used(tmp_path: Path, repository: Path, own: Path) -> None:
    (own / "bin").rmdir()
    direct_url(python_in(own), repository)
    caller = {"PATH": f"{own}/bin"}
    assert find_editable_install(caller, repository) is None  # commands do not find it on their PATH
    assert find_editable_install(caller, repository, [own / "bin" / "python"]) is not None


def test_broken_metadata_is_no_fault_of_the_run(tmp_path: Path, repository: Path) -> None:
    site = python_in(tmp_path / "env")
    (site / "x.dist-info").mkdir()
    for text in ("", "[]", "{}", '{"url": 3, "dir_info": null}'):
        (site / "x.dist-info" / "direct_url.json").write_text(text)
        assert find_editable_install({"PATH": f"{tmp_path}/env/bin"}, repository) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the environment of a process to others")
def test_what_a_process_was_started_with_is_concealed_from_others_and_kept_for_itself():
    program = (
        "import os, subprocess; from pathlib import Path\n"
        "from aurea.adapters.commands.concealment import conceal_environment\n"
        "assert b'sk-secret' in Path('/proc/self/environ').read_bytes()\n"
        "for _ in range(2):\n"
        "    conceal_environment()\n"
        "    assert b'sk-secret' not in Path('/proc/self/environ').read_bytes()\n"
        "    print(os.environ['KEY'], repr(os.environ['EMPTY']))\n"
        "    print(subprocess.run(['sh', '-c', 'echo $KEY'], capture_output=True, text=True).stdout.strip())\n"
    )
    env = {"PATH": os.environ["PATH"], "KEY": "sk-secret", "EMPTY": "", "ODD": "a=b\nc"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["sk-secret ''", "sk-secret"] * 2 + [""]
