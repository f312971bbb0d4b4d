import gzip
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_edge.records.errors import DataError, MissingError
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource
from tflite_edge.tf.data import normalization
from tflite_edge.tf.data.dataset import split
from tflite_edge.tf.data.sources import Pool, open_source

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


def test_unknown_data_name_the_nearest():
    with pytest.raises(DataError) as caught:
        open_source("digit")
    assert caught.value.do == "did you mean 'digits'?"


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
    try:
        pool = open_source("fashion_mnist")
    except EOFError:
        pytest.fail("Keras did not read the cached files")
    assert pool.classes[9] == "ankle-boot"
    assert (pool.fixed == "test").sum() in (20, 10_000)
    with pytest.raises(MissingError, match="could not be downloaded"):
        open_source("mnist")


def test_the_normalisation_of_training_is_found(small_model, image_folder):
    from tflite_edge.harness.preprocess import normalize
    from tflite_edge.tf.source import predict

    pool, source = open_source(str(image_folder)), DataSource()
    trials = normalization.trials(pool, (12, 12, 3), source)
    samples = split(pool, source, next(iter(trials.values()))).unseen_by_the_test()
    name, why = normalization.choose(samples, trials, lambda trial: predict(small_model, normalize(samples.raw, trial)))
    assert name == "-1..1", why


def test_without_labels_the_normalisation_must_be_named():
    pool = Pool("p", np.zeros((40, 8, 8), np.uint8), None, (), "0")
    samples = split(pool, DataSource(), SMALL).calibration
    with pytest.raises(DataError, match="without class labels"):
        normalization.choose(samples, {"none": SMALL}, lambda trial: np.zeros((1, 1)))
