"""What Chromium does with served files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Error
from sqlalchemy import Engine

from sqlalchemy_file.serving import FileServer
from tests.pictures import encoded, quadrants
from tests.services.web import serving

from .hostile import EMBEDDED, HOSTILE
from .models import SECRET, saved, saved_photo
from .site import Site, open_site
from .videos import webm

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTH_OF_FIRST_IMAGE = """
    fetch(document.images[0].currentSrc)
        .then(answer => answer.blob()).then(createImageBitmap).then(image => image.width)
"""
SEEK = """second => new Promise(done => {
    const video = document.querySelector("video");
    video.onseeked = done;
    video.currentTime = second;
})"""
PIXEL = """() => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.drawImage(document.querySelector("video"), 0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
PDF = b"""%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R /OpenAction 4 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 200 200]>> endobj
4 0 obj <</S /JavaScript
/JS (app.launchURL\\("/report/pdf"\\); this.submitForm\\("/report/pdf"\\);)>> endobj
trailer <</Root 1 0 R>>
%%EOF
"""
NAMES = {
    "letter.txt": "letter.txt",
    "my letter; final, really=yes.txt": "my letter; final, really=yes.txt",
    'say "hi".txt': "say _hi_.txt",
    "grüße.txt": "grüße.txt",
    "日本語.txt": "日本語.txt",
    "😀.txt": "😀.txt",
    "100%41.txt": "100%41.txt",
    "a\r\nSet-Cookie: x=1.txt": "aSet-Cookie_ x=1.txt",
    "invoice\u202etxt.exe": "invoicetxt.exe",
    "../../etc/passwd": "passwd",
    "back\\slash.txt": "slash.txt",
    "x" * 300 + ".txt": "x" * 146 + ".txt",
}
"""File names, and what Chromium makes of their headers."""
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


@pytest.mark.parametrize(
    ("page_host", "files_host", "options"),
    [
        ("www.site.localhost", "files.site.localhost", {}),
        ("localhost", "127.0.0.1", {"resource_policy": "cross-origin"}),
    ],
)
def test_pages_show_the_images_of_a_file_server_on_another_host(
    page: Page, engine: Engine, page_host: str, files_host: str, options: Any
) -> None:
    servers: list[FileServer] = []

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        await servers[0].asgi(scope, receive, send)

    with serving(elsewhere) as url, open_site(FileServer(secret=SECRET)) as site:
        files_url = url.replace("127.0.0.1", files_host)
        servers.append(FileServer(secret=SECRET, url=files_url, **options))
        site.html = f'<img src="{servers[0].url_for(saved(engine, PNG, "a.png"))}">'
        page.goto(site.url.replace("127.0.0.1", page_host))
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


def test_a_video_seeks_by_ranges(page: Page, site: Site, engine: Engine, files: FileServer) -> None:
    content = webm(60)
    video = saved(engine, content, "a.webm")
    assert video["content_type"] == "video/webm"
    site.html = f'<video preload="metadata" muted src="{files.url_for(video)}"></video>'
    page.goto(site.url)
    page.wait_for_function("document.querySelector('video').readyState >= 1")
    assert page.evaluate("document.querySelector('video').duration") == 60
    page.evaluate(SEEK, 50)
    red, _, blue = page.evaluate(PIXEL)
    assert blue > red
    starts = [exchange.headers.get("range", "") for exchange in site.exchanges]
    sought = [int(each.removeprefix("bytes=").partition("-")[0]) for each in starts if each]
    assert max(sought) > len(content) / 2, starts
    assert {exchange.status for exchange in site.exchanges} == {206}


def test_a_pdf_is_shown(page: Page, site: Site, engine: Engine, files: FileServer) -> None:
    pdf = saved(engine, PDF, "a.pdf")
    answer = page.goto(site.url + files.url_for(pdf))
    assert answer.status == 200
    assert page.evaluate("document.contentType") == "application/pdf"
    page.wait_for_timeout(500)
    assert site.reports == []


def test_a_careless_server_would_let_every_upload_run(page: Page, site: Site) -> None:
    site.careless = {each.name: (each.content, each.careless_type) for each in HOSTILE}
    site.html = "".join(EMBEDDED.format(f"/careless/{each.name}") for each in HOSTILE)
    page.goto(site.url)
    for _ in range(50):
        if len(set(site.reports)) == len(HOSTILE):
            break
        page.wait_for_timeout(100)
    assert set(site.reports) == {each.name for each in HOSTILE}


def test_no_upload_runs_a_script(page: Page, site: Site, engine: Engine, files: FileServer) -> None:
    urls = [files.url_for(saved(engine, each.content, each.name)) for each in HOSTILE]
    site.html = "".join(EMBEDDED.format(url) for url in urls)
    page.goto(site.url)
    assert len({exchange.url for exchange in site.exchanges}) == len(HOSTILE)
    for url in urls:
        with suppress(Error):  # most are downloaded, which is no page to go to
            page.goto(site.url + url)
    page.wait_for_timeout(300)
    assert site.reports == []
    assert {exchange.status for exchange in site.exchanges} <= {200, 206, 304}


def test_a_download_has_the_name_of_the_file(
    page: Page, site: Site, engine: Engine, files: FileServer
) -> None:
    file = saved(engine, b"Dear Sir", "a.txt")
    page.goto(site.url)
    names = {}
    for name in NAMES:
        url = files.url_for(file, filename=name)
        with page.expect_download() as download:
            page.evaluate("url => { location = url }", url)
        names[name] = download.value.suggested_filename
    assert names == NAMES
