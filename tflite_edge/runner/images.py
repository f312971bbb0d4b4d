"""One image file to one uint8 array, the same way for training, calibration, evaluation and the board."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tflite_edge.records.preprocess import Preprocess

# What Pillow raises for broken, hostile or foreign files (its decoders also leak these built-ins).
BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, NotImplementedError, Image.DecompressionBombError, OverflowError,
    MemoryError,
)  # fmt: skip
MOST_PIXELS = 40_000_000  # to decode, at up to 24 bytes each: 1 MB of PNG can hold five times as many
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # of Pillow's many: each parser is a way in


def decode(path: str | Path | IO[bytes], preprocess: Preprocess) -> NDArray[np.uint8]:
    """uint8 [H, W, C] in 0..255. Raises one of BROKEN.

    Upright by its EXIF orientation, first frame of an animation, transparency over white.
    """
    with Image.open(path, formats=FORMATS) as image:
        if image.format == "JPEG" and preprocess.size:
            # Decode at the smallest power-of-two fraction that is still twice the size we need.
            image.draft(None, (preprocess.size[1] * 2, preprocess.size[0] * 2))
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels: more than {MOST_PIXELS:,}")
        image.load()
        upright = ImageOps.exif_transpose(image)
        return fit(_eight_bit(upright), preprocess)


def fit(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """uint8 [H, W, C]: the image with the record's channels and size."""
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[preprocess.channels]
    if image.mode != mode:
        image = image.convert(mode)
    if preprocess.size and image.size != (preprocess.size[1], preprocess.size[0]):
        size = (preprocess.size[1], preprocess.size[0])
        method = Image.Resampling[preprocess.resample.upper()]
        image = ImageOps.fit(image, size, method) if preprocess.fit == "crop" else image.resize(size, method)
    array = np.asarray(image, dtype=np.uint8)
    return array[..., None] if array.ndim == 2 else array


def _eight_bit(image: Image.Image) -> Image.Image:
    """Modes that Pillow would clip or mis-map on conversion, brought to 8 bits."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):  # 16-bit PNG and TIFF: Pillow clips at 255
        values = np.asarray(image)
        return Image.fromarray((values // 257 if values.max(initial=0) > 255 else values).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        values = np.asarray(image)
        return Image.fromarray((values * (255 if values.max(initial=0) <= 1 else 1)).clip(0, 255).astype(np.uint8))
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image
