from __future__ import annotations

import io
import pickle

import pytest

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import SizeValidationError, ValidationError
from sqlalchemy_file.helpers import convert_size, get_content_from_file_obj
from sqlalchemy_file.validators import SizeValidator, Validator
from tests.scenarios.content import OneWayStream


@pytest.mark.parametrize(
    ("size", "number"),
    [
        (2000, 2000),
        ("2000", 2000),
        ("1k", 1000),
        ("2M", 2_000_000),
        ("2 M", 2_000_000),
        ("1G", 1000**3),
        ("3T", 3 * 1000**4),
        ("1Ki", 1024),
        ("1Mi", 1024**2),
        ("1Gi", 1024**3),
        ("1Ti", 1024**4),
        (0, 0),
    ],
)
def test_sizes_are_numbers_or_have_a_unit(size, number):
    assert convert_size(size) == number


@pytest.mark.parametrize("size", ["", "k", "-1k", "1.5k", "2m", "1KB", "٣k", -1])
def test_what_is_no_size_is_refused_with_advice(size):
    with pytest.raises(ValueError, match=r"Invalid size .*expected a number of bytes"):
        convert_size(size)


@pytest.mark.parametrize("size", [None, True, b"1k"])
def test_a_size_of_another_type_is_refused(size):
    with pytest.raises(TypeError, match="a size is a number or a str"):
        convert_size(size)


@pytest.mark.parametrize("content", [b"", b"x" * 999, b"x" * 1000])
def test_a_file_up_to_the_limit_is_accepted(content):
    SizeValidator("1k").process(File(content), "content")


def test_a_larger_file_is_refused_in_the_words_of_old():
    with pytest.raises(SizeValidationError) as caught:
        SizeValidator("1k").process(File(b"x" * 2000), "content")
    assert caught.value.key == "content"
    assert caught.value.msg == "The file is too large (2000 bytes). Allowed maximum size is 1k."


def test_a_smaller_file_is_refused():
    with pytest.raises(SizeValidationError) as caught:
        SizeValidator(min_size=1).process(File(b""), "content")
    assert caught.value.msg == "The file is too small (0 bytes). Allowed minimum size is 1."


def test_without_limits_every_size_is_accepted():
    SizeValidator().process(File(b""), "content")
    SizeValidator().process(File(b"x" * 10_000), "content")


def test_a_stream_of_unknown_size_is_measured():
    with pytest.raises(SizeValidationError, match="3000 bytes"):
        SizeValidator(2000).process(File(OneWayStream(b"x" * 3000)), "content")


def test_the_limit_is_kept_as_it_was_given():
    assert SizeValidator("2M").max_size == "2M"
    assert SizeValidator(5).max_size == 5


@pytest.mark.parametrize("arguments", [{"max_size": "1X"}, {"min_size": -1}])
def test_impossible_limits_are_refused_when_the_validator_is_made(arguments):
    with pytest.raises(ValueError, match="Invalid size"):
        SizeValidator(**arguments)


def test_limits_that_no_file_fits_are_refused():
    with pytest.raises(ValueError, match="no file would fit"):
        SizeValidator(max_size="1k", min_size="1Ki")


def test_refusals_are_validation_errors_and_can_be_pickled():
    error = pickle.loads(pickle.dumps(SizeValidationError("content", "too large")))
    assert isinstance(error, ValidationError)
    assert (error.key, error.msg) == ("content", "too large")


def test_any_class_with_a_process_method_is_a_validator():
    class Mine:
        def process(self, file: File, attr_key: str) -> None:
            """Accept."""

    assert isinstance(Mine(), Validator)
    assert isinstance(SizeValidator(), Validator)


def test_text_and_bytes_become_binary_files_and_uploads_give_theirs():
    class Upload:
        file = io.BytesIO(b"inside")

    assert get_content_from_file_obj("é").read() == "é".encode()
    assert get_content_from_file_obj(b"x").read() == b"x"
    assert get_content_from_file_obj(Upload()) is Upload.file
    assert get_content_from_file_obj(Upload.file) is Upload.file
