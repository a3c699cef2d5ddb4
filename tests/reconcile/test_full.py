"""The full pass compares both directions, in little memory, and goes on where it stood."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, MetaData, Table, insert
from sqlalchemy.orm import Session
from uuid_utils import uuid4

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import compare, status, sweep
from sqlalchemy_file.reconcile.full import Merger
from sqlalchemy_file.storage.common.keys import in_order
from sqlalchemy_file.storage.common.protocol import ObjectInfo
from tests.reconcile.accounts import account
from tests.reconcile.helpers import Base, Paper, add, kinds, raw_delete, rows, store
from tests.stores import add_memory, keys

DAY = timedelta(days=1)


def test_both_directions_are_reported(engine: Engine) -> None:
    storage = add_memory()
    paths = add(engine, 5)
    storage.delete([paths[2].removeprefix("main/")])
    lost = [store(storage, age=DAY), store(storage, key=str(uuid4()), age=DAY)]
    store(storage, key="readme.txt", age=DAY)
    store(storage, age=timedelta(minutes=1))
    found = list(compare(engine, Base.metadata))
    assert kinds(found) == {"dangling": 1, "orphan": 2, "foreign": 1}
    assert {each.path for each in found if each.kind == "dangling"} == {paths[2]}
    assert {each.key for each in found if each.kind == "orphan"} == set(lost)


def test_only_orphans_are_deleted(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 3)
    store(storage, key=str(uuid4()), age=DAY)
    store(storage, key="readme.txt", age=DAY)
    assert kinds(compare(engine, Base.metadata, delete=True)) == {"deleted": 1, "foreign": 1}
    assert [f"main/{key}" for key in keys(storage) if key != "readme.txt"] == sorted(rows(engine))


def test_lists_and_several_rows_are_compared(engine: Engine) -> None:
    storage = add_memory()
    with Session(engine) as session:
        pages = [File(b"1"), File(b"2"), File(b"3")]
        session.add_all([Paper(id=1, pages=pages), Paper(id=2, body=File(b"4"))])
        session.commit()
    assert list(compare(engine, Base.metadata)) == []
    raw_delete(engine, "id = 1")
    assert list(compare(engine, Base.metadata)) == []  # younger than the grace period
    assert len(keys(storage)) == 4


def test_what_changed_while_it_was_compared_is_not_reported(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = add_memory()
    (path,) = add(engine, 1)
    listed = storage.list

    def delete_meanwhile(prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        raw_delete(engine)
        storage.delete([path.removeprefix("main/")])
        return listed(prefix, start_after)

    monkeypatch.setattr(storage, "list", delete_meanwhile)
    assert list(compare(engine, Base.metadata)) == []


def test_an_interrupted_pass_goes_on_where_it_stood(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = add_memory()
    lost = sorted(store(storage, key=str(uuid4()), age=DAY) for _ in range(30))
    monkeypatch.setattr("sqlalchemy_file.reconcile.full.BATCH_SIZE", 10)
    first = compare(engine, Base.metadata)
    begun = [next(first).key for _ in range(15)]
    first.close()
    rest = [each.key for each in compare(engine, Base.metadata)]
    assert sorted({*begun, *rest}) == lost
    assert len(rest) == 20
    assert len(list(compare(engine, Base.metadata))) == 30  # complete: from the start again


@pytest.mark.parametrize("other", ["a report", "another storage", "long ago"])
def test_a_pass_does_not_go_on_from_one_of_another_kind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    storage = add_memory()
    add_memory("second")
    for _ in range(30):
        store(storage, key=str(uuid4()), age=DAY)
    monkeypatch.setattr("sqlalchemy_file.reconcile.full.BATCH_SIZE", 10)
    options = {"delete": other == "a report"}
    storages = ["main"] if other == "another storage" else None
    first = compare(engine, Base.metadata, storages=storages)
    for _ in range(15):
        next(first)
    first.close()
    if other == "long ago":
        monkeypatch.setattr("sqlalchemy_file.ledger.state._POSITION_KEPT", -1)
    assert len(list(compare(engine, Base.metadata, **options))) == 30


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_an_account_that_may_only_read_can_compare(engine: Engine) -> None:
    storage = add_memory()
    (path,) = add(engine, 1)
    storage.delete([path.removeprefix("main/")])
    where = "*.*" if engine.dialect.name == "mariadb" else "ALL TABLES IN SCHEMA public"
    with account(engine, f"GRANT SELECT ON {where} TO {{name}}") as reader:
        assert kinds(compare(reader, Base.metadata)) == {"dangling": 1}
        assert list(sweep(reader, Base.metadata)) == []
        assert status(reader, Base.metadata).storages


def test_it_can_begin_anew(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = add_memory()
    for _ in range(30):
        store(storage, key=str(uuid4()), age=DAY)
    monkeypatch.setattr("sqlalchemy_file.reconcile.full.BATCH_SIZE", 10)
    first = compare(engine, Base.metadata)
    for _ in range(15):
        next(first)
    first.close()
    assert len(list(compare(engine, Base.metadata, restart=True))) == 30


def test_all_rows_are_read_however_many(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    add_memory()
    add(engine, 23)
    monkeypatch.setattr("sqlalchemy_file.reconcile.references._ROWS_AT_ONCE", 5)
    assert list(compare(engine, Base.metadata)) == []


def test_rows_without_a_primary_key_are_compared(engine: Engine) -> None:
    metadata = MetaData()
    plain = Table("reconciled_plain", metadata, Column("body", FileField(upload_storage="main")))
    Ledger(metadata)
    storage = add_memory()
    metadata.create_all(engine)
    try:
        with engine.begin() as connection:
            connection.execute(insert(plain).values(body=File(b"body")))
        lost = store(storage, age=DAY)
        assert [each.key for each in compare(engine, metadata)] == [lost]
    finally:
        metadata.drop_all(engine)


def test_a_storage_that_is_given_twice_is_compared_once(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 1)
    store(storage, age=DAY)
    assert kinds(compare(engine, Base.metadata, storages=["main", "main"])) == {"orphan": 1}


def merged(named: Iterable[str], stored: Iterable[str], size: int = 3) -> list[tuple[str, bool]]:
    merger = Merger(sorted(named))
    objects = [ObjectInfo(key=key, size=0) for key in sorted(stored)]
    found = []
    for start in range(0, len(objects), size):
        found += merger.against(objects[start : start + size])
    found += merger.rest()
    return [(key, info is not None) for key, info in found]


KEYS = st.lists(st.text("ab/.-", max_size=4), max_size=12)


@given(KEYS, KEYS, st.integers(1, 5))
def test_merging_finds_the_difference_of_two_sets(
    named: list[str], stored: list[str], size: int
) -> None:
    found = merged(named, set(stored), size)
    assert sorted(found) == sorted(
        [(key, True) for key in set(stored) - set(named)]
        + [(key, False) for key in set(named) - set(stored)]
    )


def test_files_of_metadata_are_compared_with_their_objects() -> None:
    stored = ["a", "a-b", "a.metadata.json", "c.metadata.json"]
    assert merged(["a", "a-b"], stored) == [("c.metadata.json", True)]


@given(st.lists(st.text(max_size=5)), st.integers(1, 7))
def test_sorting_through_a_file_sorts(items: list[str], run_size: int) -> None:
    assert list(in_order(items, run_size=run_size)) == sorted(items)


def test_sorting_a_lot_takes_little_memory() -> None:
    count = 300_000
    tracemalloc.start()
    ordered = in_order((str(uuid4()) for _ in range(count)), run_size=10_000)
    last, seen = "", 0
    for item in ordered:
        assert last <= item
        last, seen = item, seen + 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == count
    assert peak < 8_000_000


def test_what_was_found_is_told_to_whoever_watches(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    storage = add_memory()
    (path,) = add(engine, 1)
    storage.delete([path.removeprefix("main/")])
    store(storage, age=DAY)
    with caplog.at_level("INFO", "sqlalchemy_file"):
        list(compare(engine, Base.metadata))
        status(engine, Base.metadata)
    told = {
        record.__dict__["operation"]: record.__dict__["count"]
        for record in caplog.records
        if record.__dict__.get("event") == "count"
    }
    expected = {"pending releases": 0, "failed deletions": 0, "orphans": 1, "dangling": 1}
    assert told == expected
