"""Functions and objects of programs: their parameters, awaited if needed, and checked."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from types import FunctionType
from typing import Any

_Parameter = inspect.Parameter
_BY_POSITION = (_Parameter.POSITIONAL_ONLY, _Parameter.POSITIONAL_OR_KEYWORD)


def call(function: Callable[..., Any], *arguments: Any, row: Any) -> Any:
    """Call a function with these arguments, and with the row if it has a parameter for it.

    That is one more than the arguments, or one of the name ``row``.
    """
    parameter = _row_parameter(function, len(arguments))
    if parameter is None:
        return function(*arguments)
    return function(*arguments, row=row) if parameter == "row" else function(*arguments, row)


def call_now(function: Callable[..., Any], *arguments: Any, row: Any) -> Any:
    """Call a function as `call` does; raise `TypeError` if its result is an awaitable."""
    answer = call(function, *arguments, row=row)
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"{name} is asynchronous, and can be awaited under AsyncSession only: "
            "write it without async, or use an AsyncSession"
        )
    return answer


async def acall(function: Callable[..., Any], *arguments: Any, row: Any) -> Any:
    """Call a function as `call` does, and await its result if it is an awaitable."""
    answer = call(function, *arguments, row=row)
    if isinstance(answer, Awaitable):
        return await answer
    return answer


def takes_row(function: Callable[..., Any], arguments: int) -> bool:
    """Return True if `call` passes the row in addition to a number of arguments."""
    return _row_parameter(function, arguments) is not None


def is_async(function: Any) -> bool:
    """Return True if a function, or a callable object, is declared with ``async def``."""
    plain = getattr(function, "__func__", function)
    try:
        return _is_async(plain)
    except TypeError:  # not hashable
        return _is_async.__wrapped__(plain)


@lru_cache(maxsize=1024)
def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004  it is looked at, not called
    )


def _row_parameter(function: Callable[..., Any], arguments: int) -> str | None:
    plain = getattr(function, "__func__", function)
    known = arguments + (plain is not function)
    try:
        return _parameter_after(plain, known)
    except TypeError:  # not hashable
        return _parameter_after.__wrapped__(plain, known)


@lru_cache(maxsize=1024)
def _parameter_after(function: Callable[..., Any], known: int) -> str | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return None
    if any(
        each.name == "row" and each.kind is not _Parameter.VAR_POSITIONAL for each in parameters
    ):
        return "row"
    required = [
        each for each in parameters if each.kind in _BY_POSITION and each.default is each.empty
    ]
    return "another" if len(required) > known else None


def checked_steps(steps: Any, parameter: str) -> list[Any]:
    """Return validators or processors as a list; raise `TypeError` for anything else.

    A class whose ``process`` needs no instance is accepted.
    """
    if not isinstance(steps, Iterable | None):
        raise TypeError(f"{parameter} is a list: give [{type(steps).__name__}(...)]")
    listed = list(steps or ())
    for step in listed:
        if not callable(getattr(step, "process", None)):
            raise TypeError(f"{parameter} are objects with a method process, not {step!r}")
        is_class = isinstance(step, type)
        if is_class and isinstance(inspect.getattr_static(step, "process"), FunctionType):
            name = step.__name__
            raise TypeError(f"{parameter} are objects, not classes: give {name}(...), not {name}")
    return listed
