"""The disk: bytes are on it before the COMMIT is sent, and a full one loses nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import StorageError

class Base(DeclarativeBase):
    pass

class Paper(Base):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File] = mapped_column(FileField())

database, objects = sys.argv[1:]
StorageManager.add_storage("main", f"file://{objects}", create=True)
engine = create_engine(f"sqlite:///{database}")
Base.metadata.create_all(engine)

def listed():
    return sorted(os.listdir(objects))
"""

STORE = """
event.listen(engine, "commit", lambda connection: os.write(1, b"COMMIT is sent"))
with Session(engine) as session:
    session.add_all([Paper(body=File(b"x" * 10_000)) for _ in range(3)])
    session.commit()
"""

FILL = """
with Session(engine) as session:
    session.add(Paper(body=File(b"kept")))
    session.commit()
before = listed()
for size in (3_000_000, 900_000):
    with Session(engine) as session:
        session.add_all([Paper(body=File(b"x" * size)), Paper(body=File(b"y" * size))])
        try:
            session.commit()
        except StorageError as error:
            assert "No space left" in str(error), error
        else:
            raise AssertionError("more was stored than the disk holds")
    assert listed() == before, listed()
with Session(engine) as session:
    session.query(Paper).one().body = File(b"new")
    session.commit()
    assert session.query(Paper).one().body.file.read() == b"new"
assert len(listed()) == len(before)
"""


def run(tmp_path: Path, program: str, *before: str) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    command = [sys.executable, "-c", PROGRAM + program, str(tmp_path / "x.db"), str(folder)]
    done = subprocess.run(
        [*before, *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def require(program: str) -> None:
    """Skip where a tool is not installed; in CI, where nothing may be skipped, fail."""
    if shutil.which(program) is None:
        reason = f"{program} is not installed: `make services` installs it"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def test_files_and_their_folder_are_synced_before_the_commit(tmp_path: Path) -> None:
    require("strace")
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,write"
    run(tmp_path, STORE, "strace", "-f", "-y", "-e", calls, "-o", str(trace))
    lines = trace.read_text().splitlines()
    commit = next(number for number, line in enumerate(lines) if "COMMIT is sent" in line)
    folder = re.escape(str(tmp_path / "objects"))
    files = [n for n, line in enumerate(lines) if re.search(rf"sync\(\d+<{folder}/[^>]+>", line)]
    folders = [n for n, line in enumerate(lines) if re.search(rf"sync\(\d+<{folder}>", line)]
    assert len(files) == 3
    assert folders, "the folder was not synced"
    assert max(files) < max(folders) < commit


def test_many_files_are_linked_and_synced_together_before_the_commit(tmp_path: Path) -> None:
    require("strace")
    trace = tmp_path / "trace"
    calls = "trace=fsync,linkat,write"
    many = STORE.replace("range(3)", "range(50)")
    run(tmp_path, many, "strace", "-f", "-y", "-e", calls, "-o", str(trace))
    lines = trace.read_text().splitlines()
    commit = next(number for number, line in enumerate(lines) if "COMMIT is sent" in line)
    folder = re.escape(str(tmp_path / "objects"))
    links = [number for number, line in enumerate(lines) if "linkat(" in line]
    files = [n for n, line in enumerate(lines) if re.search(rf"fsync\(\d+<{folder}/[^>]+>", line)]
    assert len(links) >= 50
    assert len(files) == 50
    assert max(links) < min(files) <= max(files) < commit


def test_a_full_disk_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    require("unshare")
    small = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    run(
        tmp_path,
        FILL,
        *("unshare", "--map-root-user", "--mount"),
        *("sh", "-c", small, str(tmp_path / "objects")),
    )
