from __future__ import annotations

import io

import pytest

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import ContentTypeValidationError
from sqlalchemy_file.validators import ContentTypeValidator
from tests.pictures import encoded, noise
from tests.samples import PDF, office

PNG = encoded(noise())
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def accepts(allowed: list[str] | None, file: File) -> bool:
    try:
        ContentTypeValidator(allowed).process(file, "content")
    except ContentTypeValidationError:
        return False
    return True


def test_another_type_is_refused_in_the_words_of_old():
    with pytest.raises(ContentTypeValidationError) as caught:
        ContentTypeValidator(["a/b"]).process(File(b"x"), "content")
    assert caught.value.key == "content"
    assert caught.value.msg == (
        "File content_type application/octet-stream is not allowed. "
        "Allowed content_types are: ['a/b']"
    )


def test_a_listed_type_is_accepted():
    assert accepts(["text/plain", "text/csv"], File(b"a,b\n", filename="a.csv"))


def test_none_allows_everything_and_an_empty_list_nothing():
    assert accepts(None, File(b"\1\2"))
    assert not accepts([], File(PNG))


@pytest.mark.parametrize("allowed", ["image/*", "*/*", "IMAGE/*", "image/png", "image/x-png"])
def test_wildcards_and_other_names_of_a_type_are_understood(allowed):
    assert accepts([allowed], File(PNG))


@pytest.mark.parametrize("allowed", ["video/*", "imag/*", "image/pn"])
def test_other_types_are_not_matched(allowed):
    assert not accepts([allowed], File(PNG))


def test_the_bytes_are_judged_not_the_claim():
    page = File(b"<html><script>", filename="a.png", content_type="image/png")
    with pytest.raises(ContentTypeValidationError, match="content_type text/html is not allowed"):
        ContentTypeValidator(["image/*"]).process(page, "content")


@pytest.mark.parametrize("claim", ["image/png", "application/pdf", "video/mp4", DOCX])
def test_text_that_claims_to_be_a_format_with_a_signature_is_refused(claim):
    with pytest.raises(ContentTypeValidationError, match="content_type text/plain is not allowed"):
        ContentTypeValidator([claim]).process(File("hello", content_type=claim), "content")


def test_an_empty_file_is_of_no_format():
    assert not accepts(["image/*"], File(b"", filename="a.png"))
    assert accepts(["text/*"], File(b"", filename="a.txt"))


@pytest.mark.parametrize(
    ("content", "name", "allowed"),
    [
        (PDF, "a.txt", "application/pdf"),
        (office("word/document.xml", f"{DOCX}.main+xml"), None, DOCX),
        (b"{}", "a.json", "application/json"),
    ],
)
def test_real_files_are_accepted_whatever_they_are_called(content, name, allowed):
    assert accepts([allowed], File(content, filename=name))


def test_a_file_object_at_any_position_is_judged_from_its_start():
    handle = io.BytesIO(PNG)
    handle.seek(20)
    file = File(handle)
    assert accepts(["image/png"], file)
    assert file.original_content.tell() == 0


@pytest.mark.parametrize("allowed", ["application/pdf", "pdf", ["pdf"], [".PDF"]])
def test_one_type_needs_no_list_and_suffixes_are_understood(allowed):
    assert ContentTypeValidator(allowed).process(File(PDF), "content") is None
    with pytest.raises(ContentTypeValidationError, match="image/png is not allowed"):
        ContentTypeValidator(allowed).process(File(PNG), "content")


@pytest.mark.parametrize("wrong", [[b"image/png"], [None]])
def test_a_list_of_text_is_expected(wrong):
    with pytest.raises(TypeError, match=r"is a list of str, as in \['image/\*'\]"):
        ContentTypeValidator(wrong)


@pytest.mark.parametrize("wrong", ["nonsense", "", "*", "image/", "*/png", "image/p*"])
def test_what_is_no_type_is_refused_when_the_validator_is_made(wrong):
    with pytest.raises(ValueError, match="is no content type: expected one as"):
        ContentTypeValidator([wrong])


def test_the_list_is_kept_as_it_was_given():
    allowed = ["image/jpg"]
    assert ContentTypeValidator(allowed).allowed_content_types is allowed
