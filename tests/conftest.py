"""What tests share: databases of their own on the servers that are there, a door that can be shut, Prefect's database."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import socket
import sqlite3
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from aurea.adapters.sql.dialects import open_engine
from aurea.domain.errors import AureaError

SERVERS = {
    "postgresql": ("AUREA_TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mysql": ("AUREA_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
}
CREATE = {
    "postgresql": "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'",
    "mysql": "CREATE DATABASE {} CHARACTER SET latin1",  # the ledger must not depend on it
}
DROP = {"postgresql": "DROP DATABASE {} WITH (FORCE)", "mysql": "DROP DATABASE {}"}


@pytest.fixture(scope="session", autouse=True)
def no_certificates() -> Iterator[None]:
    """Every HTTP client reads the certificates of the world, for 30 ms; no test here asks a server with TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        yield


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Makes an empty database on the `postgresql` or `mysql` server and returns its URL; dropped at the end."""
    made: list[tuple[sa.Engine, str, str]] = []

    def make(kind: str) -> str:
        variable, default = SERVERS[kind]
        url = os.environ.get(variable, default)
        engine, name = _admin(kind, url, variable), f"aurea_test_{secrets.token_hex(6)}"
        with engine.connect() as connection:
            connection.exec_driver_sql(CREATE[kind].format(name))
        made.append((engine, kind, name))
        return sa.make_url(url).set(database=name).render_as_string(hide_password=False)

    yield make
    for engine, kind, name in made:
        with engine.connect() as connection:
            connection.exec_driver_sql(DROP[kind].format(name))
        engine.dispose()


def _admin(kind: str, url: str, variable: str) -> sa.Engine:
    try:
        engine = open_engine(url).execution_options(isolation_level="AUTOCOMMIT")
        engine.connect().close()
    except (AureaError, sa.exc.DBAPIError) as fault:
        pytest.skip(f"no {kind} server to test with ({fault}); name one with {variable}")
    return engine


class Door:
    """A loopback port that leads to a server until it is shut: to its clients, a server that is there and is not."""

    def __init__(self, url: str) -> None:
        server = sa.make_url(url)
        self._server = (server.host or "127.0.0.1", server.port or {"postgresql": 5432}.get(server.drivername, 3306))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._open = True
        self._trap: tuple[float, bool] | None = None
        self._silent: set[socket.socket] = set()
        self._hushing = False
        behind = server.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.url = behind.render_as_string(hide_password=False)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def armed(self) -> bool:
        """Whether the trap waits for its commit."""
        return self._trap is not None

    def open(self) -> None:
        """Lead to the server."""
        self._open = True

    def shut(self) -> None:
        """Cut all connections and refuse new ones."""
        self._open = False
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()

    def shut_for(self, seconds: float) -> None:
        """As a server that restarts."""
        self.shut()
        threading.Timer(seconds, self.open).start()

    def hush(self) -> None:
        """Nothing passes any more through the connections that there are, which stay: a server process that hangs."""
        self._silent |= {end for pair in self._pairs for end in pair}

    def hush_commit(self) -> None:
        """At the next COMMIT `hush`: it does not reach the server."""
        self._hushing = True

    def trap_commit(self, seconds: float, *, reaches_the_server: bool) -> None:
        """At the next COMMIT `shut_for`; the client never hears what became of it."""
        self._trap = (seconds, reaches_the_server)

    def close(self) -> None:
        """For good."""
        self.shut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                client.close()
                continue
            server = socket.create_connection(self._server)
            self._pairs.append((client, server))
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        try:
            while data := source.recv(65536):
                if asks and self._hushing and re.search(rb"COMMIT(?!T)", data):
                    self._hushing = False
                    self.hush()
                if source in self._silent:
                    continue
                if asks and self._trap is not None and re.search(rb"COMMIT(?!T)", data):
                    self._spring(source, sink, data)
                    return
                sink.sendall(data)
        except OSError:
            pass  # cut off, which the other end is to hear of as well
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _spring(self, client: socket.socket, server: socket.socket, commit: bytes) -> None:
        assert self._trap is not None
        (seconds, reaches_the_server), self._trap = self._trap, None
        self._open = False
        client.shutdown(socket.SHUT_RDWR)
        if reaches_the_server:
            server.sendall(commit)
            time.sleep(0.2)
        self.shut_for(seconds)


@pytest.fixture
def new_door() -> Iterator[Callable[[str], Door]]:
    """Makes a door to the server of a database URL; its `url` leads to the same database."""
    made: list[Door] = []

    def make(url: str) -> Door:
        made.append(Door(url))
        return made[-1]

    yield make
    for door in made:
        door.close()


@pytest.fixture(scope="session")
def prepare_server(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Gives a new home a database that Prefect's server has made before: the making takes it ten seconds, once is enough."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # shared by all processes of these tests
    made = place / "prefect.db"

    def prepare(home: Path) -> Path:
        with (place / "prefect.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                _make_server_database(made)
        _copy(made, home / "prefect" / "prefect.db")
        return home

    return prepare


def _make_server_database(database: Path) -> None:
    from surfaces.server.start import ensure_server, stop_server

    with tempfile.TemporaryDirectory(prefix="aurea-server-") as folder:
        home = Path(folder).resolve()
        try:
            ensure_server(home, idle_s=60, environ={"HOME": folder}, folder=home)
        finally:
            stop_server(home, force=True)
        _copy(home / "prefect" / "prefect.db", database)


def _copy(source: Path, target: Path) -> None:
    """With what still stands in its log; `target` is there only when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(part)) as new:
        old.backup(new)
    part.replace(target)
