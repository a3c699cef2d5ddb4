"""The servers that some cases need, started at the first use."""

from __future__ import annotations

import subprocess
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.scenarios.s3 import Bucket
from tests.services import ceph, postgresql

DELAY = 0.02
"""Seconds that the proxy adds to each request."""


class Servers:
    """PostgreSQL, S3, and a door to the latter that is twenty milliseconds away."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._postgresql: str | None = None
        self._s3: ceph.S3Server | None = None
        self._far_port: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def postgresql(self) -> str:
        """Return the URL of a database."""
        if self._postgresql is None:
            self._postgresql = self._stack.enter_context(postgresql.running()).url
        return self._postgresql

    def bucket(self, *, far: bool) -> dict[str, Any]:
        """Return how a contender reaches a new bucket, near and, if wanted, from far away."""
        server = self._server()
        name = f"bench-{uuid.uuid4()}"
        bucket = Bucket(server, name)
        bucket.create()
        bucket.close()
        near = {
            "host": server.host,
            "port": server.port,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "bucket": name,
        }
        return {"s3": {**near, "port": self._door()} if far else near, "s3_direct": near}

    def _server(self) -> ceph.S3Server:
        if self._s3 is None:
            self._s3 = self._stack.enter_context(ceph.running())
        return self._s3

    def _door(self) -> int:
        if self._far_port is None:
            server = self._server()
            program = Path(__file__).with_name("delay_proxy.py")
            command = [sys.executable, str(program), server.host, str(server.port), str(DELAY)]
            process = self._stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            )
            self._stack.callback(process.terminate)
            assert process.stdout is not None
            self._far_port = int(process.stdout.readline())
        return self._far_port
