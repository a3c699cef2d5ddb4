"""A few signed requests to an S3 server, so that the tests look at it with eyes of their own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import reduce
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.services.ceph import S3Server

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_REGION = "us-east-1"


class Bucket:
    """One bucket of a server, by requests signed after AWS's Signature Version 4."""

    def __init__(self, server: S3Server, name: str) -> None:
        self._server = server
        self._name = name
        self._host = f"{server.host}:{server.port}"
        self._connection = http.client.HTTPConnection(server.host, server.port, timeout=30)

    def create(self) -> None:
        self._request("PUT")

    def list(self) -> dict[str, str]:
        """Return the ETags of all objects; a scenario never has more than fit on one page."""
        listing = ET.fromstring(self._request("GET", query={"list-type": "2"}))
        return {
            element.findtext(f"{_NAMESPACE}Key", ""): element.findtext(f"{_NAMESPACE}ETag", "")
            for element in listing.iter(f"{_NAMESPACE}Contents")
        }

    def read(self, key: str) -> bytes:
        return self._request("GET", key)

    def delete(self, keys: Iterable[str]) -> None:
        objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
        if objects:
            body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
            self._request("POST", query={"delete": ""}, body=body)

    def pending_uploads(self) -> list[str]:
        """Return the keys of multipart uploads that were begun and never completed."""
        listing = ET.fromstring(self._request("GET", query={"uploads": ""}))
        return [element.text or "" for element in listing.iter(f"{_NAMESPACE}Key")]

    def close(self) -> None:
        self._connection.close()

    def _request(
        self, method: str, key: str = "", *, query: dict[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        target = quote(f"/{self._name}/{key}" if key else f"/{self._name}")
        parameters = urlencode(sorted((query or {}).items()))
        headers = self._signed(method, target, parameters, body)
        address = f"{target}?{parameters}" if parameters else target
        try:
            response = self._ask(method, address, body, headers)
        except http.client.RemoteDisconnected:  # the server closes idle connections
            self._connection.close()
            response = self._ask(method, address, body, headers)
        content = response.read()
        assert response.status < 300, f"{method} {target}: {response.status} {content!r}"
        return content

    def _ask(
        self, method: str, address: str, body: bytes, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        self._connection.request(method, address, body, headers)
        return self._connection.getresponse()

    def _signed(self, method: str, target: str, parameters: str, body: bytes) -> dict[str, str]:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": self._host, "x-amz-content-sha256": digest, "x-amz-date": now}
        names = ";".join(sorted(headers))
        listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = f"{method}\n{target}\n{parameters}\n{listed}\n{names}\n{digest}"
        scope = f"{now[:8]}/{_REGION}/s3/aws4_request"
        hashed = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashed}"
        key = reduce(_hmac, scope.split("/"), f"AWS4{self._server.secret_key}".encode())
        signature = _hmac(key, to_sign).hex()
        credential = f"{self._server.access_key}/{scope}"
        return {
            **headers,
            "content-md5": base64.b64encode(hashlib.md5(body).digest()).decode(),
            "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, "
            f"SignedHeaders={names}, Signature={signature}",
        }


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.new(key, message.encode(), hashlib.sha256).digest()
