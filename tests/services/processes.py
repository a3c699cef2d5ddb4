"""Start and stop servers by process id, in private folders that nothing outlives."""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

FOLDER_PREFIX = "sqlalchemy-file-test-"
PATIENCE = 60.0
"""Seconds that a server may take to start; on an idle machine it is one or two."""

UNPRIVILEGED_USER = "nobody"
"""Who runs the servers when the tests run as root, which PostgreSQL refuses."""

_PORTS = range(15000, 32000)  # below the ports that the system hands to outgoing connections
_START_ATTEMPTS = 3  # somebody may take a port between our look and the server's bind

Started = TypeVar("Started")


class ServerFailedError(Exception):
    """A server did not start; the message holds the end of what it printed."""


def find_program(name: str) -> Path | None:
    """Return where a program lies; daemons often lie where a user's PATH does not look."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    return Path(found) if found else None


def missing_programs(names: Sequence[str], server: str, packages: str) -> str | None:
    """Return one line that says how to get what is not installed, or None."""
    absent = [name for name in names if find_program(name) is None]
    if not absent:
        return None
    return (
        f"{server} is not installed ({', '.join(absent)} not found): run `make services`, "
        f"which installs Debian's {packages}"
    )


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def private_folder(name: str) -> Iterator[Path]:
    """Make a folder that the server's user owns, and remove it at the end."""
    _remove_abandoned_folders()
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{name}-"))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_root():
            user = pwd.getpwnam(UNPRIVILEGED_USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def run_tool(command: Sequence[str | Path], folder: Path) -> None:
    """Run a program that prepares a server and ends, as the server's user."""
    arguments = [*_prefix(signal.SIGKILL), *map(str, command)]
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        output = done.stdout.decode(errors="replace")[-2000:]
        raise ServerFailedError(f"{command[0]} ended with {done.returncode}:\n{output}")


@contextmanager
def server_process(
    command: Sequence[str | Path],
    folder: Path,
    ready: Callable[[], bool],
    stop_with: signal.Signals = signal.SIGKILL,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run a server in the foreground from when it is ready until the block is left.

    ``stop_with`` is also what the system sends it, should this process die first.
    The data are thrown away, so the quickest signal that leaves nothing behind is the best.
    With ``environment``, the server runs as the user of the tests, since it imports our code.
    """
    log = folder / f"{Path(command[0]).name}.log"
    is_ours = environment is not None
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_prefix(stop_with, unprivileged=not is_ours), *map(str, command)],
            cwd=folder,
            env={**_environment(folder), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C is for the tests, which then stop us
        )
    try:
        _wait_until(ready, process, log)
        yield
    finally:
        _stop(process, stop_with)


@contextmanager
def started(start: Callable[[ExitStack], Started]) -> Iterator[Started]:
    """Yield what ``start`` returns; try again with other ports where it fails.

    ``start`` puts all it opened on the stack, which is unwound after the block or a failure.
    """
    for attempt in range(1, _START_ATTEMPTS + 1):
        with ExitStack() as stack:
            try:
                server = start(stack)
            except ServerFailedError:
                if attempt == _START_ATTEMPTS:
                    raise
                continue
            yield server
            return


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            state = process.returncode if process.returncode is not None else "still starting"
            output = log.read_text(errors="replace")[-2000:]
            raise ServerFailedError(f"{log.stem} is not ready (exit code: {state}):\n{output}")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes], stop_with: signal.Signals) -> None:
    process.send_signal(stop_with)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # workers of a server that was killed


def _is_root() -> bool:
    return os.geteuid() == 0


def _prefix(death_signal: signal.Signals, *, unprivileged: bool = True) -> list[str]:
    setpriv = shutil.which("setpriv")
    drops_rights = unprivileged and _is_root()
    if setpriv is None:
        if drops_rights:
            raise ServerFailedError("setpriv (Debian's util-linux) is needed to run this as root")
        return []  # not Linux: the servers are stopped by us alone
    command = [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG")]
    if drops_rights:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        command += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [*command, "--"]


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C", "TZ": "UTC"}


def _remove_abandoned_folders() -> None:
    """Remove what test runs left that were killed: folders that nobody holds the lock of."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > 60:  # a new one may not be locked yet
                _remove_if_unlocked(folder)


def _remove_if_unlocked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
