"""The reference names every public name, every public member and every parameter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.test_exports import PATHS

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

PAGES = {
    "sqlalchemy_file": ["fields", "files", "storages"],
    "sqlalchemy_file.base": ["files"],
    "sqlalchemy_file.exceptions": ["errors"],
    "sqlalchemy_file.file": ["files"],
    "sqlalchemy_file.helpers": ["files"],
    "sqlalchemy_file.ledger": ["ledger", "errors"],
    "sqlalchemy_file.mutable_list": ["fields"],
    "sqlalchemy_file.observing": ["observing"],
    "sqlalchemy_file.processors": ["processors"],
    "sqlalchemy_file.reconcile": ["reconcile"],
    "sqlalchemy_file.serving": ["serving"],
    "sqlalchemy_file.storage": ["storages"],
    "sqlalchemy_file.stored_file": ["files", "storages"],
    "sqlalchemy_file.testing": ["testing", "storages"],
    "sqlalchemy_file.transforms": ["transforms"],
    "sqlalchemy_file.types": ["fields"],
    "sqlalchemy_file.validation": ["validators"],
    "sqlalchemy_file.validators": ["validators", "errors"],
}
PAGES |= {name: ["integrations"] for name in PATHS if ".integrations." in name}
"""The pages on which the public names of a module stand; they must name the module as well."""

_NOT_SAID = {"self", "cls", "args", "kwargs", "options"}


def test_each_public_module_has_its_page() -> None:
    assert sorted(PAGES) == sorted(PATHS)


@pytest.mark.parametrize("module", PAGES)
def test_the_reference_is_complete(module: str) -> None:
    text = "\n".join((REFERENCE / f"{page}.md").read_text() for page in PAGES[module])
    assert module in text
    known = set(re.findall(r"\w+", " ".join(_code_in(text))))
    names = import_module(module).__all__
    wanted = {word for name in names for word in _words_of(import_module(module), name)}
    assert sorted(word for word in wanted if word.rpartition(".")[2] not in known) == []


def test_the_reference_of_the_command_has_every_option() -> None:
    from sqlalchemy_file.cli.commands import group

    text = (REFERENCE / "cli.md").read_text()
    for name, command in group.commands.items():
        assert f"## {name}\n" in text
        for parameter in command.params:
            for option in parameter.opts:
                shown = option if option.startswith("-") else option.upper()
                assert shown in text, f"{name} {shown}"


def _code_in(text: str) -> Iterator[str]:
    """Yield headings, and all code: blocks, and spans, which may go over lines."""
    for number, part in enumerate(re.split(r"^\s*```.*$", text, flags=re.MULTILINE)):
        spans = re.findall(r"^#+ .+$|`[^`]+`", part, re.MULTILINE)
        yield from [part] if number % 2 else spans


def _words_of(module: Any, name: str) -> Iterator[str]:
    """Yield a public name, and with it its parameters and its public members with theirs."""
    value = getattr(module, name)
    yield name
    if inspect.isclass(value):
        members = {} if name.endswith("Conformance") else _members_of(value)
        for member, function in members.items():
            yield f"{name}.{member}"
            if not inspect.isclass(function):
                yield from (f"{name}.{member}.{word}" for word in _parameters_of(function))
    yield from (f"{name}.{word}" for word in _parameters_of(value))


def _members_of(kind: type) -> dict[str, Any]:
    """Return the public members, but for those that override another library's."""
    foreign = [each for each in kind.__mro__ if not each.__module__.startswith("sqlalchemy_file")]
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("_") and not any(hasattr(each, name) for each in foreign)
    }


def _parameters_of(value: Any) -> list[str]:
    function = getattr(value, "__func__", value)
    is_known = inspect.isfunction(function) or inspect.isclass(function)
    if not is_known or function.__name__.startswith("_"):
        return []
    try:
        names = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []
    return [name for name in names if name not in _NOT_SAID and not name.startswith("_")]
