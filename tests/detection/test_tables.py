"""The tables of content types, which are text files."""

from __future__ import annotations

from collections import Counter

import pytest

from sqlalchemy_file.detection import canonical
from sqlalchemy_file.detection.names import rows


@pytest.mark.parametrize("table", ["types", "signatures", "texts"])
def test_a_table_uses_the_one_name_of_each_type(table: str) -> None:
    assert [name for name, *_ in rows(table) if canonical(name) != name] == []


def test_each_type_has_one_row_and_each_suffix_one_type() -> None:
    types = rows("types")
    names = Counter(word for row in types for word in row)
    assert [name for name, count in names.items() if count > 1] == []


def test_only_the_last_word_of_a_signature_is_an_expression() -> None:
    assert all(not word.startswith("~") for row in rows("signatures") for word in row[:-1])


def test_an_indented_line_continues_the_row_before_it() -> None:
    cases = {name: names for name, *names in rows("claims")}
    assert "image/x-sony-arw" in cases["image/tiff"]
    assert "application/x-msi" in cases["application/x-ole-storage"]
