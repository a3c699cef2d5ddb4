from __future__ import annotations

import mimetypes
import unicodedata
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_file.content.filenames import MAX_NAME_BYTES, clean_filename
from sqlalchemy_file.detection import guess_type

JOINERS = {0x200C: None, 0x200D: None}


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


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.pdf", id="Persian"),
        pytest.param("\u0d05\u0d35\u0d28\u0d4d\u200d.pdf", id="Malayalam"),
        pytest.param("\u0995\u09cd\u200d\u09b7.pdf", id="Bengali"),
        pytest.param("\U0001f468\u200d\U0001f469\u200d\U0001f467.png", id="family"),
        pytest.param("\U0001f3f3\ufe0f\u200d\U0001f308.png", id="rainbow flag"),
        pytest.param("\U0001f468\U0001f3fd\u200d\U0001f4bb.png", id="skin tone"),
    ],
)
def test_joiners_that_a_script_is_written_with_are_kept(name):
    assert clean_filename(name) == name


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("in\u200cvoice\u200d.exe\u200d", "invoice.exe"),
        ("\u200dreport.pdf", "report.pdf"),
        ("\u0645\u200c\u200c\u200d\u0645.pdf", "\u0645\u200c\u0645.pdf"),
        ("1\u200d2\u200c.txt", "12.txt"),
    ],
)
def test_joiners_that_join_nothing_are_left_out(raw, clean):
    assert clean_filename(raw) == clean


@pytest.mark.parametrize(
    "control", list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)
def test_bidirectional_controls_are_removed(control):
    assert clean_filename(f"\u0645{control}\u200dfdp.exe") == "\u0645\u200dfdp.exe"


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


@given(
    st.text(max_size=400) | st.text(alphabet="./\\ a\u0301\u202e\u200d\u0645\ud800é", max_size=400)
)
def test_any_text_becomes_a_name_that_can_be_kept(raw):
    name = clean_filename(raw)
    assert name
    assert name not in (".", "..")
    assert not set("/\\") & set(name)
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert unicodedata.is_normalized("NFC", name)
    assert not any(
        unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in name.translate(JOINERS)
    )
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
        ("main.rs", "text/x-rust"),
        ("app.ts", "text/x-typescript"),
        ("notes.org", "text/x-org"),
        ("archive.tar.Z", "application/x-compress"),
        ("picture.tga", "image/x-tga"),
    ],
)
def test_a_suffix_tells_the_type(name, content_type):
    assert guess_type(name) == content_type


def test_the_tables_of_the_machine_have_no_say(monkeypatch):
    monkeypatch.setitem(mimetypes.types_map, ".csv", "application/vnd.ms-excel")
    monkeypatch.setitem(mimetypes.types_map, ".unknown-suffix", "a/b")
    assert (guess_type("a.csv"), guess_type("a.unknown-suffix")) == ("text/csv", None)


@pytest.mark.parametrize("name", [None, "", "README", ".png", "a.unknown-suffix"])
def test_a_name_without_a_known_suffix_tells_no_type(name):
    assert guess_type(name) is None


class Template(StrEnum):
    REPORT = "report.pdf"
    OTHER = "r\u00e9sum\u00e9.pdf"


@pytest.mark.parametrize("raw", [Template.REPORT, Template.OTHER])
def test_a_member_of_an_enum_becomes_plain_text(raw):
    assert type(clean_filename(raw)) is str
    assert clean_filename(raw) == raw.value
