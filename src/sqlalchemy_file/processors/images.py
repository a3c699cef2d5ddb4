"""Processors of images: scaled copies, stored as objects that belong to the file."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.content.filenames import clean_filename, headers_to_store, known_disposition
from sqlalchemy_file.file import File, Processor
from sqlalchemy_file.imaging import COPIED_FORMATS, MAX_PIXELS, require_pillow
from sqlalchemy_file.imaging.variant import PLACEHOLDER, Variant
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.values.records import public_url

if TYPE_CHECKING:
    from sqlalchemy_file.imaging.encoding import Rendition

_PLACEHOLDER = "placeholder"


class ThumbnailGenerator(Processor):
    """Stores a small, upright image, and its record as ``thumbnail``.

        FileField(processors=[ThumbnailGenerator((128, 128))])

    It fits into ``thumbnail_size`` (width, height) and is never larger than the original. It shows
    the first frame of an animation. A file that is not an image, or has more than ``max_pixels``
    pixels, raises `InvalidImageError`.
    """

    decodes = True

    def __init__(
        self,
        thumbnail_size: tuple[int, int] = (128, 128),
        thumbnail_format: str = "PNG",
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        _require_writable([thumbnail_format], type(self).__name__)
        self.thumbnail_size = thumbnail_size
        self.thumbnail_format = thumbnail_format
        self.max_pixels = max_pixels
        self._variant = Variant(thumbnail_size, thumbnail_format)

    @property
    def scaled_copies(self) -> list[Variant]:
        """The variants to make of every file, in one pass with those of other processors."""
        return [self._variant]

    def process(self, file: File, upload_storage: str | None = None) -> None:
        copies = _rendered(file, {"thumbnail": self._variant}, "thumbnail", self.max_pixels)
        file["thumbnail"] = _store(file, copies["thumbnail"], "thumbnail", upload_storage)


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
        if "thumbnail" in variants:
            raise ValueError(
                "thumbnail is the name of the image that thumbnail_size and ThumbnailGenerator "
                "make: give the variant another name"
            )
        self.placeholder = placeholder
        self.max_pixels = max_pixels
        self.variants: dict[str, Variant] = {
            name: wanted if isinstance(wanted, Variant) else Variant(wanted)
            for name, wanted in variants.items()
        }
        formats = [variant.format for variant in self.variants.values()]
        _require_writable(formats, type(self).__name__)

    @property
    def scaled_copies(self) -> list[Variant]:
        """The variants to make of every file, in one pass with those of other processors."""
        return [*self.variants.values(), *([PLACEHOLDER] if self.placeholder else [])]

    def process(self, file: File, upload_storage: str | None = None) -> None:
        wanted = {**self.variants, **({_PLACEHOLDER: PLACEHOLDER} if self.placeholder else {})}
        copies = _rendered(file, wanted, "variants", self.max_pixels)
        if (hashed := copies.pop(_PLACEHOLDER, None)) is not None:
            file["placeholder"] = b64encode(hashed.content).decode("ascii")
        if not copies:
            return
        records = {name: _store(file, copy, name, upload_storage) for name, copy in copies.items()}
        file["variants"] = {**(file.get("variants") or {}), **records}


def _rendered(
    file: File, variants: Mapping[str, Variant], key: str, max_pixels: int = MAX_PIXELS
) -> dict[str, Rendition]:
    """Return scaled copies of a file's image, by name.

    The first call also makes the variants for the file's other processors. Raises
    `InvalidImageError` if the file is not an image, or has more than ``max_pixels`` pixels: for
    ``key``, or for the attribute whose validator has left the decoding to this.
    """
    from sqlalchemy_file.imaging import decoding, rendering  # noqa: PLC0415  Pillow is optional

    content, key = file.original_content, file._state.decoded_for or key
    copies = {} if file._state.copies is None else file._state.copies
    formats = (*COPIED_FORMATS, file._state.accepted_format)
    with decoding.decoding(content, key, formats=formats, max_pixels=max_pixels) as image:
        if not all(map(copies.get, variants.values())):
            wanted = [*copies, *variants.values()]
            copies.update(rendering.render(image, wanted, max_pixels))
    return {name: copies[variant] for name, variant in variants.items()}


def _store(
    file: File, rendition: Rendition, label: str, upload_storage: str | None
) -> dict[str, Any]:
    """Store a copy and return its record."""
    size = f"{rendition.width}x{rendition.height}"
    filename = clean_filename(f"{file['filename']}.{label}{size}.{rendition.suffix}")
    described = {
        "filename": filename,
        "content_type": rendition.content_type,
        "width": rendition.width,
        "height": rendition.height,
    }
    options = {**(file.get("extra") or {}), "content_type": rendition.content_type}
    options["meta_data"] = {**(options.get("meta_data") or {}), **described}
    headers = headers_to_store(
        file.get("headers"), known_disposition(file), filename, rendition.content_type
    )
    file.store_content(
        io.BytesIO(rendition.content), upload_storage, extra=options, headers=headers
    )
    path = file["files"][-1]
    storage_name, key = StorageManager.resolve(path)
    return {
        "file_id": key,
        "width": rendition.width,
        "height": rendition.height,
        "content_type": rendition.content_type,
        "size": len(rendition.content),
        "upload_storage": storage_name,
        "path": path,
        "url": public_url(path),
    }


def _require_writable(formats: Collection[str], what: str) -> None:
    """Raise `MissingExtraError` without Pillow, `ValueError` for formats it cannot write."""
    require_pillow(what)
    from sqlalchemy_file.imaging import encoding  # noqa: PLC0415  Pillow is optional

    encoding.require_encoders(formats)
