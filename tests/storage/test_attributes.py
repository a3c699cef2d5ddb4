"""Attributes, described and sent in headers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_file.storage import Attributes
from sqlalchemy_file.storage.attributes import (
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
