import gzip
import os
import struct
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tflite_edge.records.errors import DataError, MissingError, ModelError
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import NAMED_DATA, DataSource, recipe_for
from tflite_edge.tf.data import normalization
from tflite_edge.tf.data.dataset import Split, split
from tflite_edge.tf.data.sources import SOURCES, Pool, open_source, refuse_other_classes
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import open_model

SMALL = Preprocess((8, 8), 1)


def pool_of(y, fixed=None):
    y = np.asarray(y)
    return Pool("p", np.zeros((len(y), 8, 8), np.uint8), y, tuple(map(str, range(int(y.max()) + 1))), "0", fixed)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=80, max_size=400), st.integers(0, 99))
def test_splits_never_overlap_cover_everything_and_repeat(labels, seed):
    pool, source = pool_of(labels), DataSource(seed=seed)
    parts = split(pool, source, SMALL)
    train, calibration, test = (set(part.wanted.tolist()) for part in (parts.train, parts.calibration, parts.test))
    assert not train & calibration
    assert not train & test
    assert not calibration & test
    assert len(train) + len(calibration) + len(test) == len(labels)
    again = split(pool, source, SMALL)
    assert np.array_equal(again.calibration.wanted, parts.calibration.wanted)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=80, max_size=400), st.integers(10, 200), st.integers(10, 500))
def test_what_candidates_are_chosen_by_is_neither_tested_nor_calibrated_with(labels, calibration_samples, most):
    parts = split(pool_of(labels), DataSource(calibration_samples=calibration_samples), SMALL)
    held, origin = parts.held_out(most)
    more = parts.more_calibration(most)
    taken = set(held.wanted.tolist())
    assert 0 < len(held.wanted) == len(taken) <= most
    assert not taken & set(parts.test.wanted.tolist())
    assert not taken & set(more.wanted.tolist())
    assert not set(more.wanted.tolist()) & set(parts.test.wanted.tolist())
    assert set(parts.calibration.wanted.tolist()) <= set(more.wanted.tolist())
    assert len(set(more.wanted.tolist())) == len(more.wanted)
    assert (origin == "set aside from training") == (len(parts.unused) >= most // 2)


def test_data_that_are_to_represent_themselves_do_not_calibrate_with_test_samples(tmp_path, digits):
    np.savez(tmp_path / "d.npz", x=digits[0], y=digits[1])
    path = str(tmp_path / "d.npz")
    plain, named = (split(open_source(path), DataSource(path, representative=own), SMALL) for own in ("", path))
    assert not set(named.calibration.wanted) & set(named.test.wanted)
    assert np.array_equal(named.calibration.wanted, plain.calibration.wanted)
    assert any("itself" in note for note in named.notes)
    again = replace(named.calibration, pool=open_source(path))  # the same samples, opened once more
    twice = replace(named, calibration=again)
    assert len(np.intersect1d(twice.more_calibration(300).wanted, again.wanted)) == len(again.wanted)
    assert len(np.intersect1d(twice.unseen_by_the_test(2000).wanted, again.wanted)) == len(again.wanted)


@pytest.mark.parametrize("own_split", [False, True])
def test_anomalies_are_for_the_test_alone(own_split):
    y = np.array([0] * 300 + [1] * 50)
    fixed = np.array(["train", "test"] * 175) if own_split else None
    parts = split(pool_of(y, fixed), DataSource(task="anomaly"), SMALL)
    assert parts.task == "anomaly"
    assert not parts.train.y.any()
    assert not parts.calibration.y.any()
    assert parts.test.y.sum() == (25 if own_split else 50)
    assert (parts.test.y == 0).sum() == (150 if own_split else 60)


def test_a_mean_in_the_wrong_order_of_colours_is_never_guessed():
    assert "imagenet-caffe" not in normalization.trials(pool_of([0, 1] * 50), (8, 8, 3), DataSource())
    asked = normalization.trials(pool_of([0, 1] * 50), (8, 8, 3), DataSource(normalize="imagenet-caffe"))
    assert asked["imagenet-caffe"].std == (1.0,)


def test_what_does_not_say_what_is_normal_is_refused():
    for y in ([0, 1, 2] * 50, [1, 2] * 50):
        with pytest.raises(DataError, match="does not say what is normal"):
            split(pool_of(y), DataSource(task="anomaly"), SMALL)
    unlabelled = Pool("p", np.zeros((99, 8), np.float32), None, (), "0")
    with pytest.raises(DataError, match="does not say what is normal"):
        split(unlabelled, DataSource(task="anomaly"), Preprocess())
    with pytest.raises(DataError, match="nothing tells how"):
        normalization.trials(pool_of([0, 1] * 50), (8, 8, 1), DataSource(task="anomaly"))


def test_calibration_is_stratified_although_the_data_are_not():
    pool = pool_of([0] * 900 + [1] * 100)
    parts = split(pool, DataSource(calibration_samples=20), SMALL)
    assert np.bincount(pool.y[parts.calibration.wanted]).tolist() == [10, 10]


def test_a_test_split_of_the_source_is_kept():
    fixed = np.array(["train"] * 100 + ["test"] * 50)
    parts = split(pool_of([0, 1] * 75, fixed), DataSource(), SMALL)
    assert parts.test.wanted.tolist() == list(range(100, 150))


def test_too_few_calibration_samples_are_refused():
    with pytest.raises(DataError, match="too few calibration samples: 6"):
        split(pool_of([0, 1] * 12), DataSource(), SMALL)
    with pytest.raises(DataError, match="too few calibration samples: 3"):
        split(pool_of([0, 1] * 500), DataSource(calibration_samples=3), SMALL)


def test_digits_are_the_real_ones(digits):
    images, y = digits
    assert images.shape == (1797, 8, 8)
    assert images.dtype == np.uint8
    assert images.max() == 255
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_an_image_folder(image_folder):
    pool = open_source(str(image_folder))
    assert pool.classes == ("a-zero", "b-one", "c-two", "d-three")
    assert np.bincount(pool.y).tolist() == [40] * 4
    data = split(pool, DataSource(), Preprocess((12, 12), 3, mean=(127.5,), std=(127.5,)))
    assert data.test.raw.shape == (32, 12, 12, 3)
    assert data.test.x.min() == -1.0
    assert data.test.x.dtype == np.float32


def test_a_folder_with_its_own_train_and_test(tmp_path, image_folder):
    for part in ("train", "val"):
        (tmp_path / part).symlink_to(image_folder)
    pool = open_source(str(tmp_path))
    assert pool.classes == ("a-zero", "b-one", "c-two", "d-three")
    assert (pool.fixed == "test").sum() == 160
    assert any("no test folder: val is the test" in note for note in pool.notes)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "VALID", "Testing"), ("train", "validation", "test")]
)
def test_validation_is_to_calibrate_and_train_with_where_there_is_a_test(tmp_path, image_folder, names):
    for part in names:
        (tmp_path / part).symlink_to(image_folder)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    pool = open_source(str(tmp_path))
    assert pool.classes == ("a-zero", "b-one", "c-two", "d-three")
    of = {name: {i for i, p in enumerate(pool.samples) if p.relative_to(tmp_path).parts[0] == name} for name in names}
    data = split(pool, DataSource(), SMALL)
    assert set(data.test.wanted.tolist()) == of[names[2]]
    assert set(data.train.wanted.tolist()) | set(data.calibration.wanted.tolist()) == of[names[0]] | of[names[1]]


@pytest.mark.parametrize("only", ["train", "test"])
def test_a_single_split_is_split_anew(tmp_path, image_folder, only):
    (tmp_path / only).symlink_to(image_folder)
    pool = open_source(str(tmp_path))
    assert (pool.classes, pool.fixed) == (("a-zero", "b-one", "c-two", "d-three"), None)
    assert any("split anew" in note for note in pool.notes)


def folders(root, *paths):
    """Folders with one small image each."""
    for path in paths:
        (root / path).mkdir(parents=True)
        Image.new("L", (4, 4)).save(root / path / "x.png")


def test_splits_with_different_classes_are_refused(tmp_path):
    folders(tmp_path, "train/a", "train/b", "val/a", "val/b", "test/a", "test/c")
    with pytest.raises(DataError, match="different classes") as caught:
        open_source(str(tmp_path))
    assert "test has no folder for b" in caught.value.evidence
    assert "train has no folder for c" in caught.value.evidence
    assert "val has no folder for c" in caught.value.evidence


def test_splits_beside_other_folders_are_refused_but_a_class_may_be_called_train(tmp_path):
    folders(tmp_path, "a/train", "a/plane", "b/train/x", "b/train/y", "b/unlabelled")
    assert open_source(str(tmp_path / "a")).classes == ("plane", "train")
    with pytest.raises(DataError, match="side by side") as caught:
        open_source(str(tmp_path / "b"))
    assert caught.value.evidence == "splits: train; others: unlabelled"


def test_splits_without_class_folders_are_refused(tmp_path):
    folders(tmp_path, "train", "test")
    with pytest.raises(DataError, match=r"test, train in .* have no sub-folders"):
        open_source(str(tmp_path))


def test_hidden_folders_are_no_classes_and_hold_no_images(tmp_path):
    folders(tmp_path, "a", "b", ".ipynb_checkpoints", "a/.ipynb_checkpoints", "__MACOSX/a")
    pool = open_source(str(tmp_path))
    assert pool.classes == ("a", "b")
    assert [p.relative_to(tmp_path).as_posix() for p in pool.samples] == ["a/x.png", "b/x.png"]


def test_an_empty_class_folder_is_not_to_be_removed(tmp_path):
    folders(tmp_path, "a", "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="no images for the class 'c'") as caught:
        open_source(str(tmp_path))
    assert "a class cannot be left out" in caught.value.do


def test_named_classes_must_be_as_many_as_the_outputs(tmp_path, image_folder):
    x, y = np.zeros((30, 4), np.float32), np.arange(30) % 3
    np.savez(tmp_path / "named.npz", x=x, y=y, classes=["a", "b", "c"])
    np.savez(tmp_path / "numbers.npz", x=x, y=y)
    refuse_other_classes(open_source(str(tmp_path / "numbers.npz")), 10, "m.h5")  # labels are absolute
    for source, has in ((tmp_path / "named.npz", 3), (image_folder, 4)):
        refuse_other_classes(open_source(str(source)), has, "m.h5")
        for outputs in (has - 1, has + 1):
            with pytest.raises(DataError, match=f"has {has} classes, but m.h5 has {outputs} outputs"):
                refuse_other_classes(open_source(str(source)), outputs, "m.h5")


def test_a_model_with_more_outputs_than_class_folders_is_refused(tmp_path, model_file, image_folder):
    for name in ("a-zero", "c-two", "d-three"):
        (tmp_path / name).symlink_to(image_folder / name)
    recipe = recipe_for(str(model_file), {"data.source": str(tmp_path)})
    with pytest.raises(DataError, match=r"has 3 classes, but .*small\.h5 has 4 outputs"):
        open_model(recipe, lambda event: None)


def test_a_model_of_one_output_for_two_classes_is_told_what_to_become(tmp_path):
    with quiet():
        import tf_keras

        tf_keras.Sequential([tf_keras.Input((5,)), tf_keras.layers.Dense(1, "sigmoid")]).save(tmp_path / "m.h5")
    np.savez(tmp_path / "flat.npz", x=np.zeros((60, 5), np.float32), y=np.arange(60) % 2)
    with pytest.raises(ModelError, match="answers one number for two classes") as caught:
        open_model(recipe_for(str(tmp_path / "m.h5"), {"data.source": str(tmp_path / "flat.npz")}), lambda event: None)
    assert 'Dense(2, "softmax")' in caught.value.do


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda root: None, "no sub-folders"),
        (lambda root: (root / "one").mkdir(), "one class only: one"),
        (lambda root: [(root / n).mkdir() for n in "ab"], "no images for the class 'a'"),
        (
            lambda root: [(root / n).mkdir() or (root / n / "x.txt").write_text("") for n in "ab"],
            "none of them an image",
        ),
    ],
)
def test_folders_without_classes_or_images_are_refused(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path))
    assert message in str(caught.value)


@pytest.mark.parametrize("odd", [b"two\nlines", b"no \xff text", "two\u2028lines".encode()])
def test_a_class_whose_name_is_no_line_is_refused(tmp_path, image_folder, odd):
    """labels.txt would name every class behind it wrongly."""
    for name, target in ((b"a", "a-zero"), (odd, "b-one")):
        (tmp_path / os.fsdecode(name)).symlink_to(image_folder / target)
    with pytest.raises(DataError, match="has no name that a line can hold") as refused:
        open_source(str(tmp_path))
    assert str(tmp_path) in refused.value.what
    str(refused.value).encode()


def test_a_few_broken_images_are_named_and_many_are_an_error(tmp_path, image_folder):
    for folder in image_folder.iterdir():
        (tmp_path / folder.name).mkdir()
        for file in folder.iterdir():
            os.link(file, tmp_path / folder.name / file.name)
    (tmp_path / "a-zero" / "notes.txt").write_text("not an image")
    broken = tmp_path / "a-zero" / "broken.png"
    broken.write_bytes(b"\x89PNG nonsense")
    pool = open_source(str(tmp_path))
    everything = np.arange(len(pool.samples))
    images, kept = pool.read(everything, SMALL)
    assert len(images) == len(kept) == 160
    assert any("broken.png" in note for note in pool.notes)
    assert "left out, not images: 1 files" in pool.notes
    for number in range(30):
        (tmp_path / "a-zero" / f"broken{number}.png").write_bytes(b"")
    pool = open_source(str(tmp_path))
    with pytest.raises(DataError, match="31 of 191 images"):
        pool.read(np.arange(len(pool.samples)), SMALL)


def test_npz_sources(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    y = np.arange(60) % 3
    np.savez(tmp_path / "one.npz", x=x, y=np.eye(3)[y], classes=["a", "b", "c"])
    pool = open_source(str(tmp_path / "one.npz"))
    assert pool.y.tolist() == y.tolist()
    assert pool.classes == ("a", "b", "c")
    np.savez(tmp_path / "two.npz", x_train=x[:40], y_train=y[:40, None], x_test=x[40:], y_test=y[40:, None])
    assert (open_source(str(tmp_path / "two.npz")).fixed == "test").sum() == 20
    np.savez(tmp_path / "three.npz", x=x.astype(float), y=y / 7)
    assert split(open_source(str(tmp_path / "three.npz")), DataSource(), Preprocess(None, 1)).task == "regression"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros(3)}, "no array `x`"),
        ({"x": np.zeros((0, 8, 8, 1))}, "holds no samples"),
        ({"x": np.zeros((4, 8, 8, 1)), "y": np.arange(3)}, "4 samples but 3 labels"),
        ({"x": np.full((4, 2), np.nan), "y": np.arange(4)}, "NaN"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(4, int)}, "one class only"),
        ({"x": np.zeros((4, 2)), "y": np.array([-1, 0, 1, 2])}, "negative class"),
        ({"x": np.zeros((4, 2)), "y": np.array(["a", "b", "a", "b"])}, "labels of type"),
        ({"x": np.array([None, 1], dtype=object)}, "cannot read"),
        ({"x": np.float32(1)}, "holds no samples"),
        ({"x": np.zeros((4, 2)), "y": np.int64(1)}, "a single number as labels"),
        ({"x": np.zeros((4, 8, 8, 2), np.uint8)}, r"samples of \[8, 8, 2\], which are no images"),
        ({"x": np.zeros((4, 2, 8, 8, 3), np.uint8)}, "which are no images"),
        ({"x": np.zeros((4, 2)), "y": np.arange(4), "classes": ["a", "b"]}, "names 2 classes.*number 3"),
        ({"x_train": np.zeros((4, 2)), "x_test": np.zeros((4, 3))}, "x_train and x_test do not fit"),
        ({"x_train": np.zeros((4, 2)), "x_test": np.zeros((4, 2)), "y_train": np.arange(4)}, "y_train and y_test"),
        (
            {"x_train": np.zeros((4, 2)), "x_test": np.zeros((2, 2)), "y_train": np.arange(3), "y_test": np.arange(3)},
            "y_train and y_test",
        ),
    ],
)
def test_npz_that_make_no_sense_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_source(str(tmp_path / "a.npz"))


def test_a_truncated_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((100, 8, 8, 1)))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot read"):
        open_source(str(tmp_path / "b.npz"))


def test_an_npz_with_changed_bytes_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(6000, dtype=np.uint8).reshape(60, 10, 10))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    start = 30 + len("x.npy") + int.from_bytes(content[28:30], "little")  # past the entry's name and extra field
    content[start] = 0xFF  # block type 3 is reserved: zlib.error
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="cannot read"):
        open_source(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_one_hot_labels_are_class_numbers_and_that_is_said(tmp_path, dtype):
    y = np.arange(60) % 3
    np.savez(tmp_path / "a.npz", x=np.zeros((60, 8, 8), np.uint8), y=np.eye(5, dtype=dtype)[y])
    pool = open_source(str(tmp_path / "a.npz"))
    assert pool.y.tolist() == y.tolist()
    assert pool.classes == ("0", "1", "2", "3", "4")
    assert pool.notes == ["labels are one-hot rows of 5: taken as class numbers"]
    np.savez(tmp_path / "b.npz", x=np.zeros((60, 8, 8), np.uint8), y=np.full((60, 2), 0.5))
    assert open_source(str(tmp_path / "b.npz")).y.shape == (60, 2)  # not one-hot: two targets


Y = np.arange(60) % 3
FORMS = {
    "numbers": Y,
    "column": Y[:, None],
    "uint8": Y.astype(np.uint8),
    "one-hot": np.eye(3, dtype=np.int64)[Y],
    "one-hot bool": np.eye(3, dtype=bool)[Y],
    "one-hot float": np.eye(3, dtype=np.float32)[Y],
}


@pytest.mark.parametrize("test", FORMS)
@pytest.mark.parametrize("train", FORMS)
def test_both_halves_may_have_labels_of_their_own_form(tmp_path, train, test):
    x = np.zeros((60, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=FORMS[train], x_test=x, y_test=FORMS[test])
    pool = open_source(str(tmp_path / "a.npz"))
    assert pool.y.dtype == np.int64
    assert pool.y.tolist() == [*Y, *Y]
    assert pool.classes == ("0", "1", "2")
    assert bool(pool.notes) == ("one-hot" in train + test)


@pytest.mark.parametrize(
    "halves",
    [
        {"y_train": Y, "y_test": Y.astype(np.float32)},  # joined, all would be targets
        {"y_train": np.eye(3)[Y], "y_test": Y.astype(np.float32)},
        {"y_train": np.eye(3)[Y], "y_test": Y + 1},  # number 3 of three
        {"y_train": np.eye(3)[Y], "y_test": Y - 1},
        {"y_train": np.eye(3)[Y], "y_test": np.eye(4)[Y]},
        {"x_test": np.zeros((60, 8, 8), np.float32)},  # joined, all would be values, of 0..255 and 0..1
    ],
)
def test_halves_that_mean_different_things_are_refused(tmp_path, halves):
    x = np.zeros((60, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", **{"x_train": x, "y_train": Y, "x_test": x, "y_test": Y, **halves})
    with pytest.raises(DataError, match="do not fit") as caught:
        open_source(str(tmp_path / "a.npz"))
    assert "float" in caught.value.evidence or "int64" in caught.value.evidence


@pytest.mark.parametrize(
    ("x", "channels"),
    [
        (np.zeros((60, 8, 8), np.uint8), 1),
        (np.zeros((60, 8, 8, 1), np.uint8), 1),
        (np.zeros((60, 8, 8, 3), np.uint8), 3),
        (np.zeros((60, 8, 8, 4), np.uint8), 3),
        (np.zeros((60, 8, 8, 1), np.float32), 1),
        (np.zeros((60, 8, 8, 3), np.float32), 3),
        (np.zeros((60, 8, 8), np.float32), None),
        (np.zeros((60, 8), np.uint8), None),
    ],
)
def test_the_channels_of_arrays(tmp_path, x, channels):
    np.savez(tmp_path / "a.npz", x=x, y=Y)
    assert open_source(str(tmp_path / "a.npz")).channels == channels


def test_image_files_have_three_channels(image_folder):
    assert open_source(str(image_folder)).channels == 3


def test_unknown_data_name_the_nearest():
    with pytest.raises(DataError) as caught:
        open_source("digit")
    assert caught.value.do == "did you mean 'digits'?"


def test_a_recipe_knows_the_names_of_the_data():
    assert tuple(SOURCES) == NAMED_DATA


def idx(array):
    """The IDX format of the MNIST files."""
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.mark.slow
def test_keras_data_sets_come_from_keras_s_cache_offline(tmp_path, monkeypatch):
    from tflite_edge.tf.quiet import quiet

    with quiet():
        import tf_keras.src.utils.data_utils  # noqa: F401 - loaded before HOME changes
    folder = tmp_path / ".keras" / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, count in (("train", 60), ("t10k", 20)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx((np.arange(count) % 10).astype(np.uint8)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib keeps the proxies of its first call for good
    try:
        pool = open_source("fashion_mnist")
    except EOFError:
        pytest.fail("Keras did not read the cached files")
    assert pool.classes[9] == "ankle-boot"
    assert (pool.fixed == "test").sum() in (20, 10_000)
    with pytest.raises(MissingError, match="could not be downloaded"):
        open_source("mnist")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(1, 250))
def test_fewer_samples_keep_the_shares_of_the_classes(labels, most):
    part = Split(pool_of(labels), np.arange(len(labels)), SMALL)
    assert part.spread(None).tolist() == list(range(len(labels)))
    chosen = part.spread(most)
    assert len(set(chosen.tolist())) == len(chosen) == min(most, len(labels))
    assert np.all(np.diff(chosen) > 0)
    wanted, found = (np.bincount(y, minlength=5) for y in (part.y, part.y[chosen]))
    assert np.abs(found - wanted * len(chosen) / len(labels)).max() <= 1


def test_the_normalisation_of_training_is_found(small_model, image_folder):
    from tflite_edge.harness.preprocess import normalize
    from tflite_edge.tf.source import predict

    pool, source = open_source(str(image_folder)), DataSource()
    trials = normalization.trials(pool, (12, 12, 3), source)
    samples = split(pool, source, next(iter(trials.values()))).unseen_by_the_test()
    name, why = normalization.choose(samples, trials, lambda trial: predict(small_model, normalize(samples.raw, trial)))
    assert name == "-1..1", why


LABELS = np.arange(400) % 4


def chosen(**right):
    """What is chosen when the model is right on these of 400 samples under each normalisation."""
    samples = split(pool_of(LABELS.tolist() * 2), DataSource(test=0.5, calibration_samples=400), SMALL)
    samples = Split(samples.pool, np.arange(400), SMALL)
    trials = {name: Preprocess((8, 8), 1, mean=(mean,)) for mean, name in enumerate(right)}

    def answer(trial):
        hit = np.isin(np.arange(400), right[list(trials)[int(trial.mean[0])]])
        return np.eye(4)[np.where(hit, LABELS, (LABELS + 1) % 4)]

    return normalization.choose(samples, trials, answer)


def test_a_small_but_consistent_advantage_on_the_same_images_is_no_chance():
    # 3 points: within two standard errors of 340 of 400, yet whenever the two differ it is the same one that is right.
    assert chosen(usual=range(340), best=range(352)) == (
        "best",
        "most often right on 400 samples outside the test (best 88%, usual 85%)",
    )


def test_a_choice_that_was_less_often_right_says_so():
    name, why = chosen(usual=range(300), best=range(20, 330))
    assert name == "usual"
    assert why == "usual, within chance of the best on 400 samples outside the test (best 78%, usual 75%)"


def test_a_near_tie_is_told():
    name, why = chosen(usual=range(300), other=range(299))
    assert name == "usual"
    assert why.endswith("(usual 75%, other 75%), other within chance of it")


def test_a_model_that_is_hardly_ever_right_is_told():
    name, why = chosen(usual=range(60), best=range(140))
    assert name == "best"
    assert why.endswith("; none of them fits well (guessing gives 25%): name it with --normalize")


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_s_test_is_the_binomial_one(won, lost):
    from scipy.stats import binomtest

    one, other = np.array([True] * won + [False] * lost + [True] * 5), np.array([False] * won + [True] * (lost + 5))
    expected = won + lost == 0 or binomtest(won, won + lost).pvalue > 0.05
    assert normalization.may_be_chance(one, other) == expected


def test_without_labels_the_normalisation_must_be_named():
    pool = Pool("p", np.zeros((40, 8, 8), np.uint8), None, (), "0")
    samples = split(pool, DataSource(), SMALL).calibration
    with pytest.raises(DataError, match="without class labels"):
        normalization.choose(samples, {"none": SMALL}, lambda trial: np.zeros((1, 1)))
