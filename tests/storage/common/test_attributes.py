"""Attributes, described and sent in headers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_file.storage import Attributes
from sqlalchemy_file.storage.common.attributes import (
    HEADERS,
    IDENTIFIERS,
    attributes_from,
    attributes_of,
    from_headers,
    header_value,
    meta_data_of,
    to_headers,
)

TEXT = st.text(st.characters(codec="utf-8"))


class TestDescription:
    def test_arguments_go_before_what_extra_says(self) -> None:
        extra = {"content_type": "text/extra", "meta_data": {"filename": "extra", "a": "b"}}
        assert attributes_of("name", "text/plain", extra) == Attributes(
            filename="name", content_type="text/plain", metadata={"a": "b"}
        )

    def test_extra_is_asked_where_there_are_no_arguments(self) -> None:
        extra = {"content_type": "text/extra", "meta_data": {"content_type": "text/meta"}}
        assert attributes_of(None, None, extra).content_type == "text/extra"
        del extra["content_type"]
        assert attributes_of(None, None, extra).content_type == "text/meta"

    def test_the_rest_of_extra_are_options_of_the_driver(self) -> None:
        extra = {"acl": "private", "meta_data": None}
        attributes = attributes_of(None, None, extra, {"X": "y"})
        assert attributes == Attributes(extra={"acl": "private"}, headers={"X": "y"})

    def test_what_is_given_is_not_changed(self) -> None:
        extra = {"content_type": "a/b", "meta_data": {"filename": "x"}}
        attributes_of(None, None, extra)
        assert extra == {"content_type": "a/b", "meta_data": {"filename": "x"}}

    def test_meta_data_hold_name_and_type_as_older_releases_wrote_them(self) -> None:
        attributes = Attributes(filename="name", content_type="a/b", metadata={"c": "d"})
        assert meta_data_of(attributes) == {"filename": "name", "content_type": "a/b", "c": "d"}
        assert attributes_from(meta_data_of(attributes)) == attributes


class TestHeaders:
    @given(st.dictionaries(TEXT.filter(lambda name: name == name.lower() and name), TEXT))
    def test_any_text_survives(self, meta_data: dict[str, str]) -> None:
        assert from_headers(to_headers(meta_data)) == meta_data

    @given(TEXT)
    def test_what_is_sent_is_one_line_of_ascii(self, value: str) -> None:
        sent = header_value(value)
        assert sent.isascii()
        assert sent.isprintable()
        assert sent == " ".join(sent.split(" ")) == sent.strip()
        assert "  " not in sent

    def test_plain_text_is_sent_as_it_is(self) -> None:
        assert header_value("my holiday (1), 50:50; a=b.jpg") == "my holiday (1), 50:50; a=b.jpg"

    @given(TEXT.filter(lambda value: value.isascii() and value.isprintable()))
    def test_only_what_we_would_have_encoded_is_decoded(self, value: str) -> None:
        decoded = from_headers({"name": value})["name"]
        assert decoded == value or header_value(decoded) == value

    def test_names_may_be_folded_to_lower_case(self) -> None:
        sent = {name.lower(): value for name, value in to_headers({"größe": "x"}).items()}
        assert from_headers(sent) == {"größe": "x"}


class TestNamesOfMetadata:
    """Each name arrives through proxies and servers that take few characters only."""

    @given(TEXT.filter(lambda name: name == name.lower() and name))
    def test_what_is_sent_is_a_plain_header_or_an_identifier(self, name: str) -> None:
        for names, plain in ((HEADERS, r"[A-Za-z0-9-]+"), (IDENTIFIERS, r"[A-Za-z_][A-Za-z0-9_]*")):
            sent = names.sent(name)
            assert re.fullmatch(plain, sent)
            for folded in (sent, sent.lower(), sent.upper()):
                (read,) = from_headers({folded: "x"})
                assert read.lower().replace("-", "_") == name.lower().replace("-", "_")

    @pytest.mark.parametrize(
        ("name", "sent", "to_azure"),
        [
            ("filename", "filename", "filename"),
            ("content_type", "content-type", "content_type"),
            ("content-type", "e--content-2dtype", "e__content_2dtype"),
            ("pages", "pages", "pages"),
            ("Camera-Model", "Camera-Model", "e__Camera_2dModel"),
            ("page_count", "e--page-5fcount", "page_count"),
            ("größe", "e--gr-c3-b6-c3-9fe", "e__gr_c3_b6_c3_9fe"),
            ("2nd", "2nd", "e__2nd"),
            ("e--a", "e--e-2d-2da", "e__e_2d_2da"),
            ("e__a", "e--e-5f-5fa", "e__e_5f_5fa"),
            ("100%", "e--100-25", "e__100_25"),
            ("a b", "e--a-20b", "e__a_20b"),
        ],
    )
    def test_names_are_sent_like_this(self, name: str, sent: str, to_azure: str) -> None:
        assert (HEADERS.sent(name), IDENTIFIERS.sent(name)) == (sent, to_azure)
        for each in (sent, to_azure):
            assert attributes_from(from_headers({each: "x"})) == attributes_from({name: "x"})

    @pytest.mark.parametrize(
        ("name", "read"),
        [
            ("page_count", "page_count"),  # of 0.7.0, where no proxy dropped it
            ("gr%C3%B6%C3%9Fe", "größe"),  # of earlier versions of this package
            ("page%5Fcount", "page%5Fcount"),
            ("e--", "e--"),
            ("e--page-5", "e--page-5"),
            ("e--page", "e--page"),
            ("e---ff", "e---ff"),
        ],
    )
    def test_what_others_wrote_is_read_as_it_was(self, name: str, read: str) -> None:
        assert from_headers({name: "x"}) == {read: "x"}
