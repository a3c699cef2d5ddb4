"""A storage forgets a database that is gone: that one only, and no other of the same ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import LedgerError, StorageError
from sqlalchemy_file.ledger.identity import identity
from sqlalchemy_file.reconcile import forget, status, sweep
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.storage.owners import owners_of
from tests.reconcile.helpers import age, begin_grace_anew
from tests.reconcile.others import Note, OtherBase
from tests.services.databases import database_on
from tests.stores import add_memory, contents

from .helpers import Base, Paper, add, kinds, ledger


@pytest.fixture
def clone(one: Engine, tmp_path: Path) -> Iterator[Engine]:
    """A copy of a database, whose row names the object of the original's."""
    add_memory()
    add(one, 1)
    one.dispose()
    shutil.copy(tmp_path / "one.db", tmp_path / "clone.db")
    engine = create_engine(f"sqlite:///{tmp_path}/clone.db")
    with Session(engine) as session:
        session.add(Paper(id=2, body=File(b"clone's")))
        session.commit()
    yield engine
    engine.dispose()


def signature(engine: Engine) -> str:
    with engine.connect() as connection:
        found = identity(connection, ledger)
    assert found
    return f"{found.id}-{found.epoch:08x}"


def test_a_ledger_that_is_gone_is_forgotten(one: Engine, other: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    StorageManager.add_storage("main", folder.as_uri())
    with Session(other) as session:
        session.add(Note(id=1, body=File(b"theirs")))
        session.commit()
    (owner,) = owners_of(StorageManager.storage())
    other.dispose()
    (tmp_path / "other.db").unlink()
    add(one, 1)
    begin_grace_anew(one)
    with pytest.raises(LedgerError, match=owner.signature):
        list(sweep(one, Base.metadata, delete=True, grace=0))
    forget(one, Base.metadata, "main", owner.signature)
    assert kinds(sweep(one, Base.metadata, delete=True, grace=0)) == {"deleted": 1}
    with pytest.raises(LedgerError, match="has no signature"):
        forget(one, Base.metadata, "main", owner.signature)


def test_forgetting_a_clone_leaves_its_original_to_be_given(
    one: Engine, clone: Engine, other: Engine, tmp_path: Path
) -> None:
    storage = StorageManager.storage("main")
    with Session(other) as session:
        session.add(Note(id=1, body=File(b"other's")))
        session.commit()
    original, copied = signature(one), signature(clone)
    clone.dispose()
    (tmp_path / "clone.db").unlink()
    age(storage)
    with pytest.raises(LedgerError, match="also holds the objects of") as refused:
        list(sweep(other, OtherBase.metadata, delete=True))
    assert original in str(refused.value)
    assert copied in str(refused.value)
    forget(other, OtherBase.metadata, "main", copied)
    with pytest.raises(LedgerError, match=original):
        list(sweep(other, OtherBase.metadata, delete=True))
    both = [(one, Base.metadata)]
    found = sweep(other, OtherBase.metadata, delete=True, others=both)
    assert kinds(found) == {"deleted": 1}
    assert contents(storage) == [b"body", b"other's"]


@pytest.mark.parametrize("given", ["itself", "its copy", "another program", "both"])
def test_a_database_that_is_there_is_not_forgotten(
    one: Engine, clone: Engine, other: Engine, given: str
) -> None:
    its = one, Base.metadata
    bind, metadata = {"itself": its, "its copy": (clone, Base.metadata)}.get(
        given, (other, OtherBase.metadata)
    )
    with pytest.raises(LedgerError, match=r"still exists|is not gone"):
        others = [its] if given == "both" else []
        forget(bind, metadata, "main", signature(one), others=others)
    assert signature(one) in {each.signature for each in owners_of(StorageManager.storage())}


@contextmanager
def schema_on(engine: Engine) -> Iterator[Engine]:
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA gone_tenant"))
    yield engine.execution_options(schema_translate_map={None: "gone_tenant"})
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA gone_tenant CASCADE"))


@contextmanager
def another_database_on(engine: Engine) -> Iterator[Engine]:
    with database_on(
        engine.url.render_as_string(hide_password=False), engine.url.drivername
    ) as server:
        yield create_engine(server.url, poolclass=NullPool)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql", schema_on),
        ("postgresql", another_database_on),
        ("mariadb", another_database_on),
    ],
    indirect=["url"],
)
def test_a_database_of_the_same_server_is_forgotten_once_it_is_gone(
    engine: Engine, place: Callable[[Engine], AbstractContextManager[Engine]]
) -> None:
    add_memory()
    with place(engine) as tenant:
        Base.metadata.create_all(tenant)
        add(tenant, 1)
        gone = signature(tenant)
        with pytest.raises(LedgerError, match="still exists"):
            forget(engine, Base.metadata, "main", gone)
    forget(engine, Base.metadata, "main", gone)
    assert owners_of(StorageManager.storage()) == []


def test_the_status_names_who_has_signed_a_storage(one: Engine, clone: Engine) -> None:
    (storage,) = status(one, Base.metadata).storages
    told = sorted(each.partition(" ")[0] for each in storage.signatures)
    assert told == sorted([signature(one), signature(clone)])


def test_a_storage_that_cannot_be_asked_keeps_no_status_from_being_shown(one: Engine) -> None:
    class Away(MemoryStorage):
        def notes(self) -> dict[str, bytes]:
            raise StorageError("nobody answers")

    StorageManager.add_storage("main", Away())
    found = status(one, Base.metadata)
    assert [each.signatures for each in found.storages] == [None]
    assert found.is_clean
