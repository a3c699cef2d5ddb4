"""A photo of 24 megapixels, of which a part is smooth and a part is not."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

SIZE = (6000, 4000)


def photo_in(folder: Path, *, progressive: bool) -> Path:
    path = folder / ("progressive.jpg" if progressive else "baseline.jpg")
    if not path.exists():
        smooth = Image.effect_noise((60, 40), 90).resize(SIZE, Image.Resampling.BICUBIC)
        rough = Image.effect_noise(SIZE, 12)
        bands = (smooth, Image.blend(smooth, rough, 0.2), Image.blend(smooth, rough, 0.4))
        Image.merge("RGB", bands).save(path, "JPEG", quality=90, progressive=progressive)
    return path
