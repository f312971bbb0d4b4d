"""A folder of images as a pack: numbers follow the model's labels, new names come last."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tflite_edge.harness.photos import VALUES, read_photos
from tflite_edge.records.errors import DataError
from tflite_edge.tf.data.folder import class_folders, images_in


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
    for name in (".hidden.png", "notes.txt", "Thumbs.db"):
        (tmp_path / "cat" / name).write_text("")
    told = []
    assert len(read_photos(str(tmp_path), (), decode, told.append).x) == 1
    assert len(told) == 2
    assert "2 files" in told[0]
    assert "2.png" in told[1]
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="dog"):
        read_photos(str(tmp_path), (), decode, told.append)
    with pytest.raises(DataError, match="cannot read the folder"):
        read_photos(str(tmp_path / "nowhere"), (), decode, told.append)


def test_a_folder_holds_the_same_images_as_on_the_host(image_folder, tmp_path):
    shutil.copytree(image_folder, tmp_path / "photos")
    for name in ("__MACOSX", ".thumbnails", "b-one/.ipynb_checkpoints"):
        shutil.copytree(image_folder / "c-two", tmp_path / "photos" / name)
    (tmp_path / "photos" / "a-zero" / "monday").mkdir()
    (tmp_path / "photos" / "a-zero" / "0.png").rename(tmp_path / "photos" / "a-zero" / "monday" / "0.png")
    photos = read_photos(str(tmp_path / "photos"), (), decode, print)
    folders, _ = class_folders(tmp_path / "photos")
    assert photos.labels == tuple(folder.path.name for folder in folders)
    assert np.bincount(photos.y).tolist() == [len(images_in(folder.path)[0]) for folder in folders] == [40] * 4


@pytest.mark.parametrize("other", [np.zeros((2, 3), np.uint8), np.zeros((2, 2), np.float32)])
def test_raw_values_of_another_shape_or_type_are_refused(tmp_path, other):
    (tmp_path / "a").mkdir()
    for number, values in enumerate((np.zeros((2, 2), np.uint8), other)):
        np.save(tmp_path / "a" / f"{number}.npy", values)
    with pytest.raises(DataError, match=r"1\.npy is not a sample like"):
        read_photos(str(tmp_path), (), np.load, print, VALUES)
