"""WTForms: upload fields for file columns, which keep, replace and remove the files of a row.

`StoredFileField` is for a column with one file, `StoredFilesField` for a column with
``multiple=True``. A form without a new file changes nothing:

>>> class LetterForm(Form):
...     scan = StoredFileField()
...     pages = StoredFilesField()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape
from wtforms import Field

from sqlalchemy_file.file import File
from sqlalchemy_file.integrations.forms import (
    OneFile,
    SeveralFiles,
    chosen,
    listed,
    several,
    token_of,
)
from sqlalchemy_file.values.schemas import public_record

__all__ = ["StoredFileField", "StoredFilesField", "file_markup"]


class StoredFileWidget:
    """The file that is there, a box to remove it, and an input to choose another one."""

    def __call__(self, form_field: Any, **attributes: Any) -> Markup:
        shown = Markup("").join(_shown_part(form_field, each) for each in form_field.kept_parts())
        chooser = _input(type="file", name=form_field.name, **_attributes(form_field, attributes))
        return Markup('<div class="stored-file">{}{}</div>').format(shown, chooser)


class _StoredField(Field):  # type: ignore[misc]
    """The base of both fields: an edit changes only what its form changes."""

    widget: Any = StoredFileWidget()
    raw_data: Any
    data: Any
    _multiple = False

    def process(self, formdata: Any, *args: Any, **options: Any) -> None:
        self._formdata = formdata
        self.change: Any = None
        super().process(formdata, *args, **options)

    def process_formdata(self, valuelist: Iterable[Any]) -> None:
        uploads = chosen(valuelist)
        self.change = self._change(uploads)
        # Validators such as InputRequired look at this; a file that stays is input enough.
        self.raw_data = [*uploads, *(part.token for part in self._staying())]
        self.data = self.change.applied(self.object_data)

    def populate_obj(self, obj: Any, name: str) -> None:
        """Assign the chosen file; without one the attribute stays unchanged."""
        if self.change:
            setattr(obj, name, self.change.applied(getattr(obj, name)))

    def kept_parts(self) -> list[Part]:
        """Return the files that the row has, as far as this form knows them."""
        files = [file for file in listed(self.object_data) if isinstance(file, File)]
        known = [Part(token_of(file), file) for file in files if file.saved]
        return known or [Part(token) for token in self._sent("current")]

    def _sent(self, what: str) -> list[str]:
        formdata: Any = self._formdata
        return [] if formdata is None else list(formdata.getlist(f"{self.name}-{what}"))

    def _change(self, uploads: list[Any]) -> Any:
        raise NotImplementedError

    def _staying(self) -> list[Part]:
        raise NotImplementedError


class StoredFileField(_StoredField):
    """A form field for a column with one file: an upload replaces it, a checkbox removes it."""

    def _change(self, uploads: list[Any]) -> OneFile:
        upload, shown = uploads[-1] if uploads else None, frozenset(self._sent("current"))
        return OneFile(upload, removed=bool(self._sent("remove")), shown=shown)

    def _staying(self) -> list[Part]:
        return [] if self.change.removed else self.kept_parts()


class StoredFilesField(_StoredField):
    """A form field for a column with ``multiple=True``.

    Uploads are appended. Each file of the row can be replaced, in its place, or removed.
    """

    _multiple = True

    def _change(self, uploads: list[Any]) -> SeveralFiles:
        form: Any = self._formdata
        return SeveralFiles(tuple(uploads)) if form is None else several(form, self.name, uploads)

    def _staying(self) -> list[Part]:
        return [part for part in self.kept_parts() if part.token not in self.change.removed]


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the row: its token, and the file where the form has it."""

    token: str
    file: Any = None


def file_markup(file: Mapping[str, Any] | None) -> Markup:
    """Return a link to a file, with its thumbnail if it has one.

    The URL is that of the resolver given to `sqlalchemy_file.serving.set_url_resolver`, or that
    of a public storage. Without a URL it is the file's name alone.
    """
    if not file:
        return Markup("")
    shown = public_record(file)
    name = escape(shown.get("filename") or "")
    small: dict[str, Any] = shown.get("thumbnail") or next(
        iter(shown.get("variants", {}).values()), {}
    )
    if small.get("url"):
        image = Markup('<img src="{}" alt="{}" loading="lazy" style="max-height: 4rem">')
        name = image.format(small["url"], name)
    if not shown.get("url"):
        return Markup("<span>{}</span>").format(name)
    link = Markup('<a href="{}" target="_blank" rel="noopener">{}</a>')
    return link.format(shown["url"], name)


def files_markup(value: Any) -> Markup:
    """Return the links of a file, or of several: thumbnails in rows, each name on its own line."""
    return Markup(" ").join(_of_list(file_markup(each)) for each in listed(value))


def _of_list(shown: Markup) -> Markup:
    if not shown or "<img " in shown:
        return shown
    # Tables of admins do not wrap lines, and a long name would hide the columns after it.
    style = "white-space: normal; overflow-wrap: anywhere; min-width: 10rem"
    return Markup('<div style="{}">{}</div>').format(style, shown)


def _shown_part(form_field: Any, part: Part) -> Markup:
    name, token = form_field.name, part.token
    # A form that is shown again after an error may only know the file's token.
    what = file_markup(part.file) if part.file else Markup("<span>(as it was)</span>")
    shown = [_input(type="hidden", name=f"{name}-current", value=token), what]
    if form_field._multiple or not form_field.flags.required:
        box = _input(type="checkbox", name=f"{name}-remove", value=token)
        shown.append(Markup("<label>{} Remove</label>").format(box))
    if form_field._multiple:
        chooser = _input(type="file", name=f"{name}-replace-{token}")
        shown.append(Markup("<label>Replace {}</label>").format(chooser))
    row = Markup('<div class="stored-file-part" style="{}">{}</div>')
    return row.format(_PART_STYLE, Markup("").join(shown))


_PART_STYLE = (
    "display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 1rem; margin-bottom: 0.5rem"
)


def _attributes(form_field: Any, attributes: Mapping[str, Any]) -> dict[str, Any]:
    given = {"id": form_field.id, **(form_field.render_kw or {}), **attributes}
    if "class_" in given:
        given["class"] = given.pop("class_")
    # An existing file is enough for a required column.
    given["required"] = bool(form_field.flags.required and not form_field.kept_parts())
    given["multiple"] = form_field._multiple
    return given


def _input(**attributes: Any) -> Markup:
    shown = (
        Markup(" {}").format(name) if value is True else Markup(' {}="{}"').format(name, value)
        for name, value in attributes.items()
        if value is not False and value is not None
    )
    return Markup("<input{}>").format(Markup("").join(shown))
