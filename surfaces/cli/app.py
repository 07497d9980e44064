"""The command `aurea`: its commands, its errors and its exit codes. Imports nothing heavy; commands load when called."""

from __future__ import annotations

import gc
import os
import sys
from io import TextIOWrapper
from pathlib import Path

from cyclopts import App, CycloptsError, Parameter

from aurea import __version__
from aurea.domain.errors import AureaError
from surfaces.cli import context

HELP = """Turns an objective into verified, landed software, unattended, and can prove what it did.

Every command takes `-C DIR` before its name, as git does, and `--home DIR` for another state folder.

Exit codes: 0 succeeded, 1 failed, 2 bad usage or spec, 3 waits for a person, 4 cancelled, 5 interrupted.
"""

COMMANDS = {
    "init": ("surfaces.cli.init:init", "Write `aurea.yaml` for the current repository."),
    "run": ("surfaces.cli.run:run", "Deliver a spec, or an objective in the current repository."),
    "resume": ("surfaces.cli.run:resume", "Go on with an interrupted or waiting run."),
    "show": ("surfaces.cli.look:show", "The state of a run: what landed, what did not and why."),
    "list": ("surfaces.cli.look:list_runs", "Runs, newest first."),
    "tail": ("surfaces.cli.look:tail", "Events of a run as they come."),
    "logs": ("surfaces.cli.look:tail", "The same as tail."),
    "inbox": ("surfaces.cli.people:inbox", "Open questions."),
    "decide": ("surfaces.cli.people:decide", "Answer an open question."),
    "cancel": ("surfaces.cli.people:cancel", "End a run, or one of its items, with every process of it."),
    "pause": ("surfaces.cli.people:pause", "Start no new attempts of a run; `resume` goes on."),
    "halt": ("surfaces.cli.people:halt", "Freeze everything of this home, for emergencies."),
    "unhalt": ("surfaces.cli.people:unhalt", "End a halt."),
    "up": ("surfaces.cli.up:up", "Prefect's server with its UI, and the deployments served, in the foreground."),
    "down": ("surfaces.cli.up:down", "Stop the local Prefect server of this home."),
    "clean": ("surfaces.cli.clean:clean", "Remove workspaces, and what old runs left, that nobody needs."),
    "verify": ("surfaces.cli.look:verify", "Recompute the ledger's chain and the manifest's hashes."),
    "schema": ("surfaces.cli.look:schema", "JSON schema of spec, template, run, event, manifest or question."),
    "migrate": ("surfaces.cli.migrate:migrate", "Bring the ledger to the schema of this version."),
    "doctor": ("surfaces.cli.doctor:doctor", "What works here, what is missing, what to do."),
}


def build() -> App:
    """The command tree; importing what a command needs is left to the command."""
    app = App(
        name="aurea", help=HELP, version=__version__, help_format="plaintext", result_action="return_value",
        default_parameter=Parameter(show_default=False),
    )  # fmt: skip
    for name, (target, help_text) in COMMANDS.items():
        app.command(target, name=name, help=help_text)
    app.register_install_completion_command(help="Completion of commands and options for bash, zsh or fish.")
    return app


def main() -> None:
    """Entry point of `aurea` and `orchestrator`."""
    if sys.platform not in ("linux", "darwin"):
        print(f"aurea runs on Linux, macOS and WSL2, not on {sys.platform!r}", file=sys.stderr)
        raise SystemExit(2)
    # Python gives no stream where the caller closed it (`>&-`); what is said then goes nowhere.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no ✓ is no reason to stop
    gc.set_threshold(50_000, 20, 50)  # or a tenth of the start goes into looking for garbage in modules that stay
    code = serve(sys.argv[1:])
    gc.freeze()  # or Python ends by looking for garbage among all that Prefect has loaded: up to a second of each run
    context.end(code)


def serve(argv: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        words = context.enter(argv)
        result = build()(words, exit_on_error=False, print_error=False)
        sys.stdout.flush()  # here, where it is known what to do when nobody reads it any more
        return result if isinstance(result, int) else 0
    except CycloptsError as fault:
        context.say(f"aurea: {fault}", "  `aurea --help` and `aurea COMMAND --help` show how it is called")
        return 2
    except AureaError as fault:
        context.say(str(fault) if fault.located else f"aurea: {fault}")
        return fault.exit_code
    except KeyboardInterrupt:
        return 5
    except BrokenPipeError:
        # Somebody like `head` has read enough; what is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as fault:
        context.say(f"aurea: {fault}", "  `aurea doctor` looks at what this machine lacks")
        return 1


if __name__ == "__main__":
    main()
