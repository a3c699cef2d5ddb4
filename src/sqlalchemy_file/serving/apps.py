"""The ASGI and WSGI applications, which send answers."""

from __future__ import annotations

import asyncio
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
)
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving.answering import Answer, Answering, Answers, drive, problem_of
from sqlalchemy_file.serving.bodies import given, open_body
from sqlalchemy_file.serving.delivery import path_to_send
from sqlalchemy_file.serving.target import RequestFacts
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling, run

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class FileApp:
    """The ASGI application of a `FileServer`."""

    def __init__(self, answering: Answers) -> None:
        self._answering = answering

    # Each framework has types of its own for these.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":  # as of an application of its own, or behind a dispatcher
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        if scope["type"] != "http":
            raise RuntimeError(f"a file server answers HTTP requests, not {scope['type']!r}")
        request = RequestFacts.of_scope(scope)
        await send_answer(await drive(self._answering(request), IN_LOOP), scope, receive, send)


async def send_answer(
    answer: Answer, scope: Mapping[str, Any], receive: Receive, send: Send
) -> None:
    """Send an answer; an error before its first byte becomes a problem body.

    An error in the middle is raised, so that the server cuts the connection. Once the client has
    left, nothing more is read.
    """
    if (path := _sendable_path(answer, scope)) is not None:
        await _start(answer, send)
        await send({"type": "http.response.pathsend", "path": path})
        return
    answer, chunks = await with_body(answer, IN_LOOP)
    async with aclosing(chunks):
        await _start(answer, send)
        if answer.target is None and scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        left, leaving = answer.plan.size, Leaving(scope, receive)
        try:
            async for chunk in chunks:
                size = len(chunk)
                left -= size
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
                del chunk  # it is not kept while the next one is waited for
                if not left or leaving.has_left(size):
                    return
        finally:
            await leaving.end()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def with_body(answer: Answer, calling: Calling) -> tuple[Answer, Any]:
    """Return an answer with its bytes; a storage that fails at once makes it a problem body.

    They are an asynchronous generator, for a thread an iterator.
    """
    target, body = answer.target, answer.plan.body
    if target is not None:
        known = target.storage, target.key, body, answer.info, target.size
        try:
            return answer, await open_body(calling, *known)
        except Exception as error:  # noqa: BLE001  other errors than a storage's are raised again
            answer = Answer(problem_of(error))
    parts: list[Any] = [b"", *answer.plan.body]  # the first one is waited for
    return answer, await calling.begin(given(parts))


async def _start(answer: Answer, send: Send) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.plan.headers
    ]
    status = int(answer.plan.status)
    await send({"type": "http.response.start", "status": status, "headers": headers})


def _sendable_path(answer: Answer, scope: Mapping[str, Any]) -> str | None:
    """Return the path of a whole file that the server can send by itself."""
    target = answer.target
    if target is None or "http.response.pathsend" not in (scope.get("extensions") or {}):
        return None
    if answer.plan.status is not HTTPStatus.OK:
        return None
    try:
        path = path_to_send(target)
    except StorageError:
        return None  # the error is answered before the first byte
    return str(path) if path is not None and path.is_file() else None


_FROM = 256 * 1024
"""Bytes that are sent before anybody watches: less may be sent to a client that has left."""


class Leaving:
    """Watches for the end of a connection while a long body is sent.

    Servers of ASGI 2.4 raise in ``send`` instead, and are left alone.
    """

    def __init__(self, scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]]) -> None:
        version = str(scope.get("asgi", {}).get("spec_version", "2.0"))
        self._raises = tuple(map(int, version.split("."))) >= (2, 4)
        self._receive = receive
        self._watching: asyncio.Task[None] | None = None
        self._sent = 0

    def has_left(self, sent: int) -> bool:
        """Count bytes that were sent; return True once the client has left."""
        self._sent += sent
        if self._watching is None and self._sent >= _FROM and not self._raises:
            self._watching = asyncio.create_task(self._watch())
        return self._watching is not None and self._watching.done()

    async def end(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


StartResponse = Callable[..., Any]


class WSGIFileApp:
    """The WSGI application of a `FileServer`."""

    def __init__(self, answering: Answers) -> None:
        self._answering = answering

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = RequestFacts.of_environ(environ)
        try:
            answer, body = answer_now(self._answering(request))
        except Exception as error:
            if not callable(error):
                raise
            # What `abort` of Werkzeug and Flask raises is an application itself.
            answered: Iterable[bytes] = error(environ, start_response)
            return answered
        status = answer.plan.status
        start_response(f"{int(status)} {status.phrase}", list(answer.plan.headers))
        return () if request.method == "HEAD" else body


def answer_now(steps: Answering) -> tuple[Answer, Iterable[bytes]]:
    """Take the steps in this thread, and return the answer with its bytes."""
    answer, chunks = run(with_body(run(drive(steps, IN_THREAD)), IN_THREAD))
    return answer, list(chunks) if answer.target is None else chunks
