from __future__ import annotations

import io
import random

import pytest

from sqlalchemy_file.detection import UNKNOWN, canonical, content_type_of, judge
from tests.detection.corpus import CORPUS, FALSE_CLAIMS, TEXTS, Sample

named = pytest.mark.parametrize


@pytest.fixture(autouse=True)
def without_library(monkeypatch):
    """What everybody has must be enough: the extra library knows rarer formats only."""
    monkeypatch.setattr("sqlalchemy_file.detection.hints._database", lambda: None)


def found(sample: Sample, declared: str | None = None, name: str | None = None) -> str:
    return content_type_of(io.BytesIO(sample.content), declared, name)


def test_the_corpus_is_of_many_formats():
    assert len({sample.content_type for sample in CORPUS}) >= 150
    assert len(FALSE_CLAIMS) >= 60


def test_the_bytes_tell_the_type():
    assert {each.name: found(each) for each in CORPUS} == {
        each.name: each.alone or each.content_type for each in CORPUS
    }


def test_the_type_is_right_with_a_claim():
    assert {each.name: found(each, declared=each.content_type) for each in CORPUS} == {
        each.name: each.content_type for each in CORPUS
    }


def test_the_type_is_right_with_a_name():
    named = [each for each in CORPUS if "." in each.name]
    assert {each.name: found(each, name=each.name) for each in named} == {
        each.name: each.content_type for each in named
    }


def test_a_claim_of_another_family_changes_nothing():
    believed = {}
    for each in CORPUS:
        claim = "video/mp4" if not each.content_type.startswith("video/") else "image/png"
        honest = (each.alone or each.content_type, "text/plain")
        if (decided := found(each, declared=claim)) not in honest:
            believed[each.name] = decided
    assert believed == {}


def test_types_have_one_name():
    types = [each.content_type for each in CORPUS]
    assert list(map(canonical, types)) == types


def test_text_is_of_no_binary_type_whatever_it_claims():
    expected = {"words": "text/plain", "PHP": "text/x-php", "a program": "text/plain"}
    for claim in FALSE_CLAIMS:
        assert {name: judge(text, claim, None) for name, text in TEXTS.items()} == expected, claim


@named("claim", ["video/x-unheard-of", "image/x-nothing", "audio/x-noise", "font/x-none"])
def test_text_is_no_picture_sound_film_or_font_of_unknown_kind_either(claim):
    assert judge(TEXTS["PHP"], claim, "a.bin") == "text/x-php"
    assert judge(TEXTS["words"], claim, None) == "text/plain"


@named(
    "claim",
    ["application/msword", "application/vnd.ms-excel", "image/png", "video/quicktime",
     "application/vnd.sqlite3", "application/wasm", "font/woff2", "application/x-compress"],
)  # fmt: skip
def test_noise_is_of_no_type_with_a_signature(claim):
    noise = bytes([0x81, 0, 0xFE]) + random.Random(7).randbytes(2000)
    assert judge(noise, claim, None) == UNKNOWN


def test_numbers_are_no_palette_and_no_picture():
    chance = random.Random(1)
    for _ in range(100):
        numbers = b"".join(chance.randrange(300).to_bytes(2, "big") for _ in range(400))
        assert judge(numbers, "application/x-measured", "a.dat") == "application/x-measured"
        assert judge(numbers, None, None) == UNKNOWN


@named(
    ("claim", "name", "content", "expected"),
    [
        ("application/vnd.ms-excel", "a.csv", b"a;b\n1;2\n", "text/csv"),
        ("application/vnd.ms-excel", None, b"a,b\n1,2\n", "text/csv"),
        ("application/vnd.ms-excel", "a.tsv", b"a\tb\n", "text/tab-separated-values"),
        ("application/vnd.ms-excel", None, b"a\tb\n1\t2\n", "text/tab-separated-values"),
        ("application/vnd.ms-excel", None, b"hello\n", "text/plain"),
        ("application/csv", None, b"a,b\n", "text/csv"),
        ("text/comma-separated-values", None, b"a,b\n", "text/csv"),
        ("text/x-comma-separated-values", None, b"a,b\n", "text/csv"),
        ("text/x-csv; charset=latin-1", None, b"a,b\n", "text/csv"),
    ],
)
def test_tables_are_csv_under_all_their_names(claim, name, content, expected):
    assert judge(content, claim, name) == expected


@named(
    ("content", "claim", "name", "expected"),
    [
        (b"<!-- made by hand --><gpx/>", "text/xml", None, "text/xml"),
        (b"<!-- made by hand --><gpx/>", None, "track.gpx", "application/gpx+xml"),
        (b"<a><b>1</b></a>", None, "a.xml", "text/xml"),
        (b"<b>,<a>\n1,2\n", "text/csv", None, "text/csv"),
        (b"<img>,alt\n", "text/csv", "a.csv", "text/csv"),
        (b"<b>bold</b> of me", "text/plain", None, "text/plain"),
        (b"<ul><li>one</ul>", "text/markdown", None, "text/markdown"),
        # where nobody says anything, it still is what it looks like
        (b"<b>bold</b> of me", None, None, "text/html"),
        (b"<!-- x --><p>", None, None, "text/html"),
        (b"<b>bold</b>", "image/png", None, "text/html"),
        # what browsers certainly show as a page is one
        (b"<!-- x --><html>", "text/plain", "a.txt", "text/html"),
        (b"<!-- x --><!DOCTYPE HTML>", "text/csv", "a.csv", "text/html"),
        (b"<script>alert(1)</script>", "text/csv", "a.csv", "text/html"),
        (b"<iframe src=x>", "text/plain", None, "text/html"),
    ],
)
def test_only_what_is_certainly_html_overrules_a_claim(content, claim, name, expected):
    assert judge(content, claim, name) == expected


@named(
    ("name", "expected"),
    [("id_rsa.pub", "text/plain"), ("server.key", "text/plain"), ("notes.msg", "text/plain"),
     ("graph.dot", "text/plain"), ("main.rs", "text/x-rust"), ("app.ts", "text/x-typescript"),
     ("todo.org", "text/x-org")],
)  # fmt: skip
def test_texts_with_the_suffix_of_something_else_are_texts(name, expected):
    assert judge(b"some text\n", None, name) == expected


def test_a_file_that_breaks_off_anywhere_is_no_trouble():
    for sample in CORPUS:
        for size in range(min(len(sample.content), 80)):
            assert "/" in content_type_of(io.BytesIO(sample.content[:size]), None, None)


def test_an_archive_without_an_end_and_a_tag_without_sound_are_what_they_seem():
    late = next(sample for sample in CORPUS if sample.name == "late.docx")
    cover = next(sample for sample in CORPUS if sample.name == "cover.mp3")
    assert content_type_of(io.BytesIO(late.content[:9000]), None, None) == "application/zip"
    assert content_type_of(io.BytesIO(cover.content[:9000]), None, None) == "audio/mpeg"


@named("name", ["late.docx", "a.doc", "cover.aac"])
def test_damage_further_in_is_no_trouble(name):
    content = next(sample.content for sample in CORPUS if sample.name == name)
    for seed in range(200):
        chance = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(12):
            damaged[-chance.randrange(1, min(2000, len(content)))] = chance.randrange(256)
        assert "/" in content_type_of(io.BytesIO(bytes(damaged)), None, None)


def test_rarer_formats_are_told_by_the_library_of_the_extra(monkeypatch):
    pytest.importorskip("pure_magic_rs")
    monkeypatch.undo()
    cartridge = b"NES\x1a\1\0" + bytes(64)
    assert judge(cartridge, None, None) == "application/x-nes-rom"
    assert judge(cartridge, "application/x-mine", None) == "application/x-mine"
