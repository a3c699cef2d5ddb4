from __future__ import annotations

import io
import random
import string
import sys
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqlalchemy_file.detection import (
    HEAD_SIZE,
    UNKNOWN,
    canonical,
    content_type_of,
    detect,
    judge,
)
from sqlalchemy_file.detection.content import decide, refutes
from sqlalchemy_file.detection.hints import _database, look_up, looks_like_html
from tests.samples import (
    DOCX,
    ODT,
    PDF,
    PROVEN,
    SVG,
    UNPROVEN,
    XLSX,
    archive,
    matroska,
    office,
    opendocument,
)

named = pytest.mark.parametrize


@named("name", PROVEN)
def test_the_first_bytes_prove_the_type(name):
    content, content_type = PROVEN[name]
    assert detect(content[:HEAD_SIZE]) == content_type


@named("name", UNPROVEN)
def test_text_and_unmarked_bytes_prove_no_type(name):
    assert detect(UNPROVEN[name][:HEAD_SIZE]) is None


@pytest.mark.parametrize("width", range(1, 9))
def test_a_length_in_webm_may_take_up_to_eight_bytes(width):
    assert detect(matroska(b"webm", width)) == "video/webm"


def test_noise_proves_no_type():
    heads = [random.Random(seed).randbytes(HEAD_SIZE) for seed in range(2000)]
    assert [detect(head) for head in heads if detect(head) is not None] == []


def test_the_name_has_no_say_in_what_the_bytes_prove():
    assert detect(b"<html>", "photo.png") == "text/html"


@named("content_type", sorted({content_type for _, content_type in PROVEN.values()}))
def test_types_are_detected_under_their_canonical_name(content_type):
    assert canonical(content_type) == content_type


@given(st.sampled_from(sorted(PROVEN)), st.data())
def test_damaged_files_are_no_trouble(name, data):
    head = bytearray(PROVEN[name][0][:HEAD_SIZE])
    for place in data.draw(st.lists(st.integers(0, len(head) - 1), max_size=8)):
        head[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(head)))
    found = detect(bytes(head[:cut]))
    assert found is None or canonical(found) == found


@named(
    ("content", "content_type"),
    [
        (opendocument(f"{ODT[:-1]}T"), ODT),
        (opendocument("application/vnd.oasis.opendocument." + "x" * 200), "application/zip"),
        (office("a.xml", f"application/vnd.ms-word.{'x' * 200}.main+xml"), "application/zip"),
    ],
)
def test_a_type_named_inside_an_archive_is_returned_under_its_canonical_name(content, content_type):
    assert detect(content[:HEAD_SIZE]) == content_type


@given(st.text(alphabet=string.printable, max_size=200))
@example("<")
@example("<!")
@example("<!DOCTYPE svg [<!ENTITY a 'b'>")
@example("<?xml")
def test_printable_text_is_taken_for_text_formats_only(text):
    found = detect(text.encode())
    textual = ("application/pdf", "application/postscript", "application/rtf", "image/svg+xml")
    assert found is None or found.startswith("text/") or found in textual or "xml" in found


@pytest.mark.parametrize("text", [b"Not free of charge", b"The wide world", b"1,2\nskip,3\n"])
def test_a_text_with_the_name_of_a_box_is_no_film(text):
    assert judge(text, None, "a.txt") == "text/plain"


def test_several_threads_may_detect_at_once():
    content, content_type = PROVEN["dicom, by the library"]
    found = []
    threads = [threading.Thread(target=lambda: found.append(detect(content))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [content_type] * 8


@named(
    ("alias", "name"),
    [
        ("image/jpg", "image/jpeg"),
        ("IMAGE/PNG", "image/png"),
        ("text/html; charset=utf-8", "text/html"),
        ("image/vnd.microsoft.icon", "image/x-icon"),
        ("application/x-zip-compressed", "application/zip"),
        ("audio/x-wav", "audio/wav"),
        ("application/xml", "text/xml"),
        ("text/x-custom", "text/x-custom"),
    ],
)
def test_each_type_has_one_name(alias, name):
    assert canonical(alias) == name


@named("nonsense", [None, "", "png", "image/", "/png", "image/p ng", "image/*", "a/b/c"])
def test_what_is_no_type_has_no_name(nonsense):
    assert canonical(nonsense) is None


@named(
    ("detected", "declared", "filename", "decided"),
    [
        # the bytes
        ("text/html", "image/png", "a.png", "text/html"),
        ("image/png", "image/jpg", "a.jpg", "image/png"),
        ("application/zip", "application/x-zip-compressed", None, "application/zip"),
        ("application/vnd.android.package-archive", "application/pdf", "a.pdf", None),
        # else the sender
        (None, "text/csv", "a.txt", "text/csv"),
        (None, "Text/CSV; charset=utf-8", None, "text/csv"),
        (None, "application/x-custom", None, "application/x-custom"),
        # else the name
        (None, None, "a.csv", "text/csv"),
        (None, "application/octet-stream", "a.csv", "text/csv"),
        (None, "nonsense", "a.csv", "text/csv"),
        # else nothing
        (None, None, None, UNKNOWN),
        (None, None, "README", UNKNOWN),
    ],
)
def test_the_bytes_are_believed_then_the_sender_then_the_name(
    detected, declared, filename, decided
):
    assert decide(detected, declared, filename) == (decided or detected)


@named(
    ("detected", "declared", "filename", "decided"),
    [
        ("application/zip", None, "a.docx", DOCX),
        ("application/zip", "application/octet-stream", "a.docx", DOCX),
        ("application/zip", "application/epub+zip", None, "application/epub+zip"),
        ("application/zip", "model/3mf", None, "model/3mf"),
        ("application/x-ole-storage", None, "a.doc", "application/msword"),
        ("text/xml", "application/atom+xml", None, "application/atom+xml"),
        ("text/html", None, "README.md", "text/markdown"),
        ("video/mp4", "audio/mp4", None, "audio/mp4"),
        ("image/tiff", "image/x-nikon-nef", None, "image/x-nikon-nef"),
        (XLSX, "application/vnd.ms-excel.sheet.macroEnabled.12", None, None),
    ],
)
def test_a_claim_may_narrow_down_what_the_bytes_say(detected, declared, filename, decided):
    expected = decided or canonical(declared)
    assert decide(detected, declared, filename) == expected


@named(
    ("detected", "declared"),
    [
        ("application/zip", "application/pdf"),
        ("application/zip", "image/png"),
        ("application/zip", "text/html"),
        ("application/zip", "application/xhtml+xml"),
        ("application/gzip", DOCX),
        ("application/gzip", "image/svg+xml"),
        ("text/html", "text/plain"),
        ("text/html", "text/css"),
        ("image/tiff", "image/png"),
        (XLSX, "application/vnd.ms-excel"),
        (DOCX, "application/zip"),
    ],
)
def test_a_claim_that_contradicts_the_bytes_is_not_believed(detected, declared):
    assert decide(detected, declared, None) == detected


@named("claimed", ["image/png", "image/jpg", "application/pdf", "video/mp4", DOCX, "font/woff2"])
def test_a_signature_that_is_missing_refutes_a_claim(claimed):
    assert refutes(None, claimed)


@named("claimed", ["text/plain", "text/csv", "application/json", "audio/mpeg", "image/svg+xml"])
def test_types_without_a_signature_are_not_refuted_by_its_absence(claimed):
    assert not refutes(None, claimed)


@named(
    ("content", "claimed", "refuted"),
    [
        (PDF, "application/pdf", False),
        (PDF, "application/x-pdf", False),
        (PDF, "text/plain", True),
        (SVG.encode(), "image/png", True),
        (archive(("a", "b")), DOCX, False),
    ],
)
def test_bytes_of_another_type_refute_a_claim(content, claimed, refuted):
    assert refutes(detect(content), claimed) is refuted


def test_a_book_is_known_by_its_type_wherever_it_stands_in_the_archive():
    filler = [(f"chapter{n}", random.Random(n).randbytes(3000).hex()) for n in range(3)]
    book = archive(*filler, ("mimetype", "application/epub+zip"), stored=("mimetype",))
    assert content_type_of(io.BytesIO(book), None, "unnamed") == "application/epub+zip"


@named(("depth", "content_type"), [(24, "image/x-tga"), (7, UNKNOWN)])
def test_a_mapped_tga_has_colours_of_a_known_depth(depth, content_type):
    header = bytearray(18)
    header[1] = header[2] = 1
    header[7], header[12], header[14], header[16] = depth, 8, 8, 8
    content = io.BytesIO(bytes(header) + bytes(100))
    assert content_type_of(content, None, "unnamed") == content_type


def test_without_its_library_a_rare_format_is_unknown(monkeypatch):
    _database.cache_clear()
    monkeypatch.setitem(sys.modules, "pure_magic_rs", None)
    try:
        assert look_up(b"RARE\0\0\0\0header") is None
    finally:
        _database.cache_clear()


@pytest.mark.parametrize(
    ("head", "looks"),
    [
        (b"<!-- note --><p>", True),
        (b"<p>text", True),
        (b"<?xml version='1.0'?><!-- note -->", False),
        (b"text", False),
    ],
)
def test_text_that_begins_as_html_does_looks_like_it(head, looks):
    assert looks_like_html(head) == looks
