"""A web server that answers as told, to see what becomes of answers that S3 servers rarely give."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stalls: bool = False
    """Whether nothing more is said, and the connection stays open, after that body."""


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """The port that the client sent it from: the same for all requests of one connection."""

    @property
    def is_part(self) -> bool:
        return self.method == "PUT" and "partNumber=" in self.path

    @property
    def is_completion(self) -> bool:
        return self.method == "POST" and "uploadId=" in self.path

    @property
    def is_abort(self) -> bool:
        return self.method == "DELETE" and "uploadId=" in self.path


class Bucket:
    """Answers like a bucket that takes everything, unless ``fault`` answers in its place."""

    def __init__(self, fault: Callable[[Request], Answer | None] = lambda request: None) -> None:
        self.seen: list[Request] = []
        self._fault = fault

    def __call__(self, request: Request) -> Answer:
        self.seen.append(request)
        return self._fault(request) or self._answer(request)

    def _answer(self, request: Request) -> Answer:
        if request.method == "DELETE":
            return Answer(204)
        if request.method == "POST":
            return Answer(200, self._posted(request))
        if "x-amz-copy-source" in request.headers:
            return Answer(200, b"<CopyObjectResult><ETag>1</ETag></CopyObjectResult>")
        if "list-type=2" in request.path:
            return Answer(
                200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            )
        dates = {"Last-Modified": "Mon, 02 Feb 2026 10:00:00 GMT"}
        return Answer(200, b"bytes" if request.method != "PUT" else b"", {"ETag": '"1"', **dates})

    def _posted(self, request: Request) -> bytes:
        if "uploadId=" in request.path:
            return (
                b"<CompleteMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Location>l</Location><Bucket>b</Bucket>"
                b"<Key>k</Key><ETag>1</ETag></CompleteMultipartUploadResult>"
            )
        if "uploads" in request.path:
            return (
                b"<InitiateMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Bucket>b</Bucket><Key>k</Key>"
                b"<UploadId>upload</UploadId></InitiateMultipartUploadResult>"
            )
        keys = re.findall(rb"<Key>[^<]*</Key>", request.body)
        deleted = b"".join(b"<Deleted>%b</Deleted>" % key for key in keys)
        return b"<DeleteResult>%b</DeleteResult>" % deleted

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.seen]

    @property
    def connections(self) -> set[int]:
        return {request.connection for request in self.seen}


@contextmanager
def answering(
    answer: Callable[[Request], Answer], context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1, whose number is yielded; over TLS with a ``context``."""

    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body, port = self.rfile.read(length), self.client_address[1]
            said = answer(Request(self.command, self.path, headers, body, port))
            self.send_response(said.status)
            for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)
            self.close_connection = "Content-Length" in said.headers
            if said.stalls:
                over.wait(60)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = respond  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.handle_error = lambda request, address: None  # clients that refuse the certificate
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
