"""`aurea up` and `aurea down`: the Prefect server with UI and the deployments served, in the foreground; and its end."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

from cyclopts import Parameter, validators

from aurea.domain.errors import UsageError
from surfaces.cli import context


def up(*, port: Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=65535))] = None) -> int:
    """Prefect's server with its UI, and Aurea's deployments served, in the foreground. Ctrl-C ends all of it.

    Parameters
    ----------
    port
        Where the server of this home listens, from now on; else the port that it has.
    """
    from surfaces.server.start import ensure_server, stop_server

    here = context.current()
    home = here.settings.home
    home.mkdir(parents=True, exist_ok=True)
    server = ensure_server(home, idle_s=here.settings.server_idle_s, folder=here.cwd, port=port, say=context.say)
    os.environ.update(server.env)
    os.environ["AUREA_HOME"] = str(home)  # for the flow runs, also where `--home` named it
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
    try:
        from surfaces.server.serving import serve_deployments

        asyncio.run(serve_deployments(lambda: _tell(server.ui_url)))
    except KeyboardInterrupt:
        pass  # before everything stood
    finally:
        if server.local:
            try:
                stop_server(home)
            except UsageError as busy:
                context.say(f"{busy.message}; it stops by itself when nothing needs it")
    return 0


def down(*, force: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Stop the local Prefect server of this home; refused while runs are at work.

    Parameters
    ----------
    force
        Also while runs are at work; `aurea resume` goes on with what that interrupts.
    """
    from surfaces.server.start import stop_server

    stopped = stop_server(context.current().settings.home, force=force)
    print("the local server is stopped" if stopped else "no local server of this home is running")
    return 0


def _tell(ui_url: str) -> None:
    print(ui_url, flush=True)
    context.say(
        "the deployments deliver/deliver and upkeep/upkeep are served; start one in the UI, or with",
        "  prefect deployment run deliver/deliver --param spec=SPEC",
        "Ctrl-C ends server and deployments; runs at work are interrupted, and `aurea resume` goes on with them",
    )
