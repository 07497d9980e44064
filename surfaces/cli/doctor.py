"""`aurea doctor`: what works on this machine, what is missing, and what to do about it."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from aurea import __version__
from aurea.domain.errors import AureaError
from aurea.reporting.text import many
from aurea.settings import Settings
from surfaces.cli import context

Finding = dict[str, Any]


def doctor(*, json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """What works here, what is missing, what to do. Exit code 0 when a run could start, else 1.

    Parameters
    ----------
    json
        The findings as JSON.
    """
    settings = context.current().settings
    findings = [
        *_programs(),
        _ledger(settings),
        _prefect(settings),
        *_providers(settings),
        _web(settings),
        _sandbox(),
        *_folders(settings),
    ]
    ok = all(finding["ok"] for finding in findings if finding["needed"])
    if json:
        context.print_json({"schema": "aurea.doctor/1", "aurea": __version__, "ok": ok, "findings": findings})
    else:
        for finding in findings:
            mark = "ok  " if finding["ok"] else "MISS" if finding["needed"] else "-   "
            print(f"{mark}  {finding['name']:<12} {finding['found']}")
            if finding["remedy"]:
                print(f"      {'':<12} {finding['remedy']}")
    return 0 if ok else 1


def _finding(name: str, found: str, *, ok: bool = True, needed: bool = True, remedy: str = "") -> Finding:
    return {"name": name, "ok": ok, "needed": needed, "found": found, "remedy": remedy}


def _programs() -> list[Finding]:
    python = _finding("python", f"{platform.python_version()} at {sys.executable}", ok=sys.version_info >= (3, 11))
    git = shutil.which("git")
    if git is None:
        return [python, _finding("git", "not found", ok=False, remedy="install git 2.38 or later")]
    words = subprocess.run([git, "--version"], capture_output=True, text=True, check=True).stdout.split()
    numbers = tuple(int(part) for part in words[2].split(".")[:2])
    remedy = "" if numbers >= (2, 38) else "install git 2.38 or later: older ones cannot merge in memory"
    return [python, _finding("git", f"{words[2]} at {git}", ok=numbers >= (2, 38), remedy=remedy)]


def _ledger(settings: Settings) -> Finding:
    from aurea.adapters.sql.look import look

    def finding() -> Finding:
        seen = look(settings.database_url)
        place = f"{seen.database}, {seen.where}"
        if seen.schema is None:
            return _finding("ledger", f"{place}: is made by the first run")
        found = f"{place}: schema {seen.schema}, {many(seen.runs, 'run')}, {many(seen.head, 'event')}"
        remedy = "" if seen.current else "older than this version: `aurea migrate`, when no older one is at work on it"
        return _finding("ledger", found, ok=seen.current, remedy=remedy)

    remedy = "look at the path and its rights, or name another with `--home` or AUREA_HOME"
    return _attempted("ledger", finding, remedy)


def _prefect(settings: Settings) -> Finding:
    from surfaces.server.locate import named_server
    from surfaces.server.start import running_server

    def look() -> str:
        if named := named_server(settings.caller, context.current().cwd):
            return f"{version('prefect')}, server {named.api_url} (named by {named.source})"
        running = running_server(settings.home)
        return f"{version('prefect')}, local server " + (
            f"at {running.ui_url}" if running else "starts with the first run"
        )

    return _tried("prefect", look, "")


def _providers(settings: Settings) -> list[Finding]:
    from surfaces.cli.doctor_providers import findings

    return findings(settings)


def _web(settings: Settings) -> Finding:
    from aurea.adapters.web import engine_name

    name, key = engine_name(settings), settings.tavily
    found = f"{name}, where a spec says `web_search: true`" + (
        "" if key.present else "; needs no key, promises nothing"
    )
    return _finding("web search", found, needed=False, remedy="" if key.present else f"{key.variable} makes it tavily")


def _sandbox() -> Finding:
    from aurea.adapters.commands.runner import ProcessRunner

    return _finding("sandbox", f"{ProcessRunner.name}; does not prevent {ProcessRunner().cannot}")


def _folders(settings: Settings) -> list[Finding]:
    return [
        _tried(name, lambda folder=folder: _writable(folder), "name another place with the environment variable")  # type: ignore[misc]
        for name, folder in (("home", settings.home), ("workspaces", settings.workspaces))
    ]


def _writable(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".probe"
    probe.write_text("")
    probe.unlink()
    free = shutil.disk_usage(folder).free / 2**30
    return f"{folder}, {free:.1f} GiB free"


def _tried(name: str, look: Callable[[], str], remedy: str) -> Finding:
    return _attempted(name, lambda: _finding(name, look()), remedy)


def _attempted(name: str, look: Callable[[], Finding], remedy: str) -> Finding:
    try:
        return look()
    except AureaError as fault:
        return _finding(name, fault.message, ok=False, remedy=fault.remedy or remedy)
    except OSError as fault:
        return _finding(name, str(fault), ok=False, remedy=remedy)
