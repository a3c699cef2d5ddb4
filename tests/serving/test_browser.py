"""What Chromium does with served files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine

from sqlalchemy_file.serving import FileServer
from tests.pictures import encoded, quadrants

from .models import SECRET, saved, saved_photo
from .site import Site, open_site

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTH_OF_FIRST_IMAGE = """
    fetch(document.images[0].currentSrc)
        .then(answer => answer.blob()).then(createImageBitmap).then(image => image.width)
"""
PNG = encoded(quadrants())
pytestmark = pytest.mark.parametrize("storage_url", ["local"], indirect=True)


@pytest.fixture
def files() -> FileServer:
    return FileServer(secret=SECRET)


@pytest.fixture
def site(engine: Engine, files: FileServer) -> Iterator[Site]:
    with open_site(files) as site:
        yield site


def test_a_signed_url_dies_when_it_should(
    page: Page, site: Site, files: FileServer, engine: Engine
) -> None:
    url = site.url + files.url_for(saved(engine, PNG, "a.png"), expires=timedelta(seconds=1))
    assert page.goto(url).status == 200
    page.wait_for_timeout(2_000)  # the end is rounded up, by half a second to a whole one
    gone = page.goto(url)
    assert gone.status == 410
    assert "expired" in gone.text()


def test_a_reload_of_a_file_is_answered_with_304(
    page: Page, site: Site, engine: Engine, files: FileServer
) -> None:
    url = site.url + files.url_for(saved(engine, PNG, "a.png"))
    page.goto(url)
    page.reload()
    assert [exchange.status for exchange in site.exchanges] == [200, 304]
    assert page.evaluate("document.images[0].naturalWidth") == 80


@pytest.mark.parametrize(("shown_at", "loaded"), [("100px", 160), ("500px", 640)])
def test_an_image_comes_in_the_width_that_it_is_shown_at(
    page: Page, site: Site, engine: Engine, files: FileServer, shown_at: str, loaded: int
) -> None:
    photo = saved_photo(engine, encoded(quadrants(1600, 1200)), "a.png")
    site.html = f'<img sizes="{shown_at}" srcset="{files.srcset(photo)}">'
    page.goto(site.url)
    (exchange,) = site.exchanges
    assert exchange.status == 200
    width = page.evaluate(WIDTH_OF_FIRST_IMAGE)
    assert width == loaded
