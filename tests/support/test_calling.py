"""Functions of programs get the row if they have a parameter for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sqlalchemy_file.support.calling import acall, call, call_now, is_async, takes_row


def plain(file: str) -> Any:
    return file


def with_row(file: str, row: str) -> Any:
    return file, row


def with_keyword(file: str, *, row: str) -> Any:
    return file, row


def with_one_more(file: str, owner: str) -> Any:
    return file, owner


def with_a_default(file: str, owner: str = "nobody") -> Any:
    return file, owner


class Callables:
    def method(self, file: str, row: str) -> Any:
        return file, row

    def __call__(self, file: str) -> Any:
        return file

    __hash__ = None  # type: ignore[assignment]  # as a dataclass that compares by its fields


class AsyncCallable:
    async def __call__(self, file: str) -> Any:
        return file

    __hash__ = None  # type: ignore[assignment]


FUNCTIONS: dict[str, tuple[Callable[..., Any], Any]] = {
    "the file alone": (plain, "f"),
    "the row by its name": (with_row, ("f", "r")),
    "the row as a keyword": (with_keyword, ("f", "r")),
    "one parameter more": (with_one_more, ("f", "r")),
    "a parameter with a default": (with_a_default, ("f", "nobody")),
    "a method": (Callables().method, ("f", "r")),
    "an object without a hash": (Callables(), "f"),
    "a partial function": (partial(with_one_more, owner="me"), ("f", "me")),
    "a function in C": (str.upper, "F"),
    "a function in C without a signature": (max, "f"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_gets_what_it_takes(name: str) -> None:
    function, expected = FUNCTIONS[name]
    assert call(function, "f", row="r") == expected
    assert takes_row(function, 1) == (isinstance(expected, tuple) and expected[1] == "r")
    assert not is_async(function)


def test_an_asynchronous_function_is_awaited_or_refused_by_its_name() -> None:
    async def judge(file: str, row: str) -> Any:
        return file, row

    assert is_async(judge)
    assert is_async(AsyncCallable())
    assert asyncio.run(acall(judge, "f", row="r")) == ("f", "r")
    assert asyncio.run(acall(plain, "f", row="r")) == "f"
    with pytest.raises(TypeError, match=r"judge is asynchronous, .* under AsyncSession only"):
        call_now(judge, "f", row="r")


def test_a_future_is_refused_as_a_coroutine_is() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TypeError, match="is asynchronous"):
            call_now(lambda file: future, "f", row="r")

    asyncio.run(main())
