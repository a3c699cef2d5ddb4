"""Which pictures a file may hold."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy_file.detection import guess_type
from sqlalchemy_file.exceptions import AspectRatioValidationError, DimensionValidationError
from sqlalchemy_file.file import File
from sqlalchemy_file.imaging import DEFAULT_FORMATS, MAX_PIXELS, require_pillow
from sqlalchemy_file.validators.content_type import ContentTypeValidator, is_proven

_Limit = tuple[int | None, int | None]


class ImageValidator(ContentTypeValidator):
    """Refuses what is no complete picture, too large or small, or of another shape than allowed.

    ``min_wh`` and ``max_wh`` are (width, height) in pixels, either None for any. The aspect
    ratio is width divided by height. ``formats`` are Pillow's names of the formats that may be
    decoded; ``allowed_content_types`` says the same by content types. A picture may have
    ``max_pixels`` pixels, the frames of an animation four times as many together.
    Adds ``width`` and ``height`` to the file: of the pixels as stored, before any rotation that
    EXIF asks for. Raises `MissingExtraError` where Pillow is not installed.
    """

    def __init__(
        self,
        min_wh: _Limit | None = None,
        max_wh: _Limit | None = None,
        min_aspect_ratio: float | None = None,
        max_aspect_ratio: float | None = None,
        allowed_content_types: Collection[str] | None = None,
        *,
        formats: Collection[str] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        require_pillow(type(self).__name__)
        self.formats: tuple[str, ...] = _decoders(formats, allowed_content_types)
        super().__init__(allowed_content_types or _content_types(self.formats))
        none: _Limit = (None, None)
        self.min_width: int | None = (min_wh or none)[0]
        self.min_height: int | None = (min_wh or none)[1]
        self.max_width: int | None = (max_wh or none)[0]
        self.max_height: int | None = (max_wh or none)[1]
        self.min_aspect_ratio = min_aspect_ratio
        self.max_aspect_ratio = max_aspect_ratio
        self.max_pixels: int = _positive(max_pixels)

    def process(self, file: File, attr_key: str) -> None:
        from sqlalchemy_file.imaging import decoding  # noqa: PLC0415  Pillow is optional

        super().process(file, attr_key)
        with decoding.decoding(
            file.original_content, attr_key, formats=self.formats, max_pixels=self.max_pixels
        ) as image:
            width, height = image.size
            self._require_dimensions(width, height, attr_key)
            # Nearly all of the time that a scaled copy takes is this, too.
            if not (decoding.is_decoded_by_copying(image) and file._leave_decoding(attr_key)):
                decoding.read_through(image, self.max_pixels)
        file["width"], file["height"] = width, height

    def _excuses(self, file: File) -> bool:
        """Let pass what claims to be an allowed picture and proves nothing: it will be decoded."""
        claims = (file.get("declared_content_type"), guess_type(file["filename"]))
        return any(map(self._allows, filter(None, claims))) and not is_proven(file)

    def _require_dimensions(self, width: int, height: int, attr_key: str) -> None:
        for what, value, least, most in (
            ("width", width, self.min_width, self.max_width),
            ("height", height, self.min_height, self.max_height),
        ):
            if least and value < least:
                message = f"Minimum allowed {what} is: {least}, but {value} is given."
                raise DimensionValidationError(attr_key, message)
            if most and value > most:
                message = f"Maximum allowed {what} is: {most}, but {value} is given."
                raise DimensionValidationError(attr_key, message)
        self._require_aspect_ratio(width, height, attr_key)

    def _require_aspect_ratio(self, width: int, height: int, attr_key: str) -> None:
        least, most = self.min_aspect_ratio, self.max_aspect_ratio
        ratio = width / height
        if (least and ratio < least) or (most and ratio > most):
            raise AspectRatioValidationError(
                attr_key,
                f"Invalid aspect ratio {width} / {height} = {ratio},"
                f"accepted_range: {least} - {most}",
            )


def _decoders(
    formats: Collection[str] | None, content_types: Collection[str] | None
) -> tuple[str, ...]:
    """Return the formats to decode: those named, else those of the content types, else ours.

    Raises `ValueError` where this Pillow decodes none of them, or not all that were named.
    """
    from sqlalchemy_file.imaging import decoding  # noqa: PLC0415  Pillow is optional

    if formats is not None:
        return decoding.known_formats(formats)
    if not content_types or any(name.endswith("/*") for name in content_types):
        return DEFAULT_FORMATS
    return decoding.formats_of(content_types)


def _positive(max_pixels: int) -> int:
    if max_pixels < 1:
        raise ValueError(f"max_pixels is a positive number of pixels, not {max_pixels!r}")
    return max_pixels


def _content_types(formats: Collection[str]) -> list[str]:
    from sqlalchemy_file.imaging import decoding  # noqa: PLC0415  Pillow is optional

    return list(dict.fromkeys(decoding.content_type_of(name) for name in formats))
