"""Random programs of bare statements: one connection after another, committing as they go."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from .matrix import Matrix
from .models import Page
from .programs import Program, play
from .table import Column

pages: Any = Page.__table__
rows = st.integers(1, 5)


@dataclass
class PlainPage:
    """A row of the model: labels instead of files."""

    cover: str | None
    pictures: list[str] | None


Pages = dict[int, PlainPage]


class ConnectionProgram(Program):
    """Connections at work, one at a time, beside the model of what they should come to."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[Pages] = [{}, {}]
        self._savepoints: list[Any] = []

    @initialize()
    def begin(self) -> None:
        self.open_world()
        self.connection = self.world.engine.connect()

    def finish(self) -> None:
        self.reopen()
        self.connection.close()

    @property
    def pages(self) -> Pages:
        """What the connection sees now."""
        return self.levels[-1]

    def _row(self, number: int, *, filled: bool) -> dict[str, Any]:
        """Return the values of a row, and let the model have them, too."""
        if not filled:
            self.pages[number] = PlainPage(None, None)
            return {"id": number, "cover": None, "pictures": None}
        cover, file = self.new_file()
        made = [self.new_file() for _ in range(number % 3)]
        self.pages[number] = PlainPage(cover, [label for label, _ in made])
        return {"id": number, "cover": file, "pictures": [file for _, file in made]}

    # statements

    @rule(number=rows, filled=st.booleans())
    def insert(self, number: int, filled: bool) -> None:
        if number not in self.pages:
            self.connection.execute(insert(pages).values(self._row(number, filled=filled)))

    @rule(numbers=st.sets(rows, min_size=1))
    def insert_many(self, numbers: set[int]) -> None:
        new = sorted(numbers - set(self.pages))
        if new:
            self.connection.execute(insert(pages), [self._row(n, filled=True) for n in new])

    @rule(number=rows, filled=st.booleans())
    def update(self, number: int, filled: bool) -> None:
        if number in self.pages:
            values = self._row(number, filled=filled)
            del values["id"]
            self.connection.execute(update(pages).where(pages.c.id == number).values(values))

    @rule(numbers=st.sets(rows, min_size=1))
    def update_many(self, numbers: set[int]) -> None:
        known = sorted(numbers & set(self.pages))
        if known:
            statement = (
                update(pages)
                .where(pages.c.id == bindparam("wanted"))
                .values(cover=bindparam("new_cover"), pictures=bindparam("new_pictures"))
            )
            found = [self._row(number, filled=number % 2 == 0) for number in known]
            self.connection.execute(
                statement,
                [
                    {
                        "wanted": row["id"],
                        "new_cover": row["cover"],
                        "new_pictures": row["pictures"],
                    }
                    for row in found
                ],
            )

    @rule(least=rows)
    def clear(self, least: int) -> None:
        self.connection.execute(update(pages).where(pages.c.id >= least).values(cover=None))
        for number, plain in self.pages.items():
            if number >= least:
                plain.cover = None

    @rule(least=rows)
    def delete(self, least: int) -> None:
        self.connection.execute(delete(pages).where(pages.c.id >= least))
        for number in [number for number in self.pages if number >= least]:
            del self.pages[number]

    @rule(source=rows, receiver=rows, move=st.booleans())
    def give(self, source: int, receiver: int, move: bool) -> None:
        """Give the cover of one row to another one, as it is read from the table."""
        if not {source, receiver} <= set(self.pages) or source == receiver:
            return
        query = select(pages.c.cover).where(pages.c.id == source)
        file = self.connection.execute(query).scalar_one()
        if move:
            self._set_cover(source, None)
        self._set_cover(receiver, file)
        self.pages[receiver].cover = self.pages[source].cover
        if move:
            self.pages[source].cover = None

    def _set_cover(self, number: int, file: Any) -> None:
        self.connection.execute(update(pages).where(pages.c.id == number).values(cover=file))

    @rule(number=rows, many=st.booleans())
    def fail(self, number: int, many: bool) -> None:
        """Let a statement fail; the transaction goes on where the database lets it."""
        if number not in self.pages:
            return
        (_, first), (_, second) = self.new_file(), self.new_file()
        new = [{"id": 90, "cover": first}, {"id": number, "cover": second}]
        with pytest.raises(IntegrityError):
            self.connection.execute(insert(pages), new if many else new[1:])
        if self.world.database.name == "postgresql":
            self.rollback_to_savepoint() if self._savepoints else self.rollback()
        else:
            # Which rows got in before it is the driver's affair.
            self.connection.execute(delete(pages).where(pages.c.id == 90))

    # sessions that join

    @rule(number=rows, end=st.sampled_from(["commit", "rollback", "close"]))
    def join(self, number: int, end: str) -> None:
        if number not in self.pages:
            return
        before = copy.deepcopy(self.pages[number])
        mode: Any = "create_savepoint"
        with self.world.session(self.connection, join_transaction_mode=mode) as session:
            page = session.get_one(Page, number)
            self.pages[number].cover, page.cover = self.new_file()
            session.flush()
            getattr(session, end)()
        if end != "commit":
            self.pages[number] = before

    # transactions

    @rule()
    def commit(self) -> None:
        self.connection.commit()
        self._begin_anew(self.pages)

    @rule()
    def rollback(self) -> None:
        self.connection.rollback()
        self._begin_anew(self.levels[0])

    @rule()
    def reopen(self) -> None:
        """Give the connection back to its pool, and take the next one."""
        self.connection.close()
        self._begin_anew(self.levels[0])
        self._check()
        self.connection = self.world.engine.connect()

    def _begin_anew(self, committed: Pages) -> None:
        self.levels = [committed, copy.deepcopy(committed)]
        self._savepoints.clear()

    @precondition(lambda self: len(self._savepoints) < 3)
    @rule()
    def begin_savepoint(self) -> None:
        self._savepoints.append(self.connection.begin_nested())
        self.levels.append(copy.deepcopy(self.pages))

    @precondition(lambda self: self._savepoints)
    @rule()
    def release_savepoint(self) -> None:
        self._savepoints.pop().commit()
        self.levels[-2:] = [self.pages]

    @precondition(lambda self: self._savepoints)
    @rule()
    def rollback_to_savepoint(self) -> None:
        self._savepoints.pop().rollback()
        self.levels.pop()

    # the promise

    def _check(self) -> None:
        """Compare what is committed with the model, once nothing is left to be deleted."""
        self.world.check()
        committed = self.levels[0]
        numbers = sorted(committed)
        for column, name in ((Page.cover, "cover"), (Page.pictures, "pictures")):
            expected = [getattr(committed[number], name) for number in numbers]
            assert self.world.labels(column) == expected

    @invariant()
    def nothing_committed_is_missing(self) -> None:
        """Whatever is under way, the files of committed rows are there."""
        if hasattr(self, "world"):
            named = {*self.world.paths(Page.cover), *self.world.paths(Page.pictures)}
            assert named <= set(self.world.objects())


@pytest.mark.parametrize(
    ("database", "examples"), [("sqlite", 80), ("postgresql", 20), ("mariadb", 20)]
)
def test_random_statements_keep_the_promise(matrix: Matrix, database: str, examples: int) -> None:
    play(ConnectionProgram, matrix, Column(database=database, storage="memory"), examples)
