"""A file as a dict with attributes, and the state of its upload until its transaction ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy, deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from sqlalchemy_file.content.sources import Content
from sqlalchemy_file.exceptions import ContentSpentError
from sqlalchemy_file.values.records import (
    SET_BY_SAVING,
    StoredObject,
    paths_of,
    public_url,
    relocated,
    snapshot,
    without_objects,
)

_FROZEN = "Already saved files are immutable"


class UploadState:
    """The state of one file while it is validated and stored, until its transaction has ended.

    Most of it never changes for most files: such values are those of the class.
    """

    undo: tuple[dict[str, Any], bool] | None = None
    """The record before anything was stored, and whether it was frozen."""
    begun: list[str]
    """The paths of all objects that saving began to write, whether or not it got to the end."""
    stored_by_program: Sequence[str] = ()
    """The paths of what was stored through `StorageManager` while this file was worked on."""
    is_owned: bool = False
    """Whether a transaction answers for what was stored."""
    latest: StoredObject | None = None
    """The last further object."""

    key: str | None = None
    """A whole key, which must be free, or None for a new one in the folder."""
    folder: str = ""
    epoch: int | None = None
    """That of the ledger which answers for a new key."""

    given: Content | None = None
    """The content as the program gave it, where validators or transforms have replaced it."""
    is_checked: bool = False
    """Whether validators, transforms or processors are at work, not the program."""
    row: Any = None
    """The row that they may ask for."""
    judged: Any = None
    """Which field has accepted the file ahead of the flush."""
    is_encoded: bool = False
    """Whether the content is compressed, so that its bytes do not tell its type."""

    accepted_format: str = ""
    """The format that a validator has accepted, by Pillow's name."""
    is_decoded_later: bool = False
    """Whether a transform or a processor will decode the image."""
    decoded_for: str | None = None
    """The attribute whose validator has left the decoding to them."""
    wanted_copies: tuple[Any, ...] = ()
    """The variants that processors will want of the image."""
    made_copies: Mapping[Any, Any] = MappingProxyType({})
    """Those that a transform has made already."""
    copies: dict[Any, Any] | None = None
    """All of them, while processors are at work: they share them, and decode the image once."""

    def __init__(self) -> None:
        self.begun = []

    def of_a_copy(self) -> UploadState:
        """Return the state of a copy of the file, which has stored nothing itself."""
        state = copy(self)
        state.begun, state.stored_by_program, state.is_owned = [], (), False
        return state

    def note_begun(self, *paths: str) -> None:
        """Answer for objects, which are deleted if the transaction is undone."""
        for path in paths:
            if path not in self.begun:
                self.begun.append(path)


class BaseFile(dict[str, Any]):
    """A dict whose keys are attributes too; once frozen, any change raises `TypeError`.

    Names that start with an underscore, and properties, are attributes of the object itself
    and never keys.
    """

    _frozen: bool = True  # what rows load is saved, and costs nothing to set

    if not TYPE_CHECKING:  # so that a misspelt key is an error of type checkers

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            try:
                return self[name]
            except KeyError:
                kind = type(self).__name__
                raise AttributeError(f"{kind} has no key and no attribute {name!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        if key.startswith("_") or isinstance(getattr(type(self), key, None), property):
            object.__setattr__(self, key, value)
        else:
            self[key] = value

    def __delattr__(self, name: str) -> None:
        if name.startswith("_"):
            object.__delattr__(self, name)
            return
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def _refuse_if_frozen(self) -> None:
        if self._frozen:
            raise TypeError(_FROZEN)

    def __setitem__(self, key: str, value: Any) -> None:
        self._refuse_if_frozen()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._refuse_if_frozen()
        super().__delitem__(key)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._refuse_if_frozen()
        super().update(*args, **kwargs)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, *args: Any) -> Any:
        self._refuse_if_frozen()
        return super().pop(*args)

    def popitem(self) -> tuple[str, Any]:
        self._refuse_if_frozen()
        return super().popitem()

    def clear(self) -> None:
        self._refuse_if_frozen()
        super().clear()

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc,override]  # any change is refused
        self.update(other)
        return self

    @classmethod
    def fromkeys(cls, iterable: Iterable[Any], value: Any = None, /) -> NoReturn:
        raise TypeError(f"a {cls.__name__} is made from content, not from keys")

    def _freeze(self) -> None:
        object.__setattr__(self, "_frozen", True)

    def _thaw(self) -> None:
        """Make a saved file mutable again, for programs written for version 0.7.0."""
        object.__setattr__(self, "_frozen", False)


class FileRecord(BaseFile):
    """The record of a file, the content that is still to be stored, and the state of its upload.

    The keys that name objects are refused until storing has begun.
    """

    _content: Content | None = None
    _storage: str | None = None
    _state: UploadState = UploadState()  # that of a file which nobody works on; never changed

    @property
    def saved(self) -> bool:
        """Whether the content is stored."""
        return self._frozen or bool(self.get("saved"))

    def encode(self) -> dict[str, Any]:
        """Return the record as it is kept in the column."""
        return dict(self)

    @classmethod
    def decode(cls, data: Any) -> Self:
        """Return the saved file that a record describes, without checking or copying it."""
        file = cls.__new__(cls)
        dict.update(file, data)
        return file

    def __setitem__(self, key: str, value: Any) -> None:
        if key in SET_BY_SAVING and not self._may_name_objects:
            raise TypeError(
                f"{key!r} is set when the content is stored: it names objects in a storage, and "
                "this file has none yet; use another key"
            )
        super().__setitem__(key, value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several keys; what only storing sets is left out until something is stored."""
        if self._may_name_objects:
            super().update(*args, **kwargs)
        else:
            super().update(without_objects(dict(*args, **kwargs)))

    @property
    def _may_name_objects(self) -> bool:
        """Whether storing has begun."""
        return self.saved or self._state.undo is not None

    def __eq__(self, other: object) -> bool:
        # Two files still to be stored are never the same, however alike their names are.
        if self is other:
            return True
        return self.saved and dict.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]  # a dict, as ever

    def _thaw(self) -> None:
        if self._frozen:
            dict.__setitem__(self, "saved", True)  # rows of old releases may lack it
        super()._thaw()


def state_of(file: FileRecord) -> UploadState:
    """Return the state of a file, to be changed."""
    if file._state is FileRecord._state:
        vars(file)["_state"] = UploadState()
    return file._state


def unspent(file: FileRecord) -> Content:
    """Return the content that is still to be stored."""
    if file._content is None:
        raise ContentSpentError(
            f"the content of {file.get('filename')!r} was stored and is no longer in memory: "
            "read it with .file, or make a new File"
        )
    return file._content


def source_content(file: FileRecord) -> Content:
    """Return the content as the program gave it, before validators and transforms."""
    return file._state.given or unspent(file)


def begin(file: FileRecord) -> UploadState:
    """Keep the record as it is before the transaction stores anything of the file."""
    state = file._state
    if state.undo is None:
        state = state_of(file)
        state.undo = snapshot(file), False
    return state


def stored_paths(file: FileRecord) -> list[str]:
    """Return the paths of all objects that a file stored, or began to store.

    What went through `StorageManager` counts if the record names it.
    """
    state = file._state
    if not state.stored_by_program:
        return state.begun
    named = paths_of(file)
    return [*state.begun, *(path for path in state.stored_by_program if path in named)]


def relocated_copy(file: FileRecord, new_paths: Mapping[str, str]) -> Any:
    """Return a file as the record of copies of its objects, found at ``new_paths``."""
    relocated_file = type(file).decode(relocated(file, new_paths, public_url))
    undo, state = file._state.undo, UploadState()
    state.undo = (snapshot(file), True) if undo is None else (deepcopy(undo[0]), undo[1])
    state.begun = list(new_paths.values())
    vars(relocated_file).update(_content=file._content, _storage=file._storage, _state=state)
    return relocated_file


def revert(file: FileRecord) -> None:
    """Go back to what a file was before the transaction stored it."""
    state = file._state
    if state.undo is None:
        return
    record, frozen = state.undo
    dict.clear(file)
    dict.update(file, record)
    state = state.of_a_copy()
    state.undo = None
    vars(file).update(_frozen=frozen, _state=state)


def settle(file: FileRecord) -> None:
    """Keep the stored objects; drop the content and the state."""
    vars(file).pop("_state", None)
    vars(file)["_content"] = None
