"""Who a ledger is: which database, in which epoch, wherever it is copied or moved to."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData, create_engine, make_url, text

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger import identity as identities
from sqlalchemy_file.ledger.identity import (
    Home,
    Identity,
    Site,
    at_site,
    database_id,
    identity,
    record_home,
    site_of,
)
from sqlalchemy_file.ledger.state import checkpoint, set_checkpoint
from sqlalchemy_file.values.records import epoch_of, fresh_key
from tests.databases import postgresql_only, tables_on
from tests.ledger.helpers import move

metadata = MetaData()
ledger = Ledger(metadata)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with tables_on(url, metadata) as engine:
        yield engine


def read(engine: Engine) -> Identity:
    with engine.connect() as connection:
        found = identity(connection, ledger)
    assert found is not None
    return found


def test_a_ledger_is_known_from_the_creation_of_its_tables(engine: Engine) -> None:
    first = read(engine)
    engine.dispose()
    metadata.create_all(engine)
    assert read(engine) == first
    assert first.epochs == {first.epoch}
    assert first.earlier == set()


def test_two_databases_have_ids_and_epochs_of_their_own(tmp_path: Path) -> None:
    found = []
    for name in ("a.db", "b.db"):
        engine = create_engine(f"sqlite:///{tmp_path / name}")
        metadata.create_all(engine)
        found.append(read(engine))
        engine.dispose()
    assert found[0].id != found[1].id
    assert found[0].epoch != found[1].epoch


def test_a_database_that_is_elsewhere_begins_an_epoch_on_which_all_agree(engine: Engine) -> None:
    before = read(engine)
    move(engine)
    seen = read(engine)
    assert seen.id == before.id
    assert seen.epoch not in before.epochs
    assert seen.earlier == before.epochs
    with engine.begin() as connection:
        assert record_home(connection, ledger) == seen
    assert read(engine) == seen


def test_what_was_stored_elsewhere_may_be_deleted_once_the_place_is_taken(engine: Engine) -> None:
    old = fresh_key(epoch=read(engine).epoch)
    move(engine)
    for each in (old, "chosen/by/a program", fresh_key()):
        assert not read(engine).may_delete(each)
    assert read(engine).may_delete(fresh_key(epoch=read(engine).epoch))
    with engine.begin() as connection:
        set_checkpoint(connection, ledger, "main", 1, database_id(connection, ledger))
        record_home(connection, ledger, adopt=True)
        assert checkpoint(connection, ledger, "main") is None, "what was left is looked at again"
    for each in (old, "chosen/by/a program", fresh_key()):
        assert read(engine).may_delete(each)
    assert read(engine).earlier == set()


def test_a_copy_of_an_sqlite_file_is_another_database_and_its_original_stays(
    tmp_path: Path,
) -> None:
    first = create_engine(f"sqlite:///{tmp_path}/first.db")
    metadata.create_all(first)
    before = read(first)
    first.dispose()
    shutil.copy(tmp_path / "first.db", tmp_path / "copy.db")
    copy = create_engine(f"sqlite:///{tmp_path}/copy.db")
    assert read(copy).earlier == before.epochs
    assert read(first) == before
    copy.dispose()
    first.dispose()


def test_a_copy_that_replaces_an_sqlite_file_is_told_where_its_inode_is_used_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "first.db"
    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    before = read(engine)
    engine.dispose()
    if identities._generation(str(path)) is None:
        pytest.skip("this file system does not tell generations")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert read(engine).earlier == before.epochs
    engine.dispose()


def test_a_machine_without_an_id_is_known_by_its_network_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read_text(path: Path) -> str:
        if "dbus" in str(path):
            raise FileNotFoundError(path)
        return "\n"  # as images of containers have it

    monkeypatch.setattr(Path, "read_text", read_text)
    assert identities.machine.__wrapped__() == f"{uuid.getnode():x}"


def test_an_sqlite_file_that_is_renamed_is_the_same_database(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/first.db")
    metadata.create_all(engine)
    before = read(engine)
    engine.dispose()
    (tmp_path / "first.db").rename(tmp_path / "second.db")
    renamed = create_engine(f"sqlite:///{tmp_path}/second.db")
    assert read(renamed).epochs == before.epochs
    renamed.dispose()


@postgresql_only
def test_each_way_to_a_server_leads_to_the_same_database(engine: Engine) -> None:
    with engine.begin() as connection:
        site = site_of(connection)
    other = Site(site.server, "app at 10.0.0.9:5432", frozenset(["app at 10.0.0.9:5432"]))
    since = frozenset(mark for mark in site.marks if mark.startswith("since "))
    assert len(since) == 1
    home = at_site(None, site, "id")
    through = at_site(home, Site(site.server, other.name, other.marks | since), "id")
    assert through.epochs == home.epochs
    assert other.marks < through.marks
    restarted = Site(site.server, other.name, other.marks | {"since 1"})
    assert at_site(through, restarted, "id").epochs == home.epochs
    assert at_site(home, restarted, "id").epochs != home.epochs, "another address, another start"


@postgresql_only
def test_a_role_without_rights_can_tell_who_a_ledger_is(
    engine: Engine, postgresql_server: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE humble LOGIN PASSWORD 'humble'"))
        connection.execute(text("GRANT SELECT ON sqlalchemy_file_state TO humble"))
    humble = create_engine(make_url(postgresql_server).set(username="humble", password="humble"))
    try:
        assert read(humble) == read(engine)
    finally:
        humble.dispose()
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY humble"))
            connection.execute(text("DROP ROLE humble"))


def test_a_home_survives_being_written_down() -> None:
    home = Home("server", frozenset(["a", "b"]), (1, 0xFFFFFFFF), frozenset([7]))
    assert Home.load(home.dump()) == home


def test_a_key_carries_the_epoch_and_stays_a_uuid_in_order() -> None:
    keys = [fresh_key("folder/x", epoch=0xDEADBEEF) for _ in range(1000)]
    assert sorted(set(keys)) == keys
    assert {epoch_of(key) for key in keys} == {0xDEADBEEF}
    assert all(key.startswith("folder/") and key[21] == "7" for key in keys)


def test_a_key_beside_another_one_has_its_epoch() -> None:
    assert epoch_of(fresh_key(f"folder/{fresh_key(epoch=5)}")) == 5
    assert epoch_of(f"folder/{fresh_key(epoch=5)}.webp") == 5


@pytest.mark.parametrize("key", ["", "a", "018f0000-0000-4000-8000-000000000000", "7/0000beef"])
def test_other_keys_tell_no_epoch(key: str) -> None:
    assert epoch_of(key) is None
