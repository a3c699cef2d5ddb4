"""What the database has answered: SQLAlchemy tells of a COMMIT before it is sent, never after.

Between its event and the database there is room for a program's own listener that raises, for a
signal, a time limit. So the public methods of the dialect that carry a transaction's end to the
driver are followed, from the first file on that one of its connections has to do with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol
from weakref import WeakSet

from sqlalchemy.engine import Dialect


class Follower(Protocol):
    """Hears of each verb that is about to be sent, and of what came of it."""

    def sending(self, verb: str, target: Any) -> None: ...

    def answered(self, verb: str, target: Any, arguments: tuple[Any, ...]) -> None: ...

    def failed(self, verb: str, target: Any) -> None: ...


VERBS = (
    "do_commit",
    "do_rollback",
    "do_prepare_twophase",
    "do_commit_twophase",
    "do_rollback_twophase",
    "do_savepoint",
    "do_release_savepoint",
    "do_rollback_to_savepoint",
)
_followed: WeakSet[Dialect] = WeakSet()
_followers: list[Follower] = []


def tell(follower: Follower) -> None:
    """Let somebody hear of the verbs of all dialects that are followed."""
    _followers[:] = [follower]


def follow(dialect: Dialect) -> None:
    """Follow a dialect's verbs from now on; once is enough."""
    if dialect not in _followed:
        _followed.add(dialect)
        for verb in VERBS:
            setattr(dialect, verb, _followed_verb(verb, getattr(dialect, verb)))


def _followed_verb(verb: str, send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def sent(target: Any, *arguments: Any, **options: Any) -> Any:
        (follower,) = _followers
        follower.sending(verb, target)
        try:
            result = send(target, *arguments, **options)
        except BaseException:
            follower.failed(verb, target)
            raise
        follower.answered(verb, target, arguments)
        return result

    return sent
