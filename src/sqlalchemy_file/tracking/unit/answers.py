"""The database's answers to COMMIT and ROLLBACK: SQLAlchemy has no event after them.

Between SQLAlchemy's event and the database a listener may raise, or a signal or a time limit
arrive. So the dialect's public methods that end transactions are wrapped, from the first file on
one of its connections.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol
from weakref import WeakSet

from sqlalchemy.engine import Dialect


class Follower(Protocol):
    """Hears of each verb that is about to be sent, and of what came of it."""

    def sending(self, verb: str, target: Any) -> Any:
        """Return whom it concerns, or None if nobody."""
        ...

    def answered(self, verb: str, concerned: Any, arguments: tuple[Any, ...]) -> None: ...

    def failed(self, verb: str, concerned: Any) -> None: ...


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
        concerned = follower.sending(verb, target)
        if concerned is None:
            return send(target, *arguments, **options)
        try:
            result = send(target, *arguments, **options)
        except BaseException:
            follower.failed(verb, concerned)
            raise
        follower.answered(verb, concerned, arguments)
        return result

    return sent
