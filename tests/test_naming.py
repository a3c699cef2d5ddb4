from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_file.naming import MAX_NAME_BYTES, clean_filename, guess_type


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\report.pdf", "report.pdf"),
        ("folder/", "folder"),
        ("/var/\\mixed/x.txt", "x.txt"),
    ],
)
def test_only_the_last_part_of_a_path_is_kept(raw, clean):
    assert clean_filename(raw) == clean


@pytest.mark.parametrize(
    "raw", [None, "", "/", ".", "..", "...", ". .", "a/..", "\u200b", "\n", " "]
)
def test_a_file_that_nothing_names_is_unnamed(raw):
    assert clean_filename(raw) == "unnamed"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("passwd\r\nX: y", "passwdX: y"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\u2066b\u2069.txt", "ab.txt"),
        ("zero\u200bwidth\ufeff.txt", "zerowidth.txt"),
        ("nul\x00.txt", "nul.txt"),
        ("line\u2028end.txt", "lineend.txt"),
        ("half\ud83d.png", "half.png"),
    ],
)
def test_characters_that_cannot_be_seen_or_sent_are_left_out(raw, clean):
    assert clean_filename(raw) == clean


def test_decomposed_letters_are_composed():
    assert clean_filename("re\u0301sume\u0301.txt") == "r\u00e9sum\u00e9.txt"


@pytest.mark.parametrize(
    "name", ["Grüße, résumé, 你好.txt", ".bashrc", "a b.tar.gz", "12:30 Uhr.pdf"]
)
def test_ordinary_names_stay_as_they_are(name):
    assert clean_filename(name) == name


@pytest.mark.parametrize("suffix", [".pdf", ".tar.gz", ".文档"])
def test_a_long_name_is_cut_before_its_suffix(suffix):
    cleaned = clean_filename("你好" * 200 + suffix)
    assert cleaned.endswith(("好" + suffix, "你" + suffix))
    assert MAX_NAME_BYTES - 4 < len(cleaned.encode()) <= MAX_NAME_BYTES


def test_what_is_no_suffix_is_cut_too():
    assert clean_filename("a." + "b" * 400) == "a." + "b" * 253


@given(st.text(max_size=400) | st.text(alphabet="./\\ a\u0301\u202e\ud800é", max_size=400))
def test_any_text_becomes_a_name_that_can_be_kept(raw):
    name = clean_filename(raw)
    assert name
    assert name not in (".", "..")
    assert not set("/\\") & set(name)
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert unicodedata.is_normalized("NFC", name)
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in name)
    assert clean_filename(name) == name


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.csv", "text/csv"),
        ("A.JPG", "image/jpeg"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.webp", "image/webp"),
        ("archive.tar.gz", "application/gzip"),
        ("data:text/html,x.png", "image/png"),
    ],
)
def test_a_suffix_tells_the_type(name, content_type):
    assert guess_type(name) == content_type


@pytest.mark.parametrize("name", [None, "", "README", ".png", "a.unknown-suffix"])
def test_a_name_without_a_known_suffix_tells_no_type(name):
    assert guess_type(name) is None
