"""Variants of images, stored as objects that belong to the file."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.content.disposition import headers_to_store, known_disposition
from sqlalchemy_file.content.filenames import clean_filename
from sqlalchemy_file.file import File
from sqlalchemy_file.imaging import COPIED_FORMATS, MAX_PIXELS, require_pillow
from sqlalchemy_file.imaging.variant import Variant
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.values.objects import public_url

if TYPE_CHECKING:
    from sqlalchemy_file.imaging.encoding import Rendition


def rendered(
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


def store(
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
    options = dict(file.get("extra") or {})
    options["content_type"] = rendition.content_type
    options["meta_data"] = {**(options.get("meta_data") or {}), **described}
    headers = headers_to_store(
        file.get("headers"), known_disposition(file), filename, rendition.content_type
    )
    file.store_content(
        io.BytesIO(rendition.content),
        upload_storage,
        extra=options,
        headers=headers,
    )
    return _record(file["files"][-1], rendition)


def require_writable(formats: Collection[str], what: str) -> None:
    """Raise `MissingExtraError` without Pillow, `ValueError` for formats it cannot write."""
    require_pillow(what)
    from sqlalchemy_file.imaging import encoding  # noqa: PLC0415  Pillow is optional

    encoding.require_encoders(formats)


def _record(path: str, rendition: Rendition) -> dict[str, Any]:
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
