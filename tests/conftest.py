"""Shared fixtures: a cache of the session's own, a small trained model, a folder of images, the installed command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Children can be interrupted as in a terminal: a background job of a script starts with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Nothing is read from or left in the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["TFLITE_EDGE_CACHE"] = str(folder)
    return folder


class Command:
    """The installed `tflite-edge`, run as a user runs it."""

    path = Path(sys.executable).parent / "tflite-edge"

    def __call__(self, *args, code=0, **options):
        done = subprocess.run([self.path, *map(str, args)], capture_output=True, text=True, timeout=300, **options)
        assert code in (None, done.returncode), f"exit {done.returncode}, wanted {code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *args, code=0):
        return json.loads(self(*args, "--format", "json", code=code).stdout)


@pytest.fixture(scope="session")
def edge():
    return Command()


@pytest.fixture(scope="session")
def digits():
    """uint8 [1797, 8, 8], int64 [1797]."""
    from tflite_edge.tf.data.sources import open_source

    pool = open_source("digits")
    return pool.samples, pool.y


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory, digits):
    """Four classes of forty 16 x 16 PNG digits each: zero, one, two, three in alphabetical order of names."""
    from PIL import Image

    root = tmp_path_factory.mktemp("photos")
    images, y = digits
    for label, name in enumerate(("a-zero", "b-one", "c-two", "d-three")):
        (root / name).mkdir()
        for number, index in enumerate(np.flatnonzero(y == label)[:40]):
            Image.fromarray(images[index]).resize((16, 16)).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def small_model(digits):
    """A little convolutional net for digits 0 to 3 in 12 x 12 x 3, trained on values of -1..1."""
    import tflite_edge.tf  # noqa: F401 - sets the environment before TensorFlow is imported
    from tflite_edge.tf.quiet import quiet

    with quiet():
        import tf_keras
        from PIL import Image

        tf_keras.utils.set_random_seed(1)
        layers = tf_keras.layers
        model = tf_keras.Sequential(
            [
                tf_keras.Input((12, 12, 3), name="image"),
                layers.Conv2D(8, 3, strides=2, use_bias=False, name="conv"),
                layers.BatchNormalization(momentum=0.8),
                layers.ReLU(),
                layers.DepthwiseConv2D(3, name="depthwise"),
                layers.Flatten(),
                layers.Dense(64, activation="relu", name="hidden"),
                layers.Dense(4, activation="softmax", name="probabilities"),
            ],
            name="small",
        )
        images, y = digits
        few = y < 4
        x = np.stack([np.asarray(Image.fromarray(i).convert("RGB").resize((12, 12))) for i in images[few]])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x / 127.5 - 1.0, y[few], epochs=8, verbose=0)
    return model


@pytest.fixture(scope="session")
def model_file(tmp_path_factory, small_model):
    from tflite_edge.tf.quiet import quiet

    path = tmp_path_factory.mktemp("model") / "small.h5"
    with quiet():
        small_model.save(path)
    return path


@pytest.fixture(scope="module")
def source(model_file, image_folder):
    """The little net as the pipeline opens it, with its images."""
    from tflite_edge.records.recipe import recipe_for
    from tflite_edge.tf.source import open_model

    return open_model(recipe_for(str(model_file), {"data.source": str(image_folder)}), lambda event: None)


@pytest.fixture(scope="module")
def variants(source):
    from tflite_edge.tf.convert.variants import Variants

    with Variants(source) as made:
        yield made


@pytest.fixture(scope="session")
def converted(tmp_path_factory, edge, model_file, image_folder):
    """The folder and the JSON document of one conversion to every mode through the installed command."""
    out = tmp_path_factory.mktemp("out") / "small"
    modes = "float32,float16,dynamic,int8,int16x8"
    document = edge.json(
        "convert", model_file, "--data", image_folder, "--quantize", modes, "-o", out, "--max-drop", "10"
    )
    return out, document


@pytest.fixture
def unpacked(converted, tmp_path):
    """A bundle of `converted` as install.sh leaves it, without wheels: this machine's runtime answers."""
    from tflite_edge.deploy.build import open_build
    from tflite_edge.deploy.bundle import own_files
    from tflite_edge.records.board import BOARDS

    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, content in own_files(open_build(converted[0]), BOARDS["pi4"], "ai-edge-litert")[1].items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def boards(cache):
    """A cache with pi4 and pi3-32 that outlives the session: the installation is tested when it is not there."""
    import platformdirs

    from tflite_edge.records.board import BOARDS
    from tflite_edge.records.errors import MissingError
    from tflite_edge.targets.emulator import install

    kept = Path(platformdirs.user_cache_dir("tflite-edge-tests"))
    before, os.environ["TFLITE_EDGE_CACHE"] = os.environ["TFLITE_EDGE_CACHE"], str(kept)
    try:
        for name in ("pi4", "pi3-32"):
            made = install(BOARDS[name])
            assert (made.state, made.why) == ("installed", "")
    except MissingError as error:
        if "cannot get Debian's packages" in error.what or "is missing" in error.what:
            pytest.skip(f"boards are made of Debian's packages: {error}")
        raise
    finally:
        os.environ["TFLITE_EDGE_CACHE"] = before
    return kept


@pytest.fixture(scope="session")
def teachable(tmp_path_factory, digits):
    """A folder of trainable files for digits of 8 x 8 with outputs for 0 to 7 and two spare ones, and of packs.

    adam.tflite, hidden.tflite (sgd, dynamic-range backbone); head.tflite beside features.tflite (int8); other.tflite
    has other weights; full.tflite has no spare output. old.npz: classes 0 to 7; new.npz: all ten; test.npz.
    """
    import tflite_edge.tf  # noqa: F401 - sets the environment before TensorFlow is imported
    from tflite_edge.records.conversion import Conversion
    from tflite_edge.records.learning import HeadPlan
    from tflite_edge.tf.convert.convert import convert
    from tflite_edge.tf.convert.freeze import freeze, graph
    from tflite_edge.tf.convert.trainable import split, trainable
    from tflite_edge.tf.quiet import quiet

    folder = tmp_path_factory.mktemp("teachable")
    images, y = digits
    x = images.reshape(-1, 8, 8, 1).astype(np.float32) / 255
    with quiet():
        import tf_keras

        tf_keras.utils.set_random_seed(3)
        layers = tf_keras.layers
        model = tf_keras.Sequential(
            [
                tf_keras.Input((8, 8, 1), name="image"),
                layers.Conv2D(16, 3, activation="relu"),
                layers.Conv2D(32, 3, strides=2, activation="relu"),
                layers.Flatten(),
                layers.Dense(8, activation="softmax", name="probabilities"),
            ],
            name="teachable",
        )
    parts = split(model)
    backbone = graph(parts.backbone)
    files = {
        "adam": trainable(parts, HeadPlan(spare_classes=2, batch=8, learning_rate=0.01), "float32", backbone),
        "hidden": trainable(parts, HeadPlan(12, 2, "sgd", 0.05, 8), "dynamic", backbone),
        "head": trainable(parts, HeadPlan(spare_classes=2, batch=8, learning_rate=0.01)),
        "other": trainable(
            parts._replace(bias=parts.bias + np.float32(1)), HeadPlan(spare_classes=2, batch=8), "float32", backbone
        ),
        "full": trainable(parts, HeadPlan(batch=8), "float32", backbone),
        "features": convert(freeze(parts.backbone, folder / "frozen"), Conversion("int8", "int8"), x[:50]),
    }
    for name, content in files.items():
        (folder / f"{name}.tflite").write_bytes(content)
    old = np.flatnonzero(y[:400] < 8)
    np.savez(folder / "old.npz", x=x[:400][old], y=y[:400][old])
    np.savez(folder / "new.npz", x=x[:400], y=y[:400])
    with quiet():
        answers = np.asarray(model(x[1000:1200]))
    np.savez(folder / "test.npz", x=x[1000:1200], y=y[1000:1200], reference=answers)
    weights = model.layers[-1].get_weights()
    np.savez(folder / "keras.npz", kernel=weights[0], bias=weights[1], features=np.asarray(parts.backbone(x[:8])))
    return folder
