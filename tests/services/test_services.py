"""The servers of the tests themselves: they start, and nothing outlives what started them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.completeness import columns_of
from tests.services import ceph, postgresql, processes
from tests.services.databases import accepts_connections

ROOT = Path(__file__).parents[2]
HOLD_A_SERVER = """
import time
from tests.services import postgresql
with postgresql.running() as server:
    print(server.url, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let servers put their folders where nobody else does, and where their user may look."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_a_server_is_gone_after_its_block(temporary_folder: Path) -> None:
    with postgresql.running() as server:
        assert accepts_connections(server.url)
    assert not accepts_connections(server.url)
    assert list(temporary_folder.iterdir()) == []


def test_two_servers_run_at_once() -> None:
    with postgresql.running() as first, postgresql.running() as second:
        assert sa.make_url(first.url).port != sa.make_url(second.url).port
        assert accepts_connections(first.url)
        assert accepts_connections(second.url)


def test_a_server_dies_with_the_process_that_started_it(temporary_folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        url = holder.stdout.readline().strip()
        assert accepts_connections(url)
        holder.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while accepts_connections(url) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not accepts_connections(url)


def test_what_a_killed_run_left_is_removed_by_the_next(temporary_folder: Path) -> None:
    abandoned = temporary_folder / f"{processes.FOLDER_PREFIX}abandoned"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    with processes.private_folder("next") as folder:
        assert list(temporary_folder.iterdir()) == [folder]


def test_the_folder_of_a_run_that_goes_on_stays(temporary_folder: Path) -> None:
    with processes.private_folder("first") as first:
        os.utime(first, (0, 0))
        with processes.private_folder("second"):
            assert first.is_dir()


def test_a_server_that_fails_says_what_it_printed(temporary_folder: Path) -> None:
    command = ["sh", "-c", "echo the disk is full; exit 3"]
    with (
        processes.private_folder("failing") as folder,
        pytest.raises(processes.ServerFailedError, match=r"exit code: 3(?s:.*)the disk is full"),
        processes.server_process(command, folder, lambda: False),
    ):
        raise AssertionError("it never was ready")


def test_the_workers_of_a_server_are_gone_with_it(temporary_folder: Path) -> None:
    with processes.private_folder("workers") as folder:
        line = folder / "line"
        os.mkfifo(line)
        command = ["sh", "-c", "sleep 600 > line & wait"]
        stop_with = signal.SIGKILL
        with (
            processes.server_process(command, folder, lambda: True, stop_with, environment={}),
            line.open("rb") as end_of_line,
        ):
            still_open, _, _ = select.select([end_of_line], [], [], 0)
            assert still_open == []
            reader = os.dup(end_of_line.fileno())
        closed, _, _ = select.select([reader], [], [], 30)
        os.close(reader)
    assert closed == [reader]


def test_a_developers_own_server_lends_a_database_for_a_while(
    postgresql_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(postgresql.ENVIRONMENT, postgresql_server)
    with postgresql.running() as server:
        assert sa.make_url(server.url).database != sa.make_url(postgresql_server).database
        assert accepts_connections(server.url)
    assert not accepts_connections(server.url)


def test_a_developers_own_s3_server_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ceph.ENVIRONMENT, "http://a%2Fkey:secret@127.0.0.1:9000")
    assert ceph.missing() is None
    with ceph.running() as server:
        assert server == ceph.S3Server("127.0.0.1", 9000, "a/key", "secret")


def test_what_is_missing_names_the_packages_and_the_command() -> None:
    line = processes.missing_programs(["sh", "no-such-program"], "The server", "that-server")
    assert line is not None
    assert "(no-such-program not found)" in line
    assert "make services" in line
    assert "that-server" in line


@pytest.mark.parametrize(
    ("nodeid", "columns"),
    [
        ("test_x[lists/s3_like[postgresql-local]]", {"postgresql", "local"}),
        ("test_x[sqlite-async-memory]", {"sqlite", "memory"}),
        ("test_x", set()),
    ],
)
def test_columns_are_read_from_the_last_brackets(nodeid: str, columns: set[str]) -> None:
    assert columns_of(nodeid) == columns
