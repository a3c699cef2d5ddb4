"""What every contender needs: a setting, rounds, clocks, and the same contents for all."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.ticker import summary, tick

SIGNATURE = b"%PDF-1.7\n"
WARM_UP_FILES = 20
WARM_UP_SIZE = 100_000


@dataclass
class Setting:
    """What the driver asks for: how much of what, and where."""

    folder: str
    n: int
    size: int
    rounds: int
    options: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.options[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def at_once(self) -> int:
        return int(self.options.get("at_once", 32))

    def round(self, number: int) -> Round:
        """Return a round with a folder of its own; the round before the first is a small one."""
        folder = Path(self.folder, str(number))
        folder.mkdir(parents=True, exist_ok=True)
        if number == 0:
            n, size = min(self.n, WARM_UP_FILES), min(self.size, WARM_UP_SIZE)
        else:
            n, size = self.n, self.size
        return Round(number, folder, n, size)


@dataclass
class Round:
    """One turn of a contender, and what was measured in it."""

    number: int
    folder: Path
    n: int
    size: int
    measured: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self) -> Iterator[None]:
        gc.collect()
        start = time.perf_counter()
        yield
        self.measured["seconds"] = time.perf_counter() - start

    @contextmanager
    def processor_timed(self) -> Iterator[None]:
        """Count the time of this process only, whatever else the machine does."""
        gc.collect()
        start = time.process_time()
        yield
        self.measured["seconds"] = time.process_time() - start

    @contextmanager
    def memory_watched(self) -> Iterator[None]:
        """Measure how far the peak of the resident memory is above where it begins; Linux only."""
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        start = _resident("VmRSS")
        with self.timed():
            yield
        self.measured["megabytes"] = (_resident("VmHWM") - start) / 1e6

    @asynccontextmanager
    async def loop_watched(self) -> AsyncIterator[None]:
        """Measure in milliseconds how late a task comes that wants to run every two.

        And how late one comes in an idle process: so much is for want of processors.
        """
        late: list[float] = []
        ticking = asyncio.create_task(tick(late))
        gc.collect()
        with _idle_process() as idle:
            await asyncio.sleep(0.05)
            late.clear()  # what came late of the collection is nobody's stall
            start = time.perf_counter()
            try:
                yield
            finally:
                self.measured["seconds"] = time.perf_counter() - start
                await asyncio.sleep(0.01)
                ticking.cancel()
        self.measured |= summary(late)
        self.measured |= {f"idle_{name}": value for name, value in idle.items()}

    def contents(self) -> list[bytes]:
        """Return different contents that begin like a PDF and go on at random."""
        noise = noise_of(self.size)
        return [numbered(number, noise) for number in range(self.n)]

    def large_file(self) -> Path:
        """Return a file of the round's size, written once for all rounds."""
        return _large_file(self.folder.parent, self.size)

    def engine(self) -> Engine:
        return engine_at(f"sqlite:///{self.folder}/rows.sqlite")

    def async_engine(self) -> AsyncEngine:
        engine = create_async_engine(f"sqlite+aiosqlite:///{self.folder}/rows.sqlite")
        _without_waiting_for_the_disk(engine.sync_engine)
        return engine


Work = Callable[[Round], None]
"""What a contender returns when it is prepared: one round of the work."""


def engine_at(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        _without_waiting_for_the_disk(engine)
    return engine


def multiply(engine: Engine, table: str, columns: str, n: int) -> None:
    """Make ``n`` rows of the one row in a table."""
    copy = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} LIMIT "  # noqa: S608
    with engine.begin() as connection:
        rows = 1
        while rows < n:
            more = min(rows, n - rows)
            connection.exec_driver_sql(f"{copy}{more}")
            rows += more


def noise_of(size: int) -> bytes:
    """Return the same random bytes in every process."""
    block = hashlib.shake_128(b"noise").digest(min(size, 1_000_000))
    return (block * (size // max(len(block), 1) + 1))[:size]


def numbered(number: int, noise: bytes) -> bytes:
    head = SIGNATURE + number.to_bytes(8, "big")
    return (head + noise[len(head) :])[: len(noise)]


def _large_file(folder: Path, size: int) -> Path:
    path = folder / f"content-{size}"
    if not path.exists():
        noise = noise_of(min(size, 1_000_000))
        with path.open("wb") as file:
            file.write(SIGNATURE[:size])
            while (left := size - file.tell()) > 0:
                file.write(noise[:left])
    return path


def _without_waiting_for_the_disk(engine: Engine) -> None:
    """Let SQLite not sync: how long the disk takes is the same for all, and only adds noise."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()


@contextmanager
def _idle_process() -> Iterator[dict[str, float]]:
    """Let a process tick beside; what it has to tell is there at the end of the block."""
    told: dict[str, float] = {}
    command = [sys.executable, "-m", "benchmarks.ticker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as idle:
        assert idle.stdout is not None
        idle.stdout.readline()
        yield told
        told.update(json.loads(idle.communicate("\n")[0]))


def _resident(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/self/status has no {name}")
