"""Transactions of passes: what a deadlock broke off is done again."""

from __future__ import annotations

import pymysql
import pytest
from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.exc import OperationalError

from sqlalchemy_file.reconcile.context import PassContext
from tests.reconcile.helpers import Base, Paper

DEADLOCK, LOST_CONNECTION = 1213, 2013


class Work:
    """Inserts a row, and fails so many times with the code of an error of MariaDB."""

    def __init__(self, code: int, failures: int) -> None:
        self.code, self.failures, self.attempts = code, failures, 0

    def __call__(self, connection: Connection) -> int:
        connection.execute(insert(Paper), {"id": 1})
        self.attempts += 1
        if self.attempts <= self.failures:
            raise OperationalError("", {}, pymysql.err.OperationalError(self.code, "failed"))
        return connection.scalar(select(func.count()).select_from(Paper)) or 0


@pytest.mark.parametrize("failures", [0, 1, 4])
def test_what_a_deadlock_broke_off_is_done_again(one: Engine, failures: int) -> None:
    work = Work(DEADLOCK, failures)
    assert PassContext(one, Base.metadata).run(work) == 1
    assert work.attempts == failures + 1


@pytest.mark.parametrize(("code", "attempts"), [(DEADLOCK, 5), (LOST_CONNECTION, 1)])
def test_other_errors_and_too_many_deadlocks_are_raised(
    one: Engine, code: int, attempts: int
) -> None:
    work = Work(code, 99)
    with pytest.raises(OperationalError):
        PassContext(one, Base.metadata).run(work)
    assert work.attempts == attempts
