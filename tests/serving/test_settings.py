"""Settings of a file server that make no sense are refused where it is made."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.serving import FileServer, XAccelRedirect
from sqlalchemy_file.serving.delivery import stream, x_sendfile
from sqlalchemy_file.serving.http import FileFacts
from sqlalchemy_file.serving.target import Target
from tests.serving.models import SECRET

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a short secret": ({"secret": "short"}, ValueError, "a secret is a string of at least"),
    "a secret of bytes": ({"secret": [b"x" * 50]}, ValueError, "a secret is a string"),
    "no secret of several": ({"secret": []}, ValueError, "a secret is a string of at least"),
    "a permission": ({"authorize": True}, TypeError, "a function of a request and a target"),
    "a policy of no browser": (
        {"resource_policy": "same-host"},
        ValueError,
        "one of 'same-origin', 'same-site', 'cross-origin', not 'same-host'",
    ),
    "one name for several": ({"public": "main"}, TypeError, "not 'main'"),
    "an unknown delivery": ({"delivery": "pigeon"}, ValueError, "not 'pigeon'"),
    "an unknown delivery of one storage": (
        {"delivery": {"main": "pigeon"}},
        ValueError,
        "delivery is one of 'stream', 'redirect', 'x-sendfile'",
    ),
}


@pytest.mark.parametrize("prefix", ["/files/{name}/", "/files/{}/", "/files/{"])
def test_a_prefix_that_cannot_be_filled_in_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"prefix may contain \{storage\} and no other braces"):
        XAccelRedirect(prefix)


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_makes_no_sense_is_refused(name: str) -> None:
    settings, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        FileServer(**settings)


def test_a_secret_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "itsdangerous", None)
    with pytest.raises(MissingExtraError, match="serve"):
        FileServer(secret=SECRET)


def test_a_storage_without_paths_is_streamed_from() -> None:
    StorageManager.add_storage("main", "memory://")
    target = Target("main", "key", "text/plain", "a.txt", "attachment", 5)
    facts = FileFacts(size=5, content_type="text/plain", filename="a.txt")
    assert x_sendfile(target, facts) is None
    assert stream(target, facts) is None
