"""Starlette, FastAPI and Litestar: a response with a stored file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from sqlalchemy_file.disposition import INLINE_TYPES, Disposition
from sqlalchemy_file.serving.answering import Answer, adrive
from sqlalchemy_file.serving.asgi import Receive, Send, send_answer
from sqlalchemy_file.serving.delivery import DeliveryChoice
from sqlalchemy_file.serving.request import RequestFacts
from sqlalchemy_file.serving.responses import PRIVATE, answer_with

__all__ = ["FileResponse"]


class FileResponse(Response):
    """The answer to a request for a stored file: whole, a range, or "not modified".

        @app.get("/letters/{number}/scan")
        async def scan(request: Request, number: int) -> FileResponse:
            letter = await find_letter(number)
            return FileResponse(request, letter.scan)

    ``variant`` names the thumbnail or a variant. Only the types in ``inline`` are shown by
    browsers. ``headers`` are sent as well. Raises `ValueError` for a file that is not stored,
    and `KeyError` for a variant it lacks. An object that is gone is answered with 404.
    """

    def __init__(
        self,
        request: Request,
        file: Any,
        *,
        variant: str | None = None,
        disposition: Disposition | None = None,
        filename: str | None = None,
        inline: Collection[str] = INLINE_TYPES,
        delivery: DeliveryChoice = "stream",
        cache_control: str = PRIVATE,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(headers=headers, background=background)
        self._own: list[tuple[str, str]] = list((headers or {}).items())
        self._steps = answer_with(
            RequestFacts.of_scope(request.scope),
            file,
            variant=variant,
            disposition=disposition,
            filename=filename,
            inline=inline,
            delivery=delivery,
            cache_control=cache_control,
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        answer: Answer = (await adrive(self._steps)).with_headers(self._own)
        await send_answer(answer, scope, send)
        if self.background is not None:
            await self.background()
