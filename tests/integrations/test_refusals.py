"""Refused files as answers of Starlette and FastAPI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import SizeValidationError, ValidationError, ValidationErrors
from sqlalchemy_file.integrations.starlette import problem_response, refusal_response


def refusal(name: str, index: int | None = None, **params: Any) -> ValidationError:
    error = SizeValidationError("pages", f"{name} is too large", code="too_large", params=params)
    error.file, error.index = File(b"x", filename=name), index
    return error


def answer(handler: Any, error: ValidationError) -> Any:
    async def refuse(request: Request) -> Response:
        raise error

    app = Starlette(routes=[Route("/", refuse)], exception_handlers={ValidationError: handler})
    return TestClient(app).get("/")


SEVERAL = ValidationErrors([refusal("grüße.txt", 1, size=11), refusal("b.txt", None, at=Path("x"))])


def test_every_refused_file_is_a_detail_as_fastapi_tells_them() -> None:
    found = answer(refusal_response, SEVERAL)
    assert (found.status_code, found.headers["content-type"]) == (422, "application/json")
    assert found.json()["detail"] == [
        {"type": "too_large", "loc": ["body", "pages", 1], "msg": "grüße.txt is too large",
         "input": "grüße.txt", "ctx": {"size": 11}},
        {"type": "too_large", "loc": ["body", "pages"], "msg": "b.txt is too large",
         "input": "b.txt", "ctx": {"at": "x"}},
    ]  # fmt: skip


def test_refusals_are_a_problem_document() -> None:
    found = answer(problem_response, SEVERAL)
    assert found.headers["content-type"] == "application/problem+json"
    problem = found.json()
    assert (problem["status"], problem["detail"]) == (422, "2 files were refused.")
    assert problem["errors"][0] == {
        "key": "pages", "index": 1, "filename": "grüße.txt",
        "message": "grüße.txt is too large", "code": "too_large", "params": {"size": 11},
    }  # fmt: skip
    one = answer(problem_response, ValidationError("pages", "no"))
    assert one.json()["errors"] == [
        {"key": "pages", "index": None, "filename": None, "message": "no", "code": "invalid",
         "params": {}},
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["\ud800", "\x00", '"', "x" * 300])
def test_any_name_is_valid_json(name: str) -> None:
    error = refusal("a.txt", None, given=name)
    found = answer(refusal_response, error)
    assert json.loads(found.content)["detail"][0]["ctx"] == {"given": name}


@pytest.mark.parametrize("handler", [refusal_response, problem_response])
def test_any_parameter_is_valid_json_and_a_file_a_public_record(handler: Any) -> None:
    file = File(b"x", filename="a.txt", extra={"owner": "secret"})
    error = refusal("a.txt", 0, ratio=float("nan"), sizes={(1, 2): {"x"}}, files=[file])
    text = answer(handler, error).text
    json.loads(text, parse_constant=pytest.fail)
    assert '"ratio": "nan"' in text
    assert '"sizes": {"(1, 2)": ["x"]}' in text
    assert '"files": [{"filename": "a.txt"' in text
    assert "secret" not in text
    assert "content_path" not in text
