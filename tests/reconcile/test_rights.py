"""The rights that the documentation names are those that each kind of work needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from sqlalchemy_file import File
from sqlalchemy_file.ledger import ledger_of
from sqlalchemy_file.ledger.rights import RIGHTS, missing_rights
from sqlalchemy_file.reconcile import drain, status, sweep
from tests.reconcile.accounts import account
from tests.reconcile.helpers import Base, Paper
from tests.stores import add_memory, contents

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "ledger.md"
FILES = [
    each.name for each in Base.metadata.sorted_tables if not each.name.startswith("sqlalchemy")
]
OWN = ("sqlalchemy_file_release", "sqlalchemy_file_state")


@pytest.fixture(params=["postgresql", "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    address: str = request.getfixturevalue(f"{request.param}_server")
    return address


def documented() -> dict[str, tuple[str, ...]]:
    """Return what the table in the documentation says, for each kind of work."""
    row = re.compile(r"^\| (an application|`\w+`)[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
    text = DOCUMENT.read_text().partition("## Rights")[2]
    return {
        match[1].strip("`").replace("an application", "session"): tuple(
            ", ".join(re.findall("`([A-Z]+)`", match[number])) for number in (2, 3, 4)
        )
        for match in row.finditer(text)
    }


def grants(work: str, engine: Engine) -> list[str]:
    files, notes, state = documented()[work]
    files = files or "SELECT, INSERT, UPDATE, DELETE"
    parts = [(files, each) for each in FILES] + list(zip((notes, state), OWN, strict=True))
    found = [f"GRANT {rights} ON {table} TO {{name}}" for rights, table in parts]
    if engine.dialect.name == "postgresql":
        found.append("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}")
    elif work != "session":
        found += [f"GRANT TRIGGER ON {table} TO {{name}}" for table in FILES]
    return found


def _commit(clerk: Engine) -> None:
    with Session(clerk) as session:
        paper = Paper(body=File(b"old"))
        session.add(paper)
        session.commit()
        paper.body = File(b"new")
        session.commit()
        session.delete(paper)
        session.commit()


WORK: dict[str, Callable[[Engine], object]] = {
    "session": _commit,
    "status": lambda clerk: status(clerk, Base.metadata),
    "drain": lambda clerk: list(drain(clerk, Base.metadata)),
    "sweep": lambda clerk: list(sweep(clerk, Base.metadata, delete=True)),
}


def test_the_documentation_names_the_rights_that_are_asked_for() -> None:
    assert documented() == {
        work: tuple(", ".join(rights) for rights in each) for work, each in RIGHTS.items()
    }


@pytest.mark.parametrize("work", WORK)
def test_with_these_rights_it_works(engine: Engine, work: str) -> None:
    storage = add_memory()
    _commit(engine)
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {OWN[0]}"))
    with account(engine, *grants(work, engine)) as clerk:
        with clerk.connect() as connection:
            assert missing_rights(connection, ledger_of(Base.metadata), work) == []
        WORK[work](clerk)
    assert contents(storage) == []


@pytest.mark.parametrize("work", WORK)
def test_a_right_that_is_missing_is_named(engine: Engine, work: str) -> None:
    _, notes, state = documented()[work]
    wanted = [f"{right} on {OWN[0]}" for right in notes.split(", ")]
    wanted += [f"{right} on {OWN[1]}" for right in state.split(", ")]
    some = [each for each in grants(work, engine) if OWN[0] not in each and OWN[1] not in each]
    with account(engine, *some) as clerk, clerk.connect() as connection:
        assert missing_rights(connection, ledger_of(Base.metadata), work) == wanted


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_the_right_to_see_triggers_is_named_on_mariadb(engine: Engine) -> None:
    some = [each for each in grants("drain", engine) if "TRIGGER" not in each]
    with account(engine, *some) as clerk, clerk.connect() as connection:
        lacking = missing_rights(connection, ledger_of(Base.metadata), "drain")
    assert lacking == [f"TRIGGER on {table}" for table in FILES]


def test_status_tells_what_a_drain_would_lack(engine: Engine) -> None:
    add_memory()
    with account(engine, *grants("status", engine)) as clerk:
        assert set(status(clerk, Base.metadata).missing_rights) == {
            f"{right} on {table}" for table in OWN for right in ("INSERT", "UPDATE", "DELETE")
        }
    assert status(engine, Base.metadata).missing_rights == []


def test_an_application_without_rights_on_the_ledger_leaves_it_to_the_drain(
    engine: Engine,
) -> None:
    storage = add_memory()
    some = [each for each in grants("session", engine) if OWN[0] not in each]
    with account(engine, *some) as clerk:
        _commit(clerk)
    list(drain(engine, Base.metadata))
    assert contents(storage) == []
    with engine.connect() as connection:
        releases = ledger_of(Base.metadata).releases
        assert connection.scalars(select(releases.c.path)).all() == []
