"""Flask: a response with a stored file."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Response, request

from sqlalchemy_file.content.disposition import INLINE_TYPES, Disposition
from sqlalchemy_file.serving.answering import drive
from sqlalchemy_file.serving.apps.wsgi import with_body
from sqlalchemy_file.serving.request import RequestFacts
from sqlalchemy_file.serving.responses import PRIVATE, answer_with
from sqlalchemy_file.serving.sending.delivery import DeliveryChoice

__all__ = ["send_file"]


def send_file(
    file: Any,
    *,
    variant: str | None = None,
    disposition: Disposition | None = None,
    filename: str | None = None,
    inline: Collection[str] = INLINE_TYPES,
    delivery: DeliveryChoice = "stream",
    cache_control: str = PRIVATE,
    resource_policy: str = "same-origin",
) -> Response:
    """Return the answer to the current request: the file whole, a range, or "not modified".

        @app.get("/letters/<int:number>/scan")
        def scan(number):
            return send_file(db.get_or_404(Letter, number).scan)

    ``variant`` names the thumbnail or a variant. Only the types in ``inline`` are shown by
    browsers. Raises `ValueError` for a file that is not stored, and `KeyError` for an unknown
    variant. A missing object is answered with 404.
    """
    facts = RequestFacts.of_environ(request.environ)
    steps = answer_with(
        facts,
        file,
        variant=variant,
        disposition=disposition,
        filename=filename,
        inline=inline,
        delivery=delivery,
        cache_control=cache_control,
        resource_policy=resource_policy,
    )
    answer, body = with_body(drive(steps))
    response = Response(body, status=int(answer.plan.status), direct_passthrough=True)
    response.headers.clear()
    response.headers.extend(answer.plan.headers)
    return response
