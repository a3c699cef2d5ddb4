"""The docs and the docstrings of public names use the field's words."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.test_exports import PATHS

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

BETTER = {
    "address of a storage": "URL",
    "addresses of fsspec": "URLs",
    "anew": "again",
    "as (?:it is|they are|you are) told": "as given",
    "at hand": "in memory, available",
    "beside": "next to, compared with",
    "event loop stays free": "without blocking the event loop",
    "filesystems? of fsspec": "fsspec filesystem",
    "heeded": "used",
    "is told": "gets",
    "lets? go of": "no longer refers to",
    "letting go of": "no longer refers to",
    "of which": "two sentences",
    "picture": "image",
    "put right": "repaired",
    "say (?:create|replace)": "pass",
    "sign of life": "read timeout",
    "somebody else's": "of another client, another row",
    "stores? of obstore": "obstore store",
    "strangers?": "untrusted",
    "strewn": "at random",
    "taken for": "treated as",
    "tell whether": "return True if",
    "uploads? in parts": "multipart upload",
    "whatever": "anything, any",
    "wherever": "if, where",
    "whichever": "the first that",
    "whoever": "everybody who, no matter who",
}
"""Words that came back before, and what to write instead; see the glossary of the house page."""

GLOSSARY = "house.md"


def _found(text: str) -> list[str]:
    plain = " ".join(text.split())
    matches = ((re.search(rf"\b{word}\b", plain, re.IGNORECASE), word) for word in BETTER)
    return [f"{match[0]!r}: write {BETTER[word]!r}" for match, word in matches if match]


def _prose(page: Path) -> str:
    """Return a page without its code, and the glossary's column of older words."""
    text = re.sub(r"^\s*```.*?^\s*```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = text.partition("\n## Glossary")[0] if page.name == GLOSSARY else text
    return re.sub(r"`[^`]*`", "", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_uses_the_words_of_the_field(page: Path) -> None:
    assert _found(_prose(page)) == []


def _docstrings(module: str) -> Iterator[str]:
    loaded = import_module(module)
    yield loaded.__doc__ or ""
    for name in loaded.__all__:
        value = getattr(loaded, name)
        if getattr(value, "__module__", "").startswith("sqlalchemy_file"):
            yield value.__doc__ or ""
            members = vars(value).values() if inspect.isclass(value) else ()
            yield from (each.__doc__ or "" for each in members if callable(each))


@pytest.mark.parametrize("module", PATHS)
def test_public_docstrings_use_the_words_of_the_field(module: str) -> None:
    assert [found for text in _docstrings(module) for found in _found(text)] == []


def _messages(source: Path) -> Iterator[str]:
    """Yield the texts of the errors that a module raises."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            parts = (each.value for each in ast.walk(node.exc) if isinstance(each, ast.Constant))
            yield " ".join(part for part in parts if isinstance(part, str))


def test_errors_use_the_words_of_the_field() -> None:
    sources = sorted((ROOT / "src").rglob("*.py"))
    found = {
        str(source): [each for text in _messages(source) for each in _found(text)]
        for source in sources
    }
    assert {name: words for name, words in found.items() if words} == {}
