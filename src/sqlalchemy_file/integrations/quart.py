"""Quart: a response with a stored file."""

from __future__ import annotations

from typing import Any, Unpack

from quart import Response, request

from sqlalchemy_file.serving.answering import ResponseOptions, answer_with, drive
from sqlalchemy_file.serving.apps import with_body
from sqlalchemy_file.serving.target import RequestFacts
from sqlalchemy_file.storage.common.calling import IN_LOOP

__all__ = ["send_file"]


async def send_file(file: Any, **options: Unpack[ResponseOptions]) -> Response:
    """Return the answer to the current request: the file whole, a range, or "not modified".

        @app.get("/letters/<int:number>/scan")
        async def scan(number):
            return await send_file((await find_letter(number)).scan)

    The options are those of `sqlalchemy_file.integrations.flask.send_file`. Raises `ValueError`
    for a file that is not stored, and `KeyError` for a variant it lacks. An object that is gone is
    answered with 404.
    """
    steps = answer_with(RequestFacts.of_scope(request.scope), file, **options)
    answer, chunks = await with_body(await drive(steps, IN_LOOP), IN_LOOP)
    response = Response(chunks, status=int(answer.plan.status))
    response.timeout = None  # a large file may take longer than Quart gives a page
    response.headers.clear()
    response.headers.extend(answer.plan.headers)
    return response
