"""Make .tflite files of a zoo model with random weights: zoo_files.py OUT NAME ALPHA SIZE CLASSES MODES IMAGES.

ALPHA 0: the model has no width multiplier.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge.harness.preprocess import normalize
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.preprocess import NORMALIZATIONS, Preprocess
from tflite_edge.records.recipe import ModelSource
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import freeze
from tflite_edge.tf.data.packs import write_pack
from tflite_edge.tf.data.sources import open_source
from tflite_edge.tf.models import zoo
from tflite_edge.tf.quiet import quiet

SEED = 7
SEEN = 100  # images for the batch normalisation and for calibration


def main(out: Path, source: ModelSource, classes: int, modes: list[str], images: int) -> None:
    mean, std = NORMALIZATIONS[zoo.entry(source.name).normalize]
    record = Preprocess(source.input[:2], 3, mean=mean, std=std)
    pool = open_source("digits")
    order = np.random.default_rng(SEED).permutation(len(pool.samples))
    raw, kept = pool.read(np.resize(order, max(images, SEEN)), record)  # over again where the pool is too small
    model = build(source, classes)
    seen = normalize(raw[:SEEN], record)
    settle(model, seen)
    if images:
        write_pack(out / "pack.npz", raw[:images], pool.y[kept][:images])
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        frozen = freeze(model, Path(work) / "frozen")
        for mode in modes:
            conversion = Conversion(mode, io="int8" if mode == "int8" else "float32")
            (out / f"{mode}.tflite").write_bytes(convert(frozen, conversion, seen))


def build(source: ModelSource, classes: int) -> Any:
    with quiet():
        import tf_keras

        tf_keras.utils.set_random_seed(SEED)
        return zoo.build(source, classes)


def settle(model: Any, seen: np.ndarray) -> None:
    """Give the batch normalisation the moments of `seen`.

    With the initial ones every layer of a random network shrinks its input, and all images get one answer.
    """
    with quiet():
        for layer in model.layers:
            if type(layer).__name__ == "BatchNormalization":
                layer.momentum = 0.0
        model(seen, training=True)


if __name__ == "__main__":
    out, name, alpha, size, classes, modes, images = sys.argv[1:]
    chosen = ModelSource(name, input=(int(size), int(size), 3), alpha=float(alpha) or None, weights="random")
    main(Path(out), chosen, int(classes), modes.split(","), int(images))
