"""Flask: a response with a stored file."""

from __future__ import annotations

from typing import Any, Unpack

from flask import Response, request

from sqlalchemy_file.serving.answering import ResponseOptions, answer_with
from sqlalchemy_file.serving.apps import answer_now
from sqlalchemy_file.serving.target import RequestFacts

__all__ = ["send_file"]


def send_file(file: Any, **options: Unpack[ResponseOptions]) -> Response:
    """Return the answer to the current request: the file whole, a range, or "not modified".

        @app.get("/letters/<int:number>/scan")
        def scan(number):
            return send_file(db.get_or_404(Letter, number).scan)

    ``variant`` names the thumbnail or a variant. Only the types in ``inline`` are shown by
    browsers. Raises `ValueError` for a file that is not stored, and `KeyError` for an unknown
    variant. A missing object is answered with 404.
    """
    steps = answer_with(RequestFacts.of_environ(request.environ), file, **options)
    answer, body = answer_now(steps)
    response = Response(body, status=int(answer.plan.status), direct_passthrough=True)
    response.headers.clear()
    response.headers.extend(answer.plan.headers)
    return response
