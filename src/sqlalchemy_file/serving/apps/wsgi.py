"""A WSGI application that sends answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy_file.serving.answering import Answer, Answers, drive
from sqlalchemy_file.serving.problems import problem_of
from sqlalchemy_file.serving.request import RequestFacts
from sqlalchemy_file.serving.sending.bodies import stream

StartResponse = Callable[..., Any]


class WSGIFileApp:
    """The WSGI application of a `FileServer`."""

    def __init__(self, server: Answers) -> None:
        self.server = server

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = RequestFacts.of_environ(environ)
        try:
            answer, body = with_body(drive(self.server.answering(request)))
        except Exception as error:
            if not callable(error):
                raise
            # What `abort` of Werkzeug and Flask raises is an application itself.
            answered: Iterable[bytes] = error(environ, start_response)
            return answered
        status = answer.plan.status
        start_response(f"{int(status)} {status.phrase}", list(answer.plan.headers))
        return () if request.method == "HEAD" else body


def with_body(answer: Answer) -> tuple[Answer, Iterable[bytes]]:
    """Return an answer with its bytes; a storage that fails at once makes it a problem body."""
    if answer.target is not None:
        try:
            target, body = answer.target, answer.plan.body
            return answer, stream(target.storage, target.key, body, answer.info, target.size)
        except Exception as error:  # noqa: BLE001  other errors than a storage's are raised again
            answer = Answer(problem_of(error))
    return answer, [part for part in answer.plan.body if isinstance(part, bytes)]
