"""The bytes of an answer, as both kinds of applications read them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any, cast

from sqlalchemy_file.serving.answering import Answer, drive
from sqlalchemy_file.serving.bodies import open_body
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, run


def answer_of(steps: Any) -> Answer:
    return run(drive(steps, IN_THREAD))


def stream(*arguments: Any) -> Iterator[bytes]:
    return cast("Iterator[bytes]", run(open_body(IN_THREAD, *arguments)))


async def astream(*arguments: Any) -> AsyncGenerator[bytes, None]:
    return cast("AsyncGenerator[bytes, None]", await open_body(IN_LOOP, *arguments))
