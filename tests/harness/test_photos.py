"""A folder of images as a pack: numbers follow the model's labels, new names come last."""

import numpy as np
import pytest
from PIL import Image

from tflite_edge.harness.photos import read_photos
from tflite_edge.records.errors import DataError


def decode(path):
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L").resize((4, 4)))[..., None]
    except OSError as error:
        raise DataError(f"{path} is no image") from error


def test_classes_are_matched_by_name(image_folder):
    told = []
    labels = ("d-three", "unseen", "a-zero")
    photos = read_photos(str(image_folder), labels, decode, told.append)
    assert photos.labels == (*labels, "b-one", "c-two")
    assert np.bincount(photos.y).tolist() == [40, 0, 40, 40, 40]
    assert photos.x.shape == (160, 4, 4, 1)
    assert told == []


def test_what_cannot_be_read_is_told_and_an_empty_class_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no folders"):
        read_photos(str(tmp_path), (), decode, print)
    (tmp_path / "cat").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "2.png").write_text("no image")
    (tmp_path / "cat" / ".hidden").write_text("")
    told = []
    assert len(read_photos(str(tmp_path), (), decode, told.append).x) == 1
    assert len(told) == 1
    assert "2.png" in told[0]
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="dog"):
        read_photos(str(tmp_path), (), decode, told.append)
    with pytest.raises(DataError, match="cannot read the folder"):
        read_photos(str(tmp_path / "nowhere"), (), decode, told.append)
