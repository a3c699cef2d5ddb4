"""A dict with attribute access that can be made immutable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, Self

__all__ = ["BaseFile"]

_FROZEN = "Already saved files are immutable"


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
            self._refuse_if_frozen()
        return super().setdefault(key, default)

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
        """Open a saved file to change once more, as programs written for version 0.7.0 do."""
        object.__setattr__(self, "_frozen", False)
