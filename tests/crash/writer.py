"""Random transactions of one writer, until it is killed. Its rows hold one file, and a list.

Nothing here imports the package, so that a writer can also be one on another release of it.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

from sqlalchemy import Engine, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

MOST_ROWS = 10
MOST_PICTURES = 4
SIZES = (0, 100, 100, 10_000, 300_000)
SEVERAL_PARTS = 6 * 1024 * 1024


class Writer:
    """Writes for ever: what it does follows from its seed and from what it finds."""

    def __init__(
        self,
        engine: Engine,
        page: Any,
        file: Any,
        seed: int,
        *,
        large: bool = False,
        forgiven: tuple[type[Exception], ...] = (),
    ) -> None:
        self._engine = engine
        self._page = page
        self._table = page.__table__
        self._make_file = file
        self._dice = Random(seed)
        self._sizes = (*SIZES, SEVERAL_PARTS) if large else SIZES
        self._forgiven = forgiven

    def run(self) -> None:
        """Make one transaction after another, also after an error that is forgiven."""
        while True:
            with suppress(*self._forgiven), Session(self._engine) as session:
                self._transact(session)

    def _transact(self, session: Session) -> None:
        for _ in range(self._dice.randint(1, 6)):
            self._act(session)
        if self._dice.random() < 0.8:
            session.commit()
        else:
            session.rollback()

    def _act(self, session: Session, depth: int = 0) -> None:
        actions = [self._insert, self._insert, self._replace, self._splice, self._give, self._swap]
        actions += [self._delete, self._insert_many, self._update_many, self._delete_many]
        if depth < 2:
            actions += [self._nest, self._nest]
        action: Any = self._dice.choice(actions)
        if action == self._nest:
            self._nest(session, depth)
        else:
            action(session)

    def _nest(self, session: Session, depth: int) -> None:
        savepoint = session.begin_nested()
        for _ in range(self._dice.randint(1, 3)):
            self._act(session, depth + 1)
        if self._dice.random() < 0.5:
            savepoint.commit()
        else:
            savepoint.rollback()

    # single rows

    def _insert(self, session: Session) -> None:
        if len(self._all(session)) < MOST_ROWS:
            pictures = [self._file() for _ in range(self._dice.randint(0, 2))]
            session.add(self._page(cover=self._file(), pictures=pictures))
            session.flush()

    def _replace(self, session: Session) -> None:
        for page in self._some(session, 1):
            page.cover = self._dice.choice([self._file(), self._file(), None])
            session.flush()

    def _splice(self, session: Session) -> None:
        for page in self._some(session, 1):
            pictures = [*(page.pictures or []), self._file()]
            self._dice.shuffle(pictures)
            page.pictures = pictures[:MOST_PICTURES]
            session.flush()

    def _give(self, session: Session) -> None:
        """Give the file of one row to another, which gets a copy unless the first lets go."""
        for giver, receiver in zip(self._some(session, 1), self._some(session, 1), strict=True):
            if giver is not receiver:
                receiver.cover = giver.cover
                if self._dice.random() < 0.5:
                    giver.cover = None
                session.flush()

    def _swap(self, session: Session) -> None:
        chosen = self._some(session, 2)
        if len(chosen) == 2:
            chosen[0].cover, chosen[1].cover = chosen[1].cover, chosen[0].cover
            session.flush()

    def _delete(self, session: Session) -> None:
        for page in self._some(session, 1):
            session.delete(page)
            session.flush()

    # statements

    def _insert_many(self, session: Session) -> None:
        if len(self._all(session)) < MOST_ROWS:
            rows = [{"cover": self._file(), "pictures": [self._file()]} for _ in range(3)]
            session.execute(insert(self._table), rows)

    def _update_many(self, session: Session) -> None:
        numbers = [page.id for page in self._some(session, 2)]
        if numbers:
            session.expire_all()
            which = self._table.c.id == bindparam("n")
            statement = update(self._table).where(which).values(cover=bindparam("f"))
            rows = [{"n": number, "f": self._file()} for number in numbers]
            session.connection().execute(statement, rows)

    def _delete_many(self, session: Session) -> None:
        numbers = [page.id for page in self._some(session, 2)]
        session.expunge_all()
        session.connection().execute(delete(self._table).where(self._table.c.id.in_(numbers)))

    # what there is

    def _all(self, session: Session) -> list[Any]:
        return list(session.scalars(select(self._page).order_by(self._page.id)))

    def _some(self, session: Session, count: int) -> list[Any]:
        found = self._all(session)
        return self._dice.sample(found, min(count, len(found)))

    def _file(self) -> Any:
        return self._make_file(
            self._dice.randbytes(self._dice.choice(self._sizes)), filename="page.bin"
        )
