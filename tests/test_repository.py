"""What must hold for every file of the repository."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sqlalchemy_file"

# Written so that they do not match this file.
PRIVATE = {
    "a path of one machine": r"(?<![\w.])/(?:work|tmp/w)/",
    "a package registry's host": (
        r"(?i)\b(?:[\w-]+\.)*(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)"
        r"|(?:deb|security)\.debian\.org|archive\.ubuntu\.com|crates\.io|proxy\.golang\.org)\b"
    ),
}


def _files() -> list[Path]:
    """Return the files that are, or would be, committed; all files of an unpacked archive."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name for name in output.decode().split("\0") if name]
    else:
        patterns = ("*", "src/**/*", "tests/**/*", "docs/**/*", "examples/**/*")
        paths = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("what", PRIVATE)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(PRIVATE[what].encode())
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in _files()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert found == []


EXTRAS = {
    "asyncio": "greenlet",
    "cli": "click",
    "detect": "pure-magic-rs",
    "heif": "pillow-heif",
    "image": "pillow",
    "local": "fasteners",
    "pillow": "pillow",
    "serve": "itsdangerous",
}
"""What an extra brings, among others. ``local`` and ``pillow`` are names of earlier releases."""


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_it_is_for(extra: str) -> None:
    assert EXTRAS[extra] in _brought([extra])


def test_the_extra_all_brings_what_every_other_one_does() -> None:
    extras = _declared().keys() - {"all", "dev"}
    needed = _brought(extras)
    always = {_name(each) for each in _project()["dependencies"]}
    assert needed - always <= _brought(["all"])


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _declared() -> dict[str, list[str]]:
    declared: dict[str, list[str]] = _project()["optional-dependencies"]
    return declared


def _brought(extras: Iterable[str]) -> set[str]:
    """Return the names of the packages that extras bring, of the extras they name as well."""
    found: set[str] = set()
    waiting, seen = list(extras), set[str]()
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in _declared()[extra]:
            name, named = _name(requirement), re.search(r"\[(.+?)\]", requirement)
            if name == "sqlalchemy-file" and named:
                waiting += named[1].split(",")
            else:
                # What SQLAlchemy calls asyncio is greenlet.
                found.add("greenlet" if named and named[1] == "asyncio" else name)
    return found


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower()


def test_no_folder_holds_more_than_twelve_modules() -> None:
    source = ROOT / "src" / "sqlalchemy_file"
    folders = [path for path in (source, *source.rglob("*")) if path.is_dir()]
    crowded = {
        str(folder.relative_to(source))
        for folder in folders
        if len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) > 12
    }
    assert crowded == set()


def _drawn() -> dict[str, Counter[str]]:
    """Return the modules that the house page draws in each folder; "" is the package itself."""
    page = (ROOT / "docs" / "explanation" / "house.md").read_text(encoding="utf-8")
    drawn: dict[str, Counter[str]] = defaultdict(Counter)
    folder = ""
    for line in "\n".join(re.findall(r"```text\n(.*?)```", page, flags=re.DOTALL)).splitlines():
        if not line.startswith(" "):
            found = re.match(r"(\w+)/", line)
            folder = found[1] if found else ""
        drawn[folder].update(re.findall(r"\b\w+\.py\b", line))
    return drawn


FOLDERS = {path.parent.name for path in SOURCE.glob("*/__init__.py")}


@pytest.mark.parametrize("folder", ["", *sorted(FOLDERS)])
def test_the_house_page_draws_every_module(folder: str) -> None:
    modules = (SOURCE / folder).rglob("*.py") if folder else SOURCE.glob("*.py")
    there = Counter(path.name for path in modules if path.name != "__init__.py")
    assert _drawn()[folder] == there


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.name}: {node.name}"
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert long == []
