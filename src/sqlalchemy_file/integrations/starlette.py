"""Starlette and FastAPI: answers with stored files, and with the reasons of refusals."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Unpack

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from sqlalchemy_file.serving.answering import ResponseOptions, answer_with, drive
from sqlalchemy_file.serving.apps import Receive, Send, send_answer
from sqlalchemy_file.serving.target import RequestFacts
from sqlalchemy_file.storage.common.calling import IN_LOOP
from sqlalchemy_file.values.schemas import json_of

__all__ = ["FileResponse", "problem_response", "refusal_response"]


class FileResponse(Response):
    """The answer to a request for a stored file: whole, a range, or "not modified".

        @app.get("/letters/{number}/scan")
        async def scan(request: Request, number: int) -> FileResponse:
            letter = await find_letter(number)
            return FileResponse(request, letter.scan)

    ``variant`` names the thumbnail or a variant. Only the types in ``inline`` are shown by
    browsers. ``headers`` are sent as well, and so are headers and cookies set later. Raises
    `ValueError` for a file that is not stored, and `KeyError` for an unknown variant. A missing
    object is answered with 404.
    """

    def __init__(
        self,
        request: Request,
        file: Any,
        *,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
        **options: Unpack[ResponseOptions],
    ) -> None:
        super().__init__(headers=headers, background=background)
        self._steps = answer_with(RequestFacts.of_scope(request.scope), file, **options)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        # The length is that of an empty body.
        own = [(name, value) for name, value in self.headers.items() if name != "content-length"]
        answer = (await drive(self._steps, IN_LOOP)).with_headers(own)
        await send_answer(answer, scope, receive, send)
        if self.background is not None:
            await self.background()


def refusal_response(request: Request, error: Any) -> Response:
    """Answer refused files with 422, in the form of FastAPI's own errors.

        app.add_exception_handler(ValidationError, refusal_response)

    Each file has an entry in ``detail``: ``loc`` is ``["body", key]``, with the index in a list,
    ``type`` the code of the refusal, ``ctx`` its parameters, and ``input`` the file's name.
    """
    detail = [
        {
            "type": each.code,
            "loc": ["body", each.key, *([] if each.index is None else [each.index])],
            "msg": each.msg,
            "input": each.as_dict()["filename"],
            "ctx": each.params,
        }
        for each in error.refusals
    ]
    return Response(json_of({"detail": detail}), 422, media_type="application/json")


def problem_response(request: Request, error: Any) -> Response:
    """Answer refused files with 422 and a problem document (RFC 9457).

    Its ``errors`` list ``key``, ``index``, ``filename``, ``message``, ``code`` and ``params``.
    """
    refusals = [each.as_dict() for each in error.refusals]
    count = len(refusals)
    problem = {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "One file was refused." if count == 1 else f"{count} files were refused.",
        "errors": refusals,
    }
    return Response(json_of(problem), 422, media_type="application/problem+json")
