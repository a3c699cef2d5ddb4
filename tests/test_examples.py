"""What ``make run`` shows is true."""

from __future__ import annotations

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


class Images(HTMLParser):
    """Collects the images of a page, and whatever it would have to fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.fetched: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        address = attributes.get("src") or attributes.get("href") or ""
        if tag == "img":
            self.images.append(attributes)
        if address and not address.startswith("data:"):
            self.fetched.append(address)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[str, Path]:
    """Return what the main example printed, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("examples") / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("output", "__pycache__"))
    command = [sys.executable, "-W", "error", "-X", "utf8", folder / "attachments.py"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout, folder


def test_rows_and_storages_agree_after_every_step(run):
    printed, _ = run
    assert printed.count("they agree") == 6
    assert "DISAGREE" not in printed


def test_the_steps_show_what_they_promise(run):
    printed, _ = run
    assert "20,000,013" in printed
    assert "before the rollback, the storages have 14 objects" in printed
    assert "within the savepoint, the storages have 11 objects" in printed
    assert "refused: File content_type text/html is not allowed" in printed


def test_nothing_but_objects_and_their_attributes_lies_in_the_storages(run):
    _, folder = run
    kept = [path for path in (folder / "output").rglob("*") if path.is_file()]
    objects = [path for path in kept if len(path.name) == 36]
    assert len(objects) == 10
    others = {path.name.removesuffix(".metadata.json") for path in kept} - {"diary.sqlite"}
    assert others == {path.name for path in objects} | {"contact-sheet.html"}


def test_the_contact_sheet_holds_its_pictures_and_says_what_they_show(run):
    _, folder = run
    page = Images((folder / "output" / "contact-sheet.html").read_text(encoding="utf-8"))
    assert [image["alt"] for image in page.images] == ["Evening at the lake", "The way"]
    assert (page.images[0]["width"], page.images[0]["height"]) == ("240", "320")
    assert page.fetched == []
