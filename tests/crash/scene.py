"""Where processes die: a database, a storage, and what has to hold once the dead are gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, create_engine, text, update
from sqlalchemy.pool import NullPool

from sqlalchemy_file import StorageManager
from sqlalchemy_file.reconcile import drain, sweep
from sqlalchemy_file.storage import adapt
from tests.stores import keys, named

from .models import Base, ledger

ROOT = Path(__file__).parents[2]
PATIENCE = 20
_OTHERS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    "mysql": "SELECT count(*) FROM information_schema.processlist "
    "WHERE db = database() AND id <> connection_id()",
}


class Nursery:
    """Starts workers, each in a process of its own that may be killed at any moment."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "workers.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )

    def start(self, **job: Any) -> int:
        """Start a worker, and return its process id."""
        assert self._process.stdin is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return int(self._answer()["pid"])

    def ended(self) -> int:
        """Wait for the worker, and return its exit code, or minus the signal that killed it."""
        return int(self._answer()["code"])

    @property
    def log(self) -> str:
        return self._log.read_text()

    def close(self) -> None:
        """End it, and a worker that a test which failed has left."""
        try:
            self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the nursery ended: {self.log}"
        return json.loads(line)


class Scene:
    """One database and one storage, with the processes that use them."""

    def __init__(self, nursery: Nursery, database: str, storage: str, worker: str) -> None:
        self._nursery = nursery
        self._storage_url = storage
        self._worker_url = worker
        self.engine: Engine = create_engine(database, poolclass=NullPool)
        self.storage = adapt(storage)

    # the processes

    def start(self, work: str, **job: Any) -> int:
        through_asyncio = "async" in self._worker_url or "aiosqlite" in self._worker_url
        given = {"database": self._worker_url, "storage": self._storage_url, **job}
        return self._nursery.start(work=work, through_asyncio=through_asyncio, **given)

    def kill_after(self, seconds: float, work: str, **job: Any) -> None:
        """Let a process work for a while, then kill it."""
        worker = self.start(work, **job)
        time.sleep(seconds)
        self.kill(worker)

    def kill(self, worker: int) -> None:
        """Kill a process, which has not ended by itself."""
        with suppress(ProcessLookupError):  # `expect` tells how it ended
            os.kill(worker, signal.SIGKILL)
        self.expect(-signal.SIGKILL)

    def die_at(self, step: str, times: int, work: str, **job: Any) -> bool:
        """Let a process work until it dies at a step; return False if it never came there."""
        self.start(work, step=step, times=times, **job)
        return self.expect(-signal.SIGKILL, 0) != 0

    def expect(self, *codes: int) -> int:
        """Wait until the worker has ended in one of these ways, and its connections with it."""
        code = self._nursery.ended()
        assert code in codes, f"the worker ended with {code}: {self._nursery.log[-4000:]}"
        self._wait_for_the_dead()
        return code

    def _wait_for_the_dead(self) -> None:
        """Wait until the server has noticed: a COMMIT may be on its way yet."""
        statement = _OTHERS.get(self.engine.dialect.name)
        if statement is None:
            return
        deadline = time.monotonic() + PATIENCE
        with self.engine.connect() as connection:
            while connection.scalar(text(statement)):
                assert time.monotonic() < deadline, "a dead process is still connected"
                time.sleep(0.002)
                connection.rollback()

    # what has to hold

    def named(self) -> list[str]:
        return named(self.engine, "crash_page", "cover", "pictures")

    def objects(self) -> list[str]:
        return [f"main/{key}" for key in keys(self.storage)]

    def pending(self) -> int:
        with self.engine.connect() as connection:
            return len(connection.execute(ledger.releases.select()).all())

    def nothing_dangles(self) -> None:
        missing = set(self.named()) - set(self.objects())
        assert not missing, f"committed rows name objects that are gone: {missing}"

    def tidy(self) -> None:
        """Do what an operator's schedule does, with the leases of the dead run out."""
        with self.engine.begin() as connection:
            connection.execute(update(ledger.releases).values(due_at=0))
        list(drain(self.engine, Base.metadata))
        list(sweep(self.engine, Base.metadata, delete=True, grace=0))

    def nothing_is_left_over(self) -> None:
        """Assert that there is exactly what rows name, once drain and sweep have passed."""
        self.tidy()
        assert sorted(self.objects()) == sorted(self.named())
        assert self.pending() == 0
        assert not self._litter()

    def _litter(self) -> list[str]:
        """Return the files of a local folder that are no objects."""
        if not self._storage_url.startswith("file://"):
            return []
        root = Path(self._storage_url.removeprefix("file://"))
        known = {path.removeprefix("main/") for path in self.objects()}
        files = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        return [name for name in files if name not in known and not name.endswith(".json")]

    def empty(self) -> None:
        self.remove()
        Base.metadata.create_all(self.engine)

    def remove(self) -> None:
        """Leave nothing on the server, nor in the storage."""
        Base.metadata.drop_all(self.engine)
        self.storage.delete(keys(self.storage))


@contextmanager
def opened(scene: Scene) -> Iterator[Scene]:
    StorageManager.add_storage("main", scene.storage)
    scene.empty()
    try:
        yield scene
    finally:
        scene.remove()
        scene.engine.dispose()


def moments(seed: int, count: int, longest: float) -> Iterator[tuple[int, float]]:
    """Yield a seed for the writer, and the moment of its death, in seconds."""
    dice = Random(seed)
    for _ in range(count):
        yield dice.randrange(1 << 30), dice.uniform(0.01, longest)
