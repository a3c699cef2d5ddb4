"""Compare an answer, whoever gave it, with a row of the table."""

from __future__ import annotations

from email.parser import BytesParser
from typing import Any

from sqlalchemy_file.serving.http import Plan

from .raw_client import Received
from .table import DATA, bytes_at


def received(plan: Plan) -> Received:
    """Return a plan for the file of the table as a client receives it."""
    body = b"".join(
        each if isinstance(each, bytes) else DATA[each.start : each.end] for each in plan.body
    )
    headers = [(name.lower(), value) for name, value in plan.headers]
    return Received(int(plan.status), headers, body)


def difference(answer: Received, method: str, status: int, sent: str) -> str | None:
    """Return what is not as the row has it, or None.

    The pages that servers send with an error are not looked at.
    """
    if answer.status != status:
        return f"status {answer.status}, expected {status}"
    if method == "HEAD":
        found: Any = (answer.body, answer.header("content-length") if status == 200 else "")
        expected: Any = (b"", str(len(DATA)) if status == 200 else "")
    elif status == 206 and "," in sent:
        found = parts_of(answer)
        expected = [(f"bytes {each}/{len(DATA)}", bytes_at(each)) for each in sent.split(",")]
    elif status == 206:
        found = (answer.header("content-range"), answer.body)
        expected = (f"bytes {sent}/{len(DATA)}", bytes_at(sent))
    elif status == 200:
        found = (answer.header("content-range"), answer.body)
        expected = (None, DATA)
    elif status == 416:
        found, expected = answer.header("content-range"), f"bytes */{len(DATA)}"
    else:
        return None
    return None if found == expected else f"{found}, expected {expected}"


def parts_of(answer: Received) -> list[tuple[str, bytes]]:
    """Return the ranges and the bytes of an answer's parts; each has the type of the file."""
    kind = answer.header("content-type")
    document = f"Content-Type: {kind}\r\n\r\n".encode() + answer.body
    message = BytesParser().parsebytes(document)
    assert message.get_content_type() == "multipart/byteranges", kind
    assert not message.defects
    parts: Any = message.get_payload()
    assert {part.get_content_type() for part in parts} == {"image/png"}
    boundary = message.get_boundary()
    assert answer.body.endswith(f"\r\n--{boundary}--\r\n".encode())
    cut = answer.body.split(f"--{boundary}\r\n".encode())[1:]
    bodies = [
        each.partition(b"\r\n\r\n")[2].split(f"\r\n--{boundary}--".encode())[0] for each in cut
    ]
    return [
        (part["Content-Range"], body.removesuffix(b"\r\n"))
        for part, body in zip(parts, bodies, strict=True)
    ]
