"""What writers, the drain and the sweep agree on, in each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, MetaData, create_engine, make_url, text

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.identity import database_id
from sqlalchemy_file.ledger.state import (
    Checkpoint,
    checkpoint,
    grace,
    set_checkpoint,
    set_grace,
    sweeping_grace,
)
from tests.databases import tables_on

metadata = MetaData()
ledger = Ledger(metadata)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with tables_on(url, metadata) as engine:
        yield engine


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def test_the_grace_period_is_an_hour_until_somebody_sets_another(connection: Connection) -> None:
    assert grace(connection, ledger) == 3600
    set_grace(connection, ledger, 7200)
    assert grace(connection, ledger) == 7200


def test_a_ledger_changes_its_own_grace_period(connection: Connection) -> None:
    ledger.set_grace(connection, 7200)
    assert grace(connection, ledger) == 7200


def test_a_metadata_has_one_ledger() -> None:
    with pytest.raises(ValueError, match="has a ledger already"):
        Ledger(metadata)


def test_a_longer_grace_counts_for_the_sweep_at_once(connection: Connection) -> None:
    set_grace(connection, ledger, 7200)
    assert sweeping_grace(connection, ledger) == 7200


def test_a_shorter_grace_counts_for_the_sweep_once_nobody_goes_by_the_longer(
    connection: Connection,
) -> None:
    set_grace(connection, ledger, 60)
    assert grace(connection, ledger) == 60
    assert sweeping_grace(connection, ledger) == 3600
    set_grace(connection, ledger, 30)  # the longest of them still counts
    assert sweeping_grace(connection, ledger) == 3600


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_grace_that_is_no_span_of_time_is_refused(connection: Connection, seconds: float) -> None:
    with pytest.raises(ValueError, match="the grace period is a number of seconds"):
        set_grace(connection, ledger, seconds)


def test_checkpoints_are_kept_for_each_storage(connection: Connection) -> None:
    assert checkpoint(connection, ledger, "main") is None
    database = database_id(connection, ledger)
    swept = set_checkpoint(connection, ledger, "main", 1234, database)
    set_checkpoint(connection, ledger, "other", 1, database)
    assert checkpoint(connection, ledger, "main") == swept
    assert swept == Checkpoint(1234, swept.at, database)


def test_a_database_is_known_again(engine: Engine) -> None:
    with engine.begin() as connection:
        first = database_id(connection, ledger)
    engine.dispose()
    with engine.begin() as connection:
        assert database_id(connection, ledger) == first


def test_a_copy_of_an_sqlite_database_is_another_one(tmp_path: Path) -> None:
    names = []
    for name in ("original.db", "copy.db"):
        if names:
            (tmp_path / name).write_bytes((tmp_path / "original.db").read_bytes())
        engine = create_engine(f"sqlite:///{tmp_path / name}")
        metadata.create_all(engine)
        with engine.begin() as connection:
            names.append(database_id(connection, ledger))
        engine.dispose()
    assert names[0] != names[1]
    assert names[0].partition("@")[0] == names[1].partition("@")[0]


def test_a_role_without_rights_can_tell_which_database_it_is(postgresql_server: str) -> None:
    engine = create_engine(postgresql_server)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE modest LOGIN PASSWORD 'modest'"))
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest"))
    url = make_url(postgresql_server).set(username="modest", password="modest")
    modest = create_engine(url)
    with modest.begin() as connection:
        assert database_id(connection, ledger)
    modest.dispose()
    metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY modest"))
        connection.execute(text("DROP ROLE modest"))
    engine.dispose()
