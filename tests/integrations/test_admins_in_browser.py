"""The admins in Chromium: after each step the storage holds what the rows name."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page
from sqlalchemy.orm import Session

from sqlalchemy_file import StorageManager
from tests import pictures
from tests.services.web import serving, serving_wsgi
from tests.stores import keys, named

# The admins leave it to the garbage collector to close what forms upload.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*Spooled"),
]


class Admin:
    """How one admin is used: its addresses, and what is clicked."""

    listed, new, shown, edited = "list", "create", "detail?pk=1", "edit?pk=1"
    remove_cover, remove_page = "_cover-delete", "pages-remove"
    serve = staticmethod(serving)

    def __init__(self, page: Page, url: str, albums: ModuleType) -> None:
        self.page = page
        self.url = f"{url}/admin/album/"
        self.albums = albums

    def open(self, address: str) -> Page:
        self.page.goto(self.url + address)
        return self.page

    def submit(self) -> None:
        self.page.get_by_role("button", name="Save", exact=True).click()
        self.page.wait_for_url(re.compile(re.escape(self.url + self.listed) + r"(\?.*)?$"))

    def delete(self) -> None:
        self.page.locator("tbody a[aria-label=Delete]").click()
        self.page.get_by_role("button", name="Yes, delete").click()

    def albums_now(self) -> list[Any]:
        """Return the title, the cover and the pages of each row; the storage has what they name."""
        stored = keys(StorageManager.storage("albums"))
        paths = named(self.albums.engine, "album", "cover", "pages")
        assert sorted(paths) == [f"albums/{key}" for key in stored]
        with Session(self.albums.engine) as session:
            return [
                (
                    album.title,
                    album.cover and album.cover.filename,
                    [page.filename for page in album.pages or ()],
                )
                for album in session.query(self.albums.Album)
            ]


class SQLAdmin(Admin):
    shown, edited = "details/1", "edit/1"
    remove_cover = "cover-remove"

    def delete(self) -> None:
        self.page.locator("tbody a[data-bs-target='#modal-delete']").click()
        # Once the modal is shown: until then the URL of the button is empty, that of the list.
        self.page.locator("#modal-delete-button:not([data-url=''])").click()


class FlaskAdmin(Admin):
    listed, new, shown, edited = "", "new/", "details/?id=1", "edit/?id=1"
    remove_cover = "cover-remove"
    serve = staticmethod(serving_wsgi)

    def delete(self) -> None:
        self.page.once("dialog", lambda dialog: dialog.accept())
        self.page.locator("button[title='Delete Record']").click()


ADMINS = {"starlette_admin": Admin, "sqladmin": SQLAdmin, "flask_admin": FlaskAdmin}


@pytest.fixture(params=ADMINS)
def admin(
    request: pytest.FixtureRequest, example: Callable[[str], ModuleType], page: Page
) -> Iterator[Admin]:
    module, kind = example(f"{request.param}_app"), ADMINS[request.param]
    with kind.serve(module.app) as url:
        yield kind(page, url, example("albums"))
    gc.collect()  # while the warnings above are ignored


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "to-upload"
    folder.mkdir()
    for name in ("1.bin", "2.bin", "3.bin"):
        (folder / name).write_bytes(b"\0" + name.encode())
    for colour in ("red", "blue"):
        picture = pictures.encoded(Image.new("RGB", (300, 200), colour))
        (folder / f"{colour}.png").write_bytes(picture)
    return {path.name: path for path in folder.iterdir()}


def test_files_are_created_shown_changed_and_deleted(admin: Admin, files: dict[str, Path]) -> None:
    page = admin.open(admin.new)
    page.fill("[name=title]", "Journey")
    page.set_input_files("[name=cover]", files["red.png"])
    page.set_input_files("[name=pages]", [files["1.bin"], files["2.bin"]])
    admin.submit()
    assert admin.albums_now() == [("Journey", "red.png", ["1.bin", "2.bin"])]

    assert re.search(r"/files/[^\"')]+thumbnail", admin.page.locator("tbody").inner_html())
    for address in (admin.listed, admin.shown):
        link = admin.open(address).locator("a", has_text="2.bin").first
        link.evaluate("a => a.removeAttribute('target')")
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == "2.bin"
        assert download.value.path().read_bytes() == files["2.bin"].read_bytes()

    admin.open(admin.edited).fill("[name=title]", "Voyage")
    admin.submit()
    assert admin.albums_now() == [("Voyage", "red.png", ["1.bin", "2.bin"])]

    page = admin.open(admin.edited)
    page.set_input_files("[name=cover]", files["blue.png"])
    page.locator("[name^=pages-replace-]").first.set_input_files(files["3.bin"])
    admin.submit()
    assert admin.albums_now() == [("Voyage", "blue.png", ["3.bin", "2.bin"])]

    page = admin.open(admin.edited)
    page.locator(f"[name={admin.remove_cover}]").check()
    page.locator(f"[name={admin.remove_page}]").first.check()
    page.set_input_files("[name=pages]", files["1.bin"])
    admin.submit()
    assert admin.albums_now() == [("Voyage", None, ["2.bin", "1.bin"])]

    admin.open(admin.listed)
    admin.delete()
    admin.page.wait_for_function("!document.body.innerText.includes('Voyage')")
    assert admin.albums_now() == []


def test_a_refused_file_is_told_and_changes_nothing(admin: Admin, files: dict[str, Path]) -> None:
    page = admin.open(admin.new)
    page.fill("[name=title]", "Journey")
    page.set_input_files("[name=cover]", {"name": "a.png", "mimeType": "image/png", "buffer": b"x"})
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Provide valid image file").first.wait_for()
    assert admin.albums_now() == []
