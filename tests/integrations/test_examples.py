"""The examples of ``examples/web`` take uploads, show files, and serve them."""

from __future__ import annotations

import ast
import gc
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import httpx2
import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from sqlalchemy_file import StorageManager
from tests import pictures
from tests.integrations.conftest import EXAMPLES
from tests.services.web import serving_wsgi
from tests.stores import contents, keys

PICTURE = pictures.encoded(Image.new("RGB", (300, 200), "red"))
UPLOADS = [
    ("cover", ("red.png", PICTURE, "image/png")),
    ("pages", ("1.txt", b"one", "text/plain")),
    ("pages", ("2.txt", b"two", "text/plain")),
]
JSON_APPS = ["fastapi", "sqlmodel", "litestar", "flask", "quart"]

COMMANDS = dict(
    re.findall(
        r"^\| `python examples/web/(\w+)\.py` \| `(/\w+)`",
        (EXAMPLES.parent / "README.md").read_text(),
        re.MULTILINE,
    )
)
"""The programs that the examples' page names, and the page to open of each."""

pytestmark = [  # Flask and Quart leave it to the garbage collector to close what forms upload
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*Spooled"),
]


@pytest.fixture
def start(
    example: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Any]]:
    """Return a function that starts an example, opens its page, and returns a client of it."""
    with ExitStack() as stack:

        def client(name: str) -> Any:
            module = example(f"{name}_app")
            require_command(module, monkeypatch)
            found = client_of(module)
            page = COMMANDS[module.__name__]
            shown = found.get(page, headers={"Accept": "text/html"}, follow_redirects=True)
            assert shown.status_code == 200, shown.text
            return found

        def client_of(module: ModuleType) -> Any:
            if isinstance(module.app, flask.Flask):
                url = stack.enter_context(serving_wsgi(module.app))
                return stack.enter_context(httpx2.Client(base_url=url))
            return stack.enter_context(TestClient(module.app))

        yield client
    gc.collect()


def test_the_page_names_every_example() -> None:
    assert sorted(COMMANDS) == sorted(path.stem for path in EXAMPLES.glob("*_app.py"))


@pytest.mark.parametrize("name", [name for name in COMMANDS if "admin" in name])
def test_an_admin_starts_with_one_command_and_shows_its_page(
    start: Callable[[str], Any], name: str
) -> None:
    start(name.removesuffix("_app"))


def require_command(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail unless the program serves its application when it is run."""
    started: list[Any] = []
    monkeypatch.setattr(uvicorn, "run", started.append)
    monkeypatch.setattr(flask.Flask, "run", lambda app, port: started.append(app))
    source = Path(module.__file__).read_text()
    (block,) = [each for each in ast.parse(source).body if isinstance(each, ast.If)]
    exec(compile(ast.Module(block.body, []), module.__name__, "exec"), vars(module))
    assert started == [module.app]


@pytest.mark.parametrize("name", JSON_APPS)
def test_an_example_takes_lists_and_serves_files(start: Callable[[str], Any], name: str) -> None:
    client = start(name)
    made = client.post("/albums", data={"title": "Journey"}, files=UPLOADS)
    assert made.status_code == 201, made.text
    (album,) = client.get("/albums").json()
    assert album == {**made.json(), "cover": album["cover"], "pages": album["pages"]}
    assert album["title"] == "Journey"
    assert [page["filename"] for page in album["pages"]] == ["1.txt", "2.txt"]
    assert not re.search("upload_storage|file_id|content_path", made.text)
    assert client.get(album["cover"]["url"]).content == PICTURE
    small = pictures.opened(client.get(album["cover"]["thumbnail"]["url"]).content)
    assert max(small.size) == 96
    assert client.get("/albums/1/cover").content == PICTURE
    part = client.get("/albums/1/cover", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    small = pictures.opened(client.get("/albums/1/cover?variant=thumbnail").content)
    assert max(small.size) == 96
    assert len(keys(StorageManager.storage("albums"))) == 4
    assert client.head("/albums/1/cover").headers["content-length"] == str(len(PICTURE))
    assert client.get("/albums/1/cover?variant=unknown").status_code == 404


@pytest.mark.parametrize("name", ["fastapi", "litestar", "flask", "quart"])
def test_an_example_tells_why_a_file_is_refused(start: Callable[[str], Any], name: str) -> None:
    page = {"cover": ("a.png", b"no picture", "image/png")}
    refused = start(name).post("/albums", data={"title": "Journey"}, files=page)
    assert refused.status_code == 422
    assert "Provide valid image file" in refused.text
    assert keys(StorageManager.storage("albums")) == []


def test_the_example_of_graphql_answers_with_urls(start: Callable[[str], Any]) -> None:
    client = start("graphql")
    made = client.post("/albums", data={"title": "Journey"}, files=UPLOADS)
    assert made.json()["cover"]["filename"] == "red.png"
    query = '{ albums { title cover { url small: url(variant: "thumbnail") } pages { filename } } }'
    (album,) = client.post("/graphql/", json={"query": query}).json()["data"]["albums"]
    assert [page["filename"] for page in album["pages"]] == ["1.txt", "2.txt"]
    assert client.get(album["cover"]["url"]).content == PICTURE
    assert max(pictures.opened(client.get(album["cover"]["small"]).content).size) == 96


def test_the_form_of_the_flask_example_changes_what_is_chosen(start: Callable[[str], Any]) -> None:
    client = start("flask")
    client.post("/albums", data={"title": "Journey"}, files=UPLOADS)
    form = client.get("/albums/1").text
    (csrf,) = re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', form)
    first, _ = re.findall(r'name="pages-current" value="([^"]+)"', form)
    saved = client.post(
        "/albums/1",
        data={"title": "Voyage", "csrf_token": csrf, "cover-remove": "yes"},
        files={f"pages-replace-{first}": ("3.txt", b"three")},
    )
    assert saved.status_code == 302, saved.text
    (album,) = client.get("/albums").json()
    assert (album["title"], album["cover"]) == ("Voyage", None)
    assert [page["filename"] for page in album["pages"]] == ["3.txt", "2.txt"]
    assert contents(StorageManager.storage("albums")) == [b"three", b"two"]
