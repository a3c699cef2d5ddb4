"""Where the time of a case goes: ``python -m benchmarks.profiling save_local [contender]``.

One round of a case that needs no server, under the standard library's profiler, summed up by the
part of the code that was at work. The profiler makes calls in Python dearer than they are: read
the shares, not the times.
"""

from __future__ import annotations

import cProfile
import importlib
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.kit import Round, Setting

PARTS = ("storage", "tracking", "detection", "content", "hashing", "observing", "transfer")
MEMORY = Path("/dev/shm")  # noqa: S108  where no disk is waited for


def main() -> None:
    name, contender = [*sys.argv[1:], "ours"][:2]
    case = next(case for case in CASES if case.name == name)
    module = importlib.import_module(f"benchmarks.contenders.{contender}")
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        setting = Setting(folder, case.n, case.size, 1, dict(case.options))
        work = getattr(module, case.work)(setting)
        work(setting.round(0))
        profiler = cProfile.Profile(time.thread_time)  # what other programs do does not count
        with _profiled(profiler):
            work(setting.round(1))
    _print(profiler, case.n)


@contextmanager
def _profiled(profiler: cProfile.Profile) -> Iterator[None]:
    """Let the profiler see just what is timed."""
    kind: Any = Round
    timed, processor_timed = kind.timed, kind.processor_timed

    @contextmanager
    def watched(this: Round) -> Iterator[None]:
        profiler.enable()
        yield
        profiler.disable()

    kind.timed = kind.processor_timed = watched
    try:
        yield
    finally:
        kind.timed, kind.processor_timed = timed, processor_timed


def _print(profiler: cProfile.Profile, n: int) -> None:
    times: defaultdict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for entry in profiler.getstats():
        part = _part_of(entry.code)
        times[part] += entry.inlinetime
        calls[part] += entry.callcount
    total = sum(times.values())
    print("| at work | share | calls a file |\n| --- | --- | --- |")
    for part, seconds in sorted(times.items(), key=lambda item: -item[1]):
        if seconds / total >= 0.005:
            print(f"| {part} | {seconds / total:.0%} | {calls[part] / n:.0f} |")


def _part_of(code: Any) -> str:
    if isinstance(code, str):
        return _builtin(code)
    place = code.co_filename.replace("\\", "/")
    if "/sqlalchemy_file/" in place:
        inner = place.rpartition("/sqlalchemy_file/")[2].partition("/")[0].removesuffix(".py")
        return f"ours: {inner}" if inner in PARTS else "ours: the file and its record"
    if "/sqlalchemy/" in place:
        return "SQLAlchemy"
    return "the benchmark" if "/benchmarks/" in place else "standard library, in Python"


def _builtin(name: str) -> str:
    if "posix" in name or "_io." in name:
        return "files and system calls"
    return "SHA-256" if "hashlib" in name or "HASH" in name else "built-in functions"


if __name__ == "__main__":
    main()
