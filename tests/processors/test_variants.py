from __future__ import annotations

import io
import time

import pytest
from PIL import Image

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import InvalidImageError
from sqlalchemy_file.processors import Variant, Variants
from tests.pictures import corners, encoded, noise, opened, quadrants, turned

named = pytest.mark.parametrize


def variant_of(file: File, name: str) -> Image.Image:
    return opened(StorageManager.get_file(file["variants"][name]["path"]).read())


def test_each_variant_is_an_object_of_its_own_that_belongs_to_the_file(process):
    file = process(Variants(small=(40, 40), large=(100, 100)), encoded(noise(400, 200)))
    assert list(file["variants"]) == ["small", "large"]
    assert file["files"] == [file["path"], *(v["path"] for v in file["variants"].values())]
    assert variant_of(file, "small").size == (40, 20)
    assert variant_of(file, "large").size == (100, 50)


def test_a_variant_is_described_like_a_thumbnail_and_by_its_type(process):
    file = process(Variants(small=(40, 40)), encoded(noise(400, 200)))
    small = file["variants"]["small"]
    assert small == {
        "file_id": small["path"].removeprefix("pictures/"),
        "width": 40,
        "height": 20,
        "content_type": "image/webp",
        "size": len(StorageManager.get_file(small["path"]).read()),
        "upload_storage": "pictures",
        "path": file["files"][1],
        "url": None,
    }


@named("format_name", ["WEBP", "AVIF", "JPEG", "PNG"])
def test_each_variant_has_its_format(process, format_name):
    file = process(Variants(small=Variant((40, 40), format_name)), encoded(noise(400, 200)))
    assert variant_of(file, "small").format == format_name
    assert StorageManager.get_file(file["files"][1]).content_type == f"image/{format_name.lower()}"


def test_each_variant_has_its_quality(process):
    rough, fine = Variant((200, 200), quality=5), Variant((200, 200), quality=95)
    file = process(Variants(rough=rough, fine=fine), encoded(noise(200, 200)))
    sizes = [len(StorageManager.get_file(path).read()) for path in file["files"][1:]]
    assert sizes[0] < sizes[1] / 4


def test_every_variant_stands_upright(process):
    stored = quadrants(800, 600).transpose(Image.Transpose.ROTATE_90)
    content = encoded(stored, "JPEG", exif=turned(stored, 6))
    file = process(Variants(small=(80, 80), large=(400, 400)), content)
    for name in ("small", "large"):
        assert corners(variant_of(file, name)) == ["red", "lime", "blue", "yellow"]


def test_no_variant_is_larger_than_the_original(process):
    file = process(Variants(small=(20, 20), large=(1000, 1000)), encoded(noise(60, 40)))
    assert variant_of(file, "large").size == (60, 40)


def test_a_small_variant_made_from_a_large_one_looks_as_if_made_from_the_original(process):
    content = encoded(quadrants(900, 700))
    together = process(Variants(small=Variant((90, 90), "PNG"), large=(400, 400)), content)
    alone = process(Variants(small=Variant((90, 90), "PNG")), content)
    one, other = variant_of(together, "small"), variant_of(alone, "small")
    pairs = zip(one.convert("RGB").tobytes(), other.convert("RGB").tobytes(), strict=True)
    assert sum(abs(a - b) for a, b in pairs) / len(one.tobytes()) < 3


def test_the_original_is_read_once_for_all_variants(process):
    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1, /) -> bytes:
            chunk = super().read(size)
            self.read_bytes += len(chunk)
            return chunk

    content = encoded(noise(500, 500))
    counting = Counting(content)
    file = File(counting, filename="a.png")
    file.save_to_storage("pictures")
    counting.read_bytes = 0
    Variants(a=(10, 10), b=(50, 50), c=(200, 200)).process(file, "pictures")
    assert counting.read_bytes < len(content) * 1.2


def test_a_large_photo_is_decoded_at_a_reduced_size(process):
    photo = encoded(noise(1000, 750).resize((6000, 4500)), "JPEG", quality=85)
    started = time.thread_time()
    opened(photo).resize((128, 96), Image.Resampling.BICUBIC)
    whole = time.thread_time() - started
    started = time.thread_time()
    process(Variants(small=(128, 128)), photo)
    assert time.thread_time() - started < whole / 2, whole


def test_a_file_that_is_no_picture_raises(process):
    with pytest.raises(InvalidImageError, match="variants: Provide valid image file"):
        process(Variants(small=(20, 20)), b"text")


def test_the_name_of_a_thumbnail_is_no_name_of_a_variant():
    with pytest.raises(ValueError, match="give the variant another name"):
        Variants(thumbnail=(100, 100))


def test_at_least_one_variant_is_named():
    with pytest.raises(ValueError, match="name at least one variant"):
        Variants()


@named("wrong", [{"size": (0, 9)}, {"size": (9, 9, 9)}, {"size": (9, 9), "quality": 101}])
def test_impossible_variants_are_refused_when_made(wrong):
    with pytest.raises(ValueError, match=r"size is|quality is"):
        Variant(**wrong)


def test_formats_that_cannot_be_written_are_refused_when_made():
    with pytest.raises(ValueError, match=r"Pillow cannot write \['FITS'\]"):
        Variants(small=Variant((9, 9), "FITS"))


def test_a_variant_is_a_frozen_value():
    assert Variant((9, 9)) == Variant((9, 9), "WEBP", None)
    with pytest.raises(AttributeError):
        Variant((9, 9)).format = "PNG"


def test_a_size_given_as_a_list_is_the_same_variant():
    assert {Variant([8, 8]), Variant((8, 8))} == {Variant((8, 8))}
