"""Every block of code in README.md, its neighbours and under docs/ does what its page says.

The Python blocks of a page run in order, in one namespace, as one program would; in an empty
folder of their own with the files of ``examples/files`` in it. A page with ``<!-- needs: s3 -->``
runs against the tests' S3 server in place of the one that it names; see `_with_real_server`.
"""

from __future__ import annotations

import ast
import gc
import re
import shlex
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from tests.services.ceph import S3Server

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "examples" / "files"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = [ROOT / "README.md", ROOT / "docs/tutorial.md", *sorted(ROOT.glob("docs/how-to/**/*.md"))]
EXTRAS = {
    "asyncio": r"sqlalchemy\.ext\.asyncio",
    "image": r"ImageField|ImageValidator|StripMetadata|Variants|ThumbnailGenerator",
    "otel": r"integrations\.opentelemetry",
    "serve": r"secret=",
}
"""The extras that code needs, by what it contains."""

NEEDS = re.compile(r"<!--\s*needs:\s*(.+?)\s*-->")

RUN = "python"
SHELL = {"bash", "console", "sh"}
SHOWN = {"html", "http", "ini", "json", "mermaid", "nginx", "py", "sql", "text", "toml", "yaml"}
"""Languages of blocks that are shown only, "py" for Python that needs what no test has. A block
without a language could hide Python."""


@dataclass(frozen=True)
class Block:
    """One fenced block; ``line`` is that of its first line of code, from 1."""

    language: str
    code: str
    line: int


def blocks_of(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown text; those in lists are indented."""
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        if fence := re.match(r"\s*(`{3,}|~{3,})\s*([^\s`{]*)", line):
            yield Block(fence[2], _until(fence[1], lines), number + 1)


def _until(fence: str, lines: Iterator[tuple[int, str]]) -> str:
    code = []
    for _, line in lines:
        if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            return textwrap.dedent("\n".join(code)) + "\n"
        code.append(line)
    raise ValueError(f"a block that {fence} opened is never closed; it ends with {code[-1:]}")


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_block_names_its_language_and_is_not_empty(page: Path) -> None:
    for block in blocks_of(page.read_text(encoding="utf-8")):
        place = f"{_id(page)}:{block.line}"
        assert block.language in {RUN, *SHELL, *SHOWN}, f"{place}: language {block.language!r}"
        assert block.code.strip(), f"{place}: an empty block"


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_the_rows_of_a_table_are_whole_and_have_equal_cells(page: Path) -> None:
    text = re.sub(r"^\s*```.*?^\s*```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n(?:^.+\n)*)", text, flags=re.MULTILINE):
        rows = [re.sub(r"`[^`]*`|\\\\\|", "", row).strip() for row in table.splitlines()]
        assert {(row[0], row[-1], row.count("|")) for row in rows} == {
            ("|", "|", rows[0].count("|"))
        }, table


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target


@pytest.fixture
def collected() -> Iterator[None]:
    """Free what a page leaves open, such as an engine whose name it uses again."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_python_blocks_run(
    page: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = page.read_text(encoding="utf-8")
    if _needs_s3(text):
        text = _with_real_server(text, request.getfixturevalue("s3_server"))
    if SAMPLES.is_dir():
        shutil.copytree(SAMPLES, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"page_{page.stem.lower()}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where annotations look up names
    try:
        for block in blocks_of(text):
            if block.language == RUN:
                _run(block, page, vars(module))
    finally:
        _close(vars(module))


@pytest.mark.parametrize("page", GUIDES, ids=_id)
def test_a_guide_says_how_to_install_what_its_python_needs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = "".join(block.code for block in blocks_of(text) if block.language == RUN)
    shell = "".join(block.code for block in blocks_of(text) if block.language in SHELL)
    commands = re.findall(r"pip install (.+?)(?:  #.*)?$", shell, flags=re.MULTILINE)
    words = [word for command in commands for word in shlex.split(command)]
    asked = [word for word in words if not word.startswith("-")]
    installed = _installed([Requirement(word) for word in ["sqlalchemy-file", *asked]])
    missing = {name for name in _imported(code) if not _distributions(name) & installed}
    missing |= {extra for extra, used in EXTRAS.items() if re.search(used, code)} - _extras(asked)
    assert not missing, "say how to install this on the page"


@pytest.mark.parametrize("name", ["README.md", "docs/how-to/storages.md"])
def test_pages_that_newcomers_follow_hold_python_blocks(name: str) -> None:
    languages = [block.language for block in blocks_of((ROOT / name).read_text(encoding="utf-8"))]
    assert RUN in languages


def test_the_application_of_the_readme_stores_and_serves_an_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(block for block in _python_blocks(ROOT / "README.md"))
    module = ModuleType("main")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    try:
        _run(first, ROOT / "README.md", vars(module))
        with TestClient(vars(module)["app"]) as client:
            answer = client.post("/documents", files={"content": ("a.txt", b"hello")})
            assert answer.json()["name"] == "a.txt"
            assert client.get(answer.json()["url"]).content == b"hello"
    finally:
        _close(vars(module))


def test_blocks_are_found_in_lists_and_between_other_fences() -> None:
    text = "1. Do\n\n   ```python\n   if x:\n       y()\n   ```\n\n~~~~text\n```python\n~~~~\n"
    assert list(blocks_of(text)) == [
        Block("python", "if x:\n    y()\n", 4),
        Block("text", "```python\n", 9),
    ]


def test_a_block_that_is_never_closed_is_an_error() -> None:
    with pytest.raises(ValueError, match="never closed"):
        list(blocks_of("```python\nx = 1\n"))


def _imported(code: str) -> set[str]:
    """Return the top-level modules that code imports, without the standard library."""
    trees = list(ast.walk(ast.parse(code)))
    names = [alias.name for tree in trees if isinstance(tree, ast.Import) for alias in tree.names]
    names += [str(tree.module) for tree in trees if isinstance(tree, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def _distributions(module: str) -> set[str]:
    return {canonicalize_name(name) for name in _packages().get(module, [module])}


_packages = cache(packages_distributions)  # it reads the list of files of every package


def _extras(words: list[str]) -> set[str]:
    """Return the extras of this package that a page installs."""
    asked = (Requirement(word) for word in words)
    return {extra for each in asked if each.name == "sqlalchemy-file" for extra in each.extras}


def _installed(asked: list[Requirement]) -> set[str]:
    """Return the names of all packages that these requirements bring."""
    found: set[tuple[str, frozenset[str]]] = set()
    while asked:
        requirement = asked.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in found:
            found.add(key)
            asked += _required_by(requirement)
    return {name for name, _ in found}


def _required_by(requirement: Requirement) -> Iterator[Requirement]:
    with suppress(PackageNotFoundError):
        for text in requires(requirement.name) or []:
            needed = Requirement(text)
            extras = ["", *requirement.extras]
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                yield needed


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def _python_blocks(page: Path) -> Iterator[Block]:
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    return (block for block in blocks if block.language == RUN)


def _run(block: Block, page: Path, namespace: MutableMapping[str, Any]) -> None:
    """Run one block; blank lines before it make tracebacks name the line of the page."""
    code = compile("\n" * (block.line - 1) + block.code, str(page), "exec", dont_inherit=True)
    exec(code, namespace)


def _close(namespace: MutableMapping[str, Any]) -> None:
    """Close what a page, which is shorter for it, leaves open."""
    values = list(namespace.values())
    for session in (value for value in values if isinstance(value, Session)):
        session.close()
    for engine in (value for value in values if isinstance(value, sa.Engine)):
        engine.dispose()


def _needs_s3(text: str) -> bool:
    needs = set(NEEDS.findall(text))
    assert needs <= {"s3"}, f"a page can need s3, not {needs - {'s3'}}"
    return bool(needs)


def _with_real_server(text: str, server: S3Server) -> str:
    """Put the tests' server where a page names MinIO's usual address, or AWS by naming none."""
    address = f'"{server.host}", port={server.port}'
    text = re.sub(r'(?<=host=)"127\.0\.0\.1",\s*port=9000', address, text)
    text = text.replace('"api secret key")', f'"api secret key", secure=False, host={address})')
    text = text.replace('"api key"', repr(server.access_key))
    return text.replace('"api secret key"', repr(server.secret_key))
