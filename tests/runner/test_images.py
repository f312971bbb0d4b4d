"""Real image files of every awkward kind, decoded to the pixels a person would see."""

import io

import numpy as np
import pytest
from PIL import Image

from tflite_edge.records.errors import DataError
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.runner import images
from tflite_edge.runner.classify import _array
from tflite_edge.runner.images import BROKEN, decode

RAW = Preprocess(None, 3)


def save(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned 90 degrees: the first pixel belongs at the top right
    upright = decode(save(tmp_path, image, "a.png", exif=exif), RAW)
    assert upright.shape == (4, 2, 3)
    assert upright[0, 1].tolist() == [255, 255, 255]


def test_palette_with_transparency_and_alpha_come_out_over_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    path = save(tmp_path, image, "p.png", transparency=1)
    assert decode(path, RAW).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    clear = Image.new("RGBA", (1, 1), (0, 0, 0, 0))
    assert decode(save(tmp_path, clear, "a.png"), RAW).tolist() == [[[255, 255, 255]]]
    assert decode(save(tmp_path, clear.convert("LA"), "la.png"), Preprocess(None, 1)).tolist() == [[[255]]]


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    path = save(tmp_path, Image.fromarray(values), "deep.png")
    assert decode(path, Preprocess(None, 1))[..., 0].tolist() == [[0, 100, 255]]
    tiff = save(tmp_path, Image.fromarray(values.astype(np.float32) / 65535), "float.tiff")
    assert decode(tiff, Preprocess(None, 1))[..., 0].tolist() == [[0, 100, 255]]


def test_cmyk_and_animations_decode(tmp_path):
    assert decode(save(tmp_path, Image.new("CMYK", (3, 3)), "c.jpg"), RAW).shape == (3, 3, 3)
    frames = [Image.new("L", (2, 2), color) for color in (0, 255)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert decode(path, RAW).max() == 0


def test_fit_stretches_or_crops(tmp_path):
    wide = Image.new("L", (40, 20), 0)
    wide.paste(255, (0, 0, 10, 20))
    path = save(tmp_path, wide, "wide.png")
    assert decode(path, Preprocess((8, 8), 1)).mean() == pytest.approx(255 / 4, abs=8)
    assert decode(path, Preprocess((8, 8), 1, fit="crop"))[:, 1:].max() == 0


def test_a_photo_of_any_size_that_is_reduced_on_decoding_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MOST_PIXELS", 20_000)
    path = save(tmp_path, Image.new("L", (640, 480)), "big.jpg")
    assert decode(path, Preprocess((32, 32), 1)).shape == (32, 32, 1)
    with pytest.raises(BROKEN, match="640 x 480 pixels"):
        decode(path, RAW)


def test_a_large_jpeg_reduced_on_decoding_equals_one_decoded_whole(tmp_path):
    gradient = Image.fromarray(np.linspace(0, 255, 640 * 480).reshape(480, 640).astype(np.uint8))
    path = save(tmp_path, gradient, "big.jpg", quality=95)
    whole = np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(decode(path, Preprocess((32, 32), 1))[..., 0] - whole).max() <= 2


@pytest.mark.parametrize("damage", ["truncate", "text", "empty", "bomb", "large"])
def test_broken_files_raise_one_of_broken(tmp_path, damage, monkeypatch):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    content = {"truncate": buffer.getvalue()[:900], "text": b"not an image", "empty": b""}.get(
        damage, buffer.getvalue()
    )
    if damage == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    if damage == "large":
        monkeypatch.setattr(images, "MOST_PIXELS", 64 * 64 - 1)
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(BROKEN):
        decode(path, RAW)


def npy(values=None, save=np.save):
    stream = io.BytesIO()
    save(stream, np.zeros((3, 4)) if values is None else values)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        npy()[:-1],
        npy(save=np.savez),
        npy(np.array(["text"])),
        npy().replace(b"(3, 4)", b"(3, 4 "),
        npy().replace(b"(3, 4), }" + b" " * 14, b"(99999, 99999, 9999)}  "),  # more than any memory
    ],
    ids=["cut off", "archive", "text", "no Python", "bomb"],
)
def test_what_is_no_array_of_numbers_is_one_error(content):
    assert _array("x.npy", npy()).shape == (3, 4)
    with pytest.raises(DataError, match=r"not a \.npy file of numbers"):
        _array("x.npy", content)
