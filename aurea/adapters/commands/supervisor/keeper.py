"""The keeper of one command: starts it, drains it, ends it with all that came of it, and tells how that went."""

# ruff: noqa: PTH108, PTH110, PTH113, PTH123
# pathlib would double the start-up time

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import socket
import sys
import time

from .output import Output
from .processes import PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, Tree, Wakeup, switch_on
from .wire import ACK, CHUNK, pack, receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REPLY_HALF = 32 * 1024 - 64  # bytes of an output's head in the result, and as many of its tail
GRACE_S = 0.5  # between SIGTERM and SIGKILL when a limit is reached


def keep(line: socket.socket) -> None:
    """Run the command that is asked for on `line`, to its end or the line's, and answer."""
    os.setsid()  # what is sent to the server's process group is not meant for keepers
    switch_on(PR_SET_CHILD_SUBREAPER)
    wakeup = Wakeup()
    line.sendall(ACK.pack(os.getpid()))
    request, stdin = receive(line)
    if select.select([line.fileno()], [], [], 0)[0]:
        raise EOFError  # nobody waits for it any more: do not even begin
    started = time.monotonic()
    output = Output(request["log"])
    pipe, theirs = os.pipe()
    os.set_blocking(pipe, False)
    tree, reason = _start(request, stdin, theirs)
    os.close(theirs)
    outcome = "not_run"
    stuck, status = 0, 0
    if tree is not None:
        outcome, reason = _watch(tree, output, pipe, line, wakeup, request)
        stuck, status = tree.end(wakeup), tree.status or 0
    output.drain(pipe, 16 * CHUNK)
    if stuck:
        reason = "; ".join(filter(None, (reason, f"{stuck} of its processes cannot be ended")))
    output.close({"not_run": "not run: ", "timeout": "ended: "}.get(outcome, "") + reason)
    head, tail = output.ends(REPLY_HALF)
    answer: dict[str, object] = {
        "outcome": outcome,
        "exit_code": os.waitstatus_to_exitcode(status) if outcome == "exited" else None,
        "total": output.total,
        "seconds": time.monotonic() - started,
        "reason": "; ".join(filter(None, (reason, output.fault))),
        "head": len(head),
    }
    line.sendall(pack(answer, head + tail))


def _watch(
    tree: Tree, output: Output, pipe: int, line: socket.socket, wakeup: Wakeup, request: dict[str, Any]
) -> tuple[str, str]:
    """Drain the output until the command has ended, a limit has ended it, or nobody waits for it any more."""
    time_limit, silence_limit = float(request["timeout_s"]), float(request["silence_s"])
    poller = select.poll()
    for descriptor in (pipe, line.fileno(), wakeup.read):
        poller.register(descriptor, select.POLLIN)
    heard = time.monotonic()
    end, reason = heard + time_limit, ""
    while True:
        due, now = end if reason else min(end, heard + silence_limit), time.monotonic()
        if now >= due and reason:
            return "timeout", reason
        if now >= due:
            reason = f"not done after {time_limit:g} s" if now >= end else f"no output for {silence_limit:g} s"
            end = now + GRACE_S
            tree.ask()
            continue
        ready = {descriptor for descriptor, _ in poller.poll(min(due - now, 3600) * 1000 + 1)}
        if pipe in ready:
            heard = time.monotonic()
            if not output.drain(pipe, 16 * CHUNK):
                poller.unregister(pipe)
        if line.fileno() in ready:
            return "timeout", "nobody waits for it any more"
        if wakeup.read in ready:
            wakeup.clear()
            tree.reap()
            if tree.status is not None:
                return ("timeout", reason) if reason else ("exited", "")


def _start(request: dict[str, Any], stdin: bytes, output: int) -> tuple[Tree | None, str]:
    """Start the command in a session of its own, with its limits; its tree, or why it cannot be started.

    What it inherits is set on this process, which then spawns it: that is several times cheaper than another fork. Only
    0, 1 and 2 stay open in it: Python opens everything else so that it closes when the program takes over.
    """
    try:
        os.chdir(request["folder"])
    except OSError as error:
        return None, f"cannot enter the folder {request['folder']!r}: {error.strerror}"
    given = _stdin(stdin)
    os.umask(0o022)
    for name, wanted in request["limits"].items():
        _limit(getattr(resource, name), wanted)
    _die_first()
    switch_on(PR_SET_NO_NEW_PRIVS)  # a setuid program could not be ended
    argv: list[str] = request["argv"]
    try:
        first = os.posix_spawn(
            _program(argv[0], request["env"].get("PATH", os.defpath)),
            argv,
            request["env"],
            file_actions=[
                (os.POSIX_SPAWN_DUP2, source, number) for number, source in enumerate((given, output, output))
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # which Python ignores
        )
    except (OSError, ValueError) as error:
        return None, _why_not(argv[0], error)
    finally:
        os.close(given)
    return Tree(first), ""


def _program(name: str, path: str) -> str:
    """The file to run: the first on `path` that can be, or the name itself where it has a slash."""
    if "/" in name:
        return name
    files = [file for file in (f"{folder or '.'}/{name}" for folder in path.split(":")) if os.path.isfile(file)]
    if not files:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return next((file for file in files if os.access(file, os.X_OK)), files[0])


def _stdin(data: bytes) -> int:
    """A descriptor to read `data` from."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    if sys.platform == "linux":
        descriptor = os.memfd_create("stdin")
    else:
        import tempfile

        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _limit(kind: int, wanted: int) -> None:
    """Lower a resource limit; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (value, value))


def _die_first() -> None:
    """Where memory runs out, let the kernel end the command before anything else."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass  # not Linux, or not allowed: then the kernel chooses


def _why_not(name: str, error: OSError | ValueError) -> str:
    """Why a command did not start, in words; raises what is no fault of the command's."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EAGAIN, errno.ENOMEM):
        raise error
    if number == errno.ENOENT and "/" in name and os.path.exists(name):
        return f"the interpreter that {name!r} names in its first line does not exist"
    if number in (errno.ENOENT, errno.ENOTDIR):
        return f"{name!r} does not exist" if "/" in name else f"{name!r} is not on PATH"
    if number == errno.EACCES:
        return f"{name!r} is not executable"
    if number == errno.ENOEXEC:
        return f"{name!r} is neither a program for this machine nor a script with a #! line"
    return f"{name!r} cannot be started: {error.strerror if isinstance(error, OSError) else error}"
