"""Call functions of programs: with the parameters that they take, awaited if needed."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

_Parameter = inspect.Parameter
_BY_POSITION = (_Parameter.POSITIONAL_ONLY, _Parameter.POSITIONAL_OR_KEYWORD)


def call(function: Callable[..., Any], *arguments: Any, row: Any) -> Any:
    """Call a function with these arguments, and with the row if it has a parameter for it.

    That is one more than the arguments, or one of the name ``row``.
    """
    plain = getattr(function, "__func__", function)
    known = len(arguments) + (plain is not function)
    try:
        wanted = _row_parameter(plain, known)
    except TypeError:  # not hashable
        wanted = _row_parameter.__wrapped__(plain, known)
    if wanted is None:
        return function(*arguments)
    return function(*arguments, row=row) if wanted == "row" else function(*arguments, row)


def call_now(function: Callable[..., Any], *arguments: Any, row: Any) -> Any:
    """Call a function as `call` does; `TypeError` for one whose answer has to be awaited."""
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
    """Call a function as `call` does, and await its answer if it is an awaitable."""
    answer = call(function, *arguments, row=row)
    if isinstance(answer, Awaitable):
        return await answer
    return answer


def takes_row(function: Callable[..., Any], arguments: int) -> bool:
    """Return True if `call` would hand over the row, besides a number of arguments."""
    plain = getattr(function, "__func__", function)
    known = arguments + (plain is not function)
    try:
        return _row_parameter(plain, known) is not None
    except TypeError:  # not hashable
        return _row_parameter.__wrapped__(plain, known) is not None


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


@lru_cache(maxsize=1024)
def _row_parameter(function: Callable[..., Any], known: int) -> str | None:
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
