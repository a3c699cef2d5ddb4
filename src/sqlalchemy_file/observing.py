"""Logs storage operations, and passes them to observers.

The logger is ``sqlalchemy_file``. The fields of its records are ``event`` (``store``, ``copy``,
``release``, ``delete``, ``failure`` or ``count``), ``operation``, ``storage``, ``key``, ``source``
(of a copy), ``size`` in bytes, ``duration`` in seconds, ``error`` and ``count``; unknown values are
None. Unprintable characters are escaped in messages and fields.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from time import perf_counter
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self

from sqlalchemy_file.exceptions import DeletionError, escaped

__all__ = ["Count", "Observer", "Task", "Verb", "forget", "observe"]

logger: logging.Logger = logging.getLogger("sqlalchemy_file")

Verb = Literal["store", "copy", "release", "delete"]
Count = Literal["pending releases", "failed deletions", "orphans", "dangling"]


class Task:
    """One operation on objects of a storage, as a context manager: store, copy or delete.

    ``duration`` and ``failures`` (by key) are set when it ends. ``size`` is that of one object;
    ``source`` is the key that is copied.
    """

    source: str | None = None
    size: int | None = None
    duration: float | None = None
    failures: Mapping[str, BaseException] = MappingProxyType({})
    _ends: Sequence[Callable[[], object]] = ()

    def __init__(self, verb: Verb, storage: str, keys: Sequence[str]) -> None:
        self.verb: Verb = verb
        self.storage = storage
        self.keys = keys

    def __enter__(self) -> Self:
        if _observers:
            self._ends = _begin(self)
        self._began = perf_counter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        is_logged = error is not None or logger.isEnabledFor(logging.DEBUG)
        if not is_logged and not self._ends:
            return
        self.duration = perf_counter() - self._began
        if error is not None:
            self.failures = failures_of(self.keys, error)
        if is_logged:
            _log(self)
        for end in self._ends:
            _guarded(end)


class Observer(Protocol):
    """Receives an event for every operation. Its exceptions are logged and suppressed.

    It may be called from several threads at once.
    """

    def begin(self, task: Task) -> Callable[[], object]:
        """Handle the start of a task; return a function to call in its thread when it has ended."""
        ...

    def count(self, what: Count, number: int, storage: str) -> None:
        """Handle a count of something in a storage."""
        ...


def observe(observer: Observer) -> None:
    """Add an observer.

        observe(Durations())

    It gets all storage operations from now on.
    """
    global _observers  # noqa: PLW0603  replaced as a whole, so that reading needs no lock
    with _lock:
        _observers = (*_observers, observer)


def forget(observer: Observer) -> None:
    """Remove an observer."""
    global _observers  # noqa: PLW0603  as above
    with _lock:
        _observers = tuple(each for each in _observers if each is not observer)


def is_watched() -> bool:
    """Return True if there is an observer, or if DEBUG logging is on."""
    return bool(_observers) or logger.isEnabledFor(logging.DEBUG)


def released(storage: str, keys: Sequence[str]) -> None:
    """Report objects that a committed transaction has left unreferenced; their deletion follows."""
    task = Task("release", storage, keys)
    if logger.isEnabledFor(logging.DEBUG):
        _log(task)
    for end in _begin(task):
        _guarded(end)


def counted(what: Count, number: int, storage: str) -> None:
    """Report how many of something there are in a storage, zero included."""
    is_alarming = number > 0 and what != "pending releases"
    _emit(
        logging.WARNING if is_alarming else logging.INFO,
        f"{what} in %s: %d",
        (storage, number),
        {"event": "count", "operation": what, "storage": storage, "count": number},
    )
    for observer in _observers:
        _guarded(methodcaller("count", what, number, storage), observer)


def not_served(error: Exception) -> None:
    """Log why a file is not served: its client is told nothing."""
    fields = {"event": "failure", "operation": "serve", "error": type(error).__name__}
    place = {name: getattr(error, name, None) for name in ("storage", "key")}
    _emit(logging.WARNING, "could not serve a file: %s", (error,), {**fields, **place})


def failures_of(keys: Sequence[str], error: BaseException) -> Mapping[str, BaseException]:
    """Return the exception of each key."""
    return error.failures if isinstance(error, DeletionError) else dict.fromkeys(keys, error)


def _begin(task: Task) -> list[Callable[[], object]]:
    # By name: an observer without the method fails like one whose method raises.
    begin = methodcaller("begin", task)
    return [_guarded(begin, observer) for observer in _observers]


def _guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of an observer; return what it returns, or a function that does nothing."""
    try:
        return function(*arguments)
    except Exception:
        logger.exception("an observer failed")
        return lambda: None


def _log(task: Task) -> None:
    for key in task.keys:
        error = task.failures.get(key)
        fields = {
            "event": task.verb if error is None else "failure",
            "operation": task.verb,
            "storage": task.storage,
            "key": key,
            "source": task.source,
            "size": task.size,
            "duration": task.duration,
            "error": None if error is None else type(error).__name__,
        }
        if error is None:
            _emit(logging.DEBUG, _DONE[task.verb], (task.storage, key), fields)
        else:
            _emit(_level(task, error), _FAILED[task.verb], (task.storage, key, error), fields)


def _level(task: Task, error: BaseException) -> int:
    if task.verb == "delete":
        return logging.ERROR  # nothing else reports it
    return logging.WARNING if isinstance(error, Exception) else logging.DEBUG  # cancelled


def _emit(level: int, message: str, values: tuple[object, ...], fields: Mapping[str, Any]) -> None:
    lines = {name: _line(value) for name, value in fields.items()}
    logger.log(level, message, *map(_line, values), extra={**_UNKNOWN, **lines})


def _line(value: object) -> object:
    """Return a value that is safe for a log line."""
    return escaped(value) if isinstance(value, str | BaseException) else value


_DONE: Mapping[Verb, str] = {
    "store": "stored %s/%s",
    "copy": "copied to %s/%s",
    "release": "released %s/%s",
    "delete": "deleted %s/%s",
}
_FAILED: Mapping[Verb, str] = {
    "store": "could not store %s/%s: %s",
    "copy": "could not copy to %s/%s: %s",
    "delete": "could not delete %s/%s: %s",
}
_UNKNOWN: Mapping[str, Any] = dict.fromkeys(
    ("event", "operation", "storage", "key", "source", "size", "duration", "error", "count")
)

_observers: tuple[Observer, ...] = ()
_lock = threading.Lock()
