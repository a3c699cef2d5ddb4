"""The same writer on release 0.7.0, killed in the same way: what this harness finds there.

Run it as a module, with the Python of an environment that has release 0.7.0 as its argument:
``python -m tests.crash.old_release PYTHON``. Exits with 1 if it finds nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .scene import ROOT, moments

KILLS = 100

WRITER = """
import sys
from libcloud.storage.drivers.local import LocalStorageDriver
from sqlalchemy import Column, Integer, create_engine
from sqlalchemy.orm import declarative_base
from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage import StorageManager
from writer import Writer

database, folder, seed = sys.argv[1:]
Base = declarative_base()

class Page(Base):
    __tablename__ = "crash_page"
    id = Column(Integer, primary_key=True)
    cover = Column(FileField)
    pictures = Column(FileField(multiple=True))

driver = LocalStorageDriver(folder)
StorageManager.add_storage("main", driver.get_container("objects"))
engine = create_engine("sqlite:///" + database)
Base.metadata.create_all(engine)
print("ready", flush=True)
Writer(engine, Page, File, int(seed), forgiven=(Exception,)).run()
"""


def main(python: str) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "objects").mkdir()
        database = folder / "crash.db"
        for seed, moment in moments(seed=1, count=KILLS, longest=0.4):
            _kill_a_writer(python, [str(database), name, str(seed)], moment)
        named = set(_named(database))
        objects = {path.name for path in (folder / "objects").iterdir()}
        objects = {key for key in objects if not key.endswith(".metadata.json")}
    missing, over = len(named - objects), len(objects - named)
    print(f"{KILLS} kills: {len(named)} objects named, {missing} missing, {over} left over")  # noqa: T201
    return 0 if missing or over else 1


def _kill_a_writer(python: str, arguments: list[str], moment: float) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "crash")}
    command = [python, "-c", WRITER, *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(moment)
        writer.kill()
    assert writer.returncode == -signal.SIGKILL, "the writer ended by itself"


def _named(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        values = connection.execute(_VALUES).fetchall()
        records = [json.loads(value) for (value,) in values if value]
    flat = [each for one in records if one for each in (one if isinstance(one, list) else [one])]
    return [path.partition("/")[2] for record in flat for path in record["files"]]


_VALUES = "SELECT cover FROM crash_page UNION ALL SELECT pictures FROM crash_page"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
