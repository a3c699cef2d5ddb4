"""Each kind of work does what the table says it does, on a small scale."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases import CASES, Case
from benchmarks.contenders import floor, ours
from benchmarks.kit import Round, Setting
from benchmarks.measuring import measure
from benchmarks.servers import Servers
from tests.services import ceph

CONTENDERS = {"ours": ours, "floor": floor}
GROUPS = {"main", "single", "stall", "served", "ledger"}
SMALL = [
    (case, name)
    for case in CASES
    for name in ("ours", "floor", "with the ledger")
    if name in case.entries and not case.needs and case.group in GROUPS
]


def run(case: Case, name: str, folder: Path, facts: dict[str, Any] | None = None) -> Round:
    """Do the work of one case once, with three files, and return its round."""
    entry = case.entries[name]
    options = {**case.options, **(facts or {}), **entry.options}
    if "large" in options:
        options["large"] = 300_000
    n = min(case.n, 3)
    setting = Setting(str(folder), n, min(case.size, 300_000), rounds=1, options=options)
    work = getattr(CONTENDERS[entry.module], case.work)(setting)
    this = setting.round(1)
    work(this)
    return this


@pytest.mark.parametrize(
    ("case", "name"), SMALL, ids=[f"{case.name}-{name}" for case, name in SMALL]
)
def test_every_local_case_runs_and_is_measured(case: Case, name: str, tmp_path: Path) -> None:
    assert run(case, name, tmp_path).measured[case.measure] > 0


@pytest.mark.parametrize("name", ["ours", "floor"])
def test_what_is_saved_is_there(name: str, tmp_path: Path) -> None:
    this = run(_case("save_local"), name, tmp_path)
    files = sorted(path.read_bytes() for path in (this.folder / "files").iterdir())
    assert files == this.contents()
    assert _rows(this) == 3


@pytest.mark.parametrize("name", ["ours", "floor"])
def test_what_is_deleted_is_gone(name: str, tmp_path: Path) -> None:
    this = run(_case("delete_local"), name, tmp_path)
    assert list((this.folder / "files").iterdir()) == []
    assert _rows(this) == 0


@pytest.mark.parametrize("case_name", ["s3_save_far", "s3_delete_libcloud_far"])
def test_a_far_bucket_takes_the_time_of_a_request_at_least(
    case_name: str, tmp_path: Path, s3_server: ceph.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = f"{s3_server.access_key}:{s3_server.secret_key}"
    monkeypatch.setenv(ceph.ENVIRONMENT, f"http://{keys}@{s3_server.host}:{s3_server.port}")
    with Servers() as servers:
        outcome = measure(_case(case_name), tmp_path, servers.bucket(far=True), rounds=1, part=100)
    assert outcome.typical("ours", "seconds") * outcome.files["ours"] >= 0.02
    assert outcome.typical("floor", "seconds") * outcome.files["floor"] >= 0.02


def test_rows_are_loaded_from_a_table_of_that_many(tmp_path: Path) -> None:
    run(_case("load_sqlite"), "ours", tmp_path)
    connection = sqlite3.connect(tmp_path / "rows.sqlite")
    assert connection.execute("SELECT count(*) FROM ours").fetchone() == (3,)
    connection.close()


def test_the_ledger_watches_only_the_table_that_it_is_measured_with(tmp_path: Path) -> None:
    case, triggers = _case("ledger_released"), {}
    for name in case.entries:
        this = run(case, name, tmp_path / name)
        connection = sqlite3.connect(this.folder / "rows.sqlite")
        query = "SELECT count(*) FROM sqlite_master WHERE type='trigger'"
        (triggers[name],) = connection.execute(query).fetchone()
        connection.close()
    assert triggers["ours"] == 0
    assert triggers["with the ledger"] > 0


def test_a_large_file_is_copied_whole(tmp_path: Path) -> None:
    this = run(_case("stream_local"), "ours", tmp_path)
    (copy,) = (this.folder / "files").iterdir()
    assert copy.read_bytes() == this.large_file().read_bytes()
    assert copy.stat().st_size == 300_000


def _case(name: str) -> Case:
    case = next(case for case in CASES if case.name == name)
    mine = {one: entry for one, entry in case.entries.items() if entry.module in CONTENDERS}
    return replace(case, entries=mine)


def _rows(this: Round) -> int:
    connection = sqlite3.connect(this.folder / "rows.sqlite")
    (table,) = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchone()
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(count)
