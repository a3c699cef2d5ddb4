"""Named variants of an image."""

from __future__ import annotations

from base64 import b64encode

from sqlalchemy_file.file import File, Processor
from sqlalchemy_file.imaging import MAX_PIXELS
from sqlalchemy_file.imaging.variant import PLACEHOLDER, Variant
from sqlalchemy_file.processors.derived import rendered, require_writable, store

_PLACEHOLDER = "placeholder"


class Variants(Processor):
    """Stores scaled, upright images, and their records in ``variants``.

        Variants(small=(128, 128), large=Variant((1024, 1024), "AVIF"))

    adds ``file["variants"]["small"]`` and ``["large"]``. A size alone makes a WEBP image. The
    original is decoded once. ``placeholder=True`` adds ``file["placeholder"]``: a blurred preview
    to show while the image loads, as a ThumbHash of about 25 bytes in Base64. A file that is not an
    image, or has more than ``max_pixels`` pixels, raises `InvalidImageError`.
    """

    decodes = True

    def __init__(
        self,
        *,
        max_pixels: int = MAX_PIXELS,
        placeholder: bool = False,
        **variants: Variant | tuple[int, int],
    ) -> None:
        if not isinstance(placeholder, bool):
            raise TypeError(
                "placeholder is True or False, and cannot be the name of a variant, "
                f"not {placeholder!r}"
            )
        if not variants and not placeholder:
            raise ValueError("name at least one variant, as in Variants(small=(128, 128))")
        self.placeholder = placeholder
        self.max_pixels = max_pixels
        self.variants: dict[str, Variant] = {
            name: _variant(wanted) for name, wanted in variants.items()
        }
        formats = [variant.format for variant in self.variants.values()]
        require_writable(formats, type(self).__name__)

    @property
    def scaled_copies(self) -> list[Variant]:
        """The variants to make of every file, in one pass with those of other processors."""
        return [*self.variants.values(), *([PLACEHOLDER] if self.placeholder else [])]

    def process(self, file: File, upload_storage: str | None = None) -> None:
        wanted = {**self.variants, **({_PLACEHOLDER: PLACEHOLDER} if self.placeholder else {})}
        copies = rendered(file, wanted, "variants", self.max_pixels)
        if (hashed := copies.pop(_PLACEHOLDER, None)) is not None:
            file["placeholder"] = b64encode(hashed.content).decode("ascii")
        if not copies:
            return
        records = {name: store(file, copy, name, upload_storage) for name, copy in copies.items()}
        file["variants"] = {**(file.get("variants") or {}), **records}


def _variant(wanted: Variant | tuple[int, int]) -> Variant:
    return wanted if isinstance(wanted, Variant) else Variant(wanted)
