"""MariaDB: Debian's server, on a data folder of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

from tests.services.databases import Server, accepts_connections, database_on
from tests.services.processes import (
    find_program,
    free_port,
    missing_programs,
    private_folder,
    run_tool,
    server_process,
    started,
)

ENVIRONMENT = "SQLALCHEMY_FILE_TEST_MARIADB"
_DRIVER = "mariadb+pymysql"
_PROGRAMS = ("mariadbd", "mariadb-install-db")
_SETTINGS = {
    "bind-address": "127.0.0.1",
    "character-set-server": "utf8mb4",
    "innodb-lock-wait-timeout": "5",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "16M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-flush-method": "nosync",
    "innodb-doublewrite": "OFF",
}


def missing() -> str | None:
    """Return one line that says what to install, or None where the tests can have a server."""
    if os.environ.get(ENVIRONMENT):
        return None
    return missing_programs(_PROGRAMS, "MariaDB", "mariadb-server")


def running() -> AbstractContextManager[Server]:
    """Run a server, or use the developer's own, until the block is left."""
    if address := os.environ.get(ENVIRONMENT):
        return database_on(address, _DRIVER)
    return started(_start)


class CrashingServer:
    """A server that confirms only what it will still have after a crash, and can be made to."""

    def __init__(self, url: str, command: Sequence[str | Path], folder: Path) -> None:
        self.url = url
        self._command = command
        self._folder = folder
        self._process = ExitStack()

    def start(self) -> None:
        ready = partial(accepts_connections, self.url)
        self._process.enter_context(server_process(self._command, self._folder, ready))

    def crash(self) -> None:
        """Kill it, and start it again: it recovers, on the same port."""
        self._process.close()
        self.start()

    def stop(self) -> None:
        self._process.close()


def crashing() -> AbstractContextManager[CrashingServer]:
    """Run a server of our own until the block is left."""
    return started(_start_crashing)


def folding_names() -> AbstractContextManager[Server]:
    """Run a server of our own that keeps names of tables in small letters, as on Windows."""
    return started(partial(_start, settings={**_SETTINGS, "lower-case-table-names": "1"}))


def _start(stack: ExitStack, settings: Mapping[str, str] = _SETTINGS) -> Server:
    url, command, folder = _installed(stack, settings)
    stack.enter_context(server_process(command, folder, partial(accepts_connections, url)))
    return Server(url)


def _start_crashing(stack: ExitStack) -> CrashingServer:
    server = CrashingServer(
        *_installed(stack, {**_SETTINGS, "innodb-flush-log-at-trx-commit": "1"})
    )
    stack.callback(server.stop)
    server.start()
    return server


def _installed(
    stack: ExitStack, settings: Mapping[str, str]
) -> tuple[str, Sequence[str | Path], Path]:
    """Return the URL, the command and the folder of a server that is ready to be started."""
    folder = stack.enter_context(private_folder("mariadb"))
    common = ["--no-defaults", f"--datadir={folder / 'data'}", "--skip-name-resolve"]
    common += [f"--{name}={value}" for name, value in settings.items()]
    _initialise(folder, common)
    password, port = secrets.token_hex(16), free_port()
    options = [f"--port={port}", f"--init-file={_first_statements(folder, password)}"]
    options += [f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}"]
    url = f"{_DRIVER}://root:{password}@127.0.0.1:{port}/test?charset=utf8mb4"
    return url, [find_program("mariadbd") or "mariadbd", *common, *options], folder


def _initialise(folder: Path, common: list[str]) -> None:
    install = find_program("mariadb-install-db") or "mariadb-install-db"
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    run_tool([install, *common, *options], folder)


def _first_statements(folder: Path, password: str) -> Path:
    statements = [
        f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';",
        f"CREATE OR REPLACE USER 'root'@'127.0.0.1' IDENTIFIED BY '{password}';",
        "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;",
        "DELETE FROM mysql.global_priv WHERE User = '';",
        "FLUSH PRIVILEGES;",
        "CREATE DATABASE IF NOT EXISTS test;",
    ]
    file = folder / "first.sql"
    file.write_text("\n".join(statements))
    return file
