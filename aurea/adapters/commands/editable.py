"""Editable installs: does an interpreter take a package from the user's files? Read from its folders, never run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class EditableInstall:
    """A package that `python` takes from `target`, a folder of the user's repository; `source` says so."""

    python: Path
    package: str
    target: Path
    source: Path

    @property
    def message(self) -> str:
        """What is wrong."""
        return (
            f"{str(self.python)!r}, which commands would use, takes {self.package!r} from {str(self.target)!r} "
            f"({self.source.name}): checks would test those files instead of the workspace's"
        )

    @property
    def remedy(self) -> str:
        """What the user can do."""
        return (
            "run Aurea with that environment not active, and let `setup:` make one in each workspace: "
            "[python3, -m, venv, .venv], then [.venv/bin/python, -m, pip, install, -e, .]; "
            f"or `{self.python} -m pip uninstall {self.package}`"
        )


def find_in(python: Path, repository: Path) -> EditableInstall | None:
    """The first editable install of the interpreter `python` that points into `repository`."""
    prefix, sites = _sites(python)
    for site in sites:
        for package, target, source in _pointers(site):
            real = target.resolve()
            # An environment that lies in the repository may name folders of its own.
            if real.is_relative_to(repository.resolve()) and not real.is_relative_to(prefix.resolve()):
                return EditableInstall(python, package, target, source)
    return None


def _sites(python: Path) -> tuple[Path, list[Path]]:
    """The prefix of an interpreter, and the folders that its packages lie in. The user's own site is not among them:
    commands have another HOME.
    """
    prefix = python.absolute().parent.parent
    config = prefix / "pyvenv.cfg"
    if config.is_file():
        said = dict(re.findall(r"^\s*([\w-]+)\s*=\s*(.*?)\s*$", config.read_text(errors="replace"), re.MULTILINE))
        sites = _below(prefix, "python3*")
        if said.get("include-system-site-packages", "").lower() == "true" and "home" in said:
            sites += _sites(Path(said["home"], "python3"))[1]
        return prefix, sites
    real = python.resolve()
    version = real.name if re.fullmatch(r"python3\.\d+", real.name) else "python3*"
    prefix = real.parent.parent
    sites = _below(prefix, version) + _below(prefix, "python3")
    return prefix, sites + (_below(prefix / "local", version) if prefix == Path("/usr") else [])


def _below(prefix: Path, version: str) -> list[Path]:
    return [*prefix.glob(f"lib*/{version}/site-packages"), *prefix.glob(f"lib*/{version}/dist-packages")]


def _pointers(site: Path) -> Iterator[tuple[str, Path, Path]]:
    """Package, target folder and source of everything in `site` that names a folder elsewhere."""
    for source in sorted(site.glob("*.dist-info/direct_url.json")):
        try:
            said = json.loads(source.read_text())
            editable = said.get("dir_info", {}).get("editable") is True
            url = urlsplit(said["url"])
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue  # not what the standard says: the package says nothing about where it comes from
        if editable and url.scheme == "file":
            yield source.parent.name.split("-")[0], Path(unquote(url.path)), source
    for source in sorted(site.glob("*.pth")):
        for line in _lines(source):
            if line and not line.startswith(("#", "import ", "import\t")):
                yield source.stem, site / line, source
    for source in sorted(site.glob("*.egg-link")):
        for line in _lines(source)[:1]:
            yield source.stem, site / line, source
    for source in sorted(site.glob("__editable__*_finder.py")):
        for path in re.findall(r"""['"](/[^'"\n]+)['"]""", "\n".join(_lines(source))):
            yield source.stem, Path(path), source


def _lines(source: Path) -> list[str]:
    try:
        return [line.strip() for line in source.read_text(errors="replace").splitlines()]
    except OSError:
        return []  # not to be read by this account, so not by its interpreter either
